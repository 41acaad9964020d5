//go:build unix

package fsx

import (
	"errors"
	"syscall"
)

// IsFull says whether an operation failed because the disk, or what this user may
// use of it, is full.
func IsFull(err error) bool { return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) }

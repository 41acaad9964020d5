//go:build !unix

package fsx

import (
	"errors"
	"syscall"
)

// The codes of Windows for a full disk. Elsewhere they mean nothing.
const (
	errorHandleDiskFull syscall.Errno = 39
	errorDiskFull       syscall.Errno = 112
)

// IsFull says whether an operation failed because the disk is full.
func IsFull(err error) bool {
	return errors.Is(err, errorHandleDiskFull) || errors.Is(err, errorDiskFull)
}

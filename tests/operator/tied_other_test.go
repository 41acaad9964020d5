//go:build !linux

package operator_test

import "syscall"

func tied() *syscall.SysProcAttr { return nil }

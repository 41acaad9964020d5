package operator_test

import "syscall"

// tied has the operator end with the tests, whatever ends these.
func tied() *syscall.SysProcAttr { return &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL} }

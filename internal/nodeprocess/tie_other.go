//go:build !linux

package nodeprocess

import "syscall"

// tie leaves the node in the process group of the one who started it: here a Ctrl-C has to end both.
func tie() *syscall.SysProcAttr { return nil }

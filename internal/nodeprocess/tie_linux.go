package nodeprocess

import "syscall"

// tie puts a node into a process group of its own, so that a Ctrl-C is for the one who started it, and
// lets the system kill it when that one is gone. (The system looks at the thread that started it; Go's
// live as long as the process, unless a goroutine ends that is locked to one.)
func tie() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}

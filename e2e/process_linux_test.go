package e2e_test

import "syscall"

// endWithParent makes the kernel kill the process when the tests end without having done so.
func endWithParent() *syscall.SysProcAttr { return &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL} }

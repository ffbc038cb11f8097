//go:build unix

package devstack

import (
	"errors"
	"os"
	"syscall"
)

// tryLock takes a lock that ends with this process. It reports false when another process has it.
func tryLock(file *os.File) (bool, error) {
	err := syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	if errors.Is(err, syscall.EWOULDBLOCK) {
		return false, nil
	}
	return err == nil, err
}

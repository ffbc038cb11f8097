//go:build !unix

package localpg

import (
	"errors"
	"os"
	"syscall"
)

var errUnsupported = errors.New("localpg: a private Postgres is supported on Unix systems only; set DATABASE_URL")

func supported() error { return errUnsupported }

func attributes(account, syscall.Signal) *syscall.SysProcAttr { return nil }

func servesFolder(int, string) bool { return true }

func processAlive(int) bool { return true }

func sendSignal(int, syscall.Signal) error { return errUnsupported }

func tryLock(*os.File) (bool, error) { return false, errUnsupported }

func ownerOf(string) (uid, gid uint32, err error) { return 0, 0, errUnsupported }

func memoryFolder() string { return "" }

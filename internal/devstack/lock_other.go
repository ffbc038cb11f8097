//go:build !unix

package devstack

import "os"

// tryLock lets everybody in: there is no lock here that ends with the process.
func tryLock(*os.File) (bool, error) { return true, nil }

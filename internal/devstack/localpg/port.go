package localpg

import (
	"errors"
	"math/rand/v2"
	"net"
	"strconv"
)

// choosePort finds a free port below those that systems hand out by themselves (from 32768 on Linux, 49152 elsewhere):
// one of those could go to an outgoing connection while the server restarts.
func choosePort() (int, error) {
	for range 50 {
		if port := somePort(); portFree(port) {
			return port, nil
		}
	}
	return 0, errors.New("localpg: no free port found on 127.0.0.1")
}

func somePort() int {
	const first, last = 20000, 32767
	return first + rand.IntN(last-first+1)
}

func portFree(port int) bool {
	listener, err := net.Listen("tcp4", "127.0.0.1:"+strconv.Itoa(port))
	if err != nil {
		return false
	}
	return listener.Close() == nil
}

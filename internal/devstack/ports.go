package devstack

import (
	"errors"
	"net"
	"strconv"
	"syscall"
)

// Ports that are tried first. Below those that systems hand out by themselves, so that they are seldom taken by chance.
const (
	sqsPort      = 9324 // that of ElasticMQ, which people know
	gatewayPort  = 8089
	providerPort = 8092
)

// loopback is an address on this machine only.
func loopback(port int) string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(port)) }

// listen takes the port, or any when it is taken.
func listen(port int) (net.Listener, error) {
	listener, err := net.Listen("tcp", loopback(port))
	if err != nil {
		listener, err = net.Listen("tcp", loopback(0))
	}
	return listener, err
}

func portIfFree(port int) int {
	listener, err := net.Listen("tcp", loopback(port))
	if err != nil {
		return 0
	}
	if listener.Close() != nil {
		return 0
	}
	return port
}

func isTaken(err error) bool {
	return errors.Is(err, syscall.EADDRINUSE) || errors.Is(err, syscall.EACCES)
}

//go:build unix

package sqstest

import (
	"context"
	"net"
	"syscall"
)

type connectionKey struct{}

// ConnContext belongs into [http.Server.ConnContext]; [Start] puts it there. With
// it the server asks the kernel, at the moment of handing a message over, whether
// the receiver has closed its connection. Without it the server still notices,
// but only when net/http does: a moment later.
func (s *Server) ConnContext(ctx context.Context, c net.Conn) context.Context {
	if sc, ok := c.(syscall.Conn); ok {
		if raw, err := sc.SyscallConn(); err == nil {
			return context.WithValue(ctx, connectionKey{}, raw)
		}
	}
	return ctx
}

func connectionClosed(ctx context.Context) bool {
	raw, ok := ctx.Value(connectionKey{}).(syscall.RawConn)
	if !ok {
		return false
	}
	closed := false
	err := raw.Control(func(fd uintptr) {
		var b [1]byte
		// Sockets of package net don't block. Nothing to read is EAGAIN; zero
		// bytes is the end of the stream.
		n, _, err := syscall.Recvfrom(int(fd), b[:], syscall.MSG_PEEK)
		closed = n == 0 && err == nil || err == syscall.ECONNRESET
	})
	return closed || err != nil
}

//go:build !unix

package sqstest

import (
	"context"
	"net"
)

// ConnContext does nothing on this system: a receiver that has gone is noticed
// when net/http notices.
func (s *Server) ConnContext(ctx context.Context, _ net.Conn) context.Context { return ctx }

func connectionClosed(context.Context) bool { return false }

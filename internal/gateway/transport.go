package gateway

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"net/http"
	"net/http/httptrace"
	"sync"
	"sync/atomic"
	"time"
)

// newTransport makes an HTTP/1.1 transport whose connections count what is written to them. It dials TLS itself,
// so that bytes are counted above TLS: the alert that closing a TLS connection writes is no byte of a request.
func newTransport(config Config, alive context.Context) *http.Transport {
	dialer := &net.Dialer{}
	dial := func(ctx context.Context, network, address string) (*countedConn, error) {
		conn, err := dialer.DialContext(ctx, network, address)
		if err != nil {
			return nil, err
		}
		return &countedConn{Conn: conn}, nil
	}
	session := &tls.Config{}
	if config.TLS != nil {
		session = config.TLS.Clone()
	}
	session.NextProtos = []string{"http/1.1"}
	if session.MinVersion == 0 {
		session.MinVersion = tls.VersionTLS12
	}
	if session.ClientSessionCache == nil {
		session.ClientSessionCache = tls.NewLRUClientSessionCache(64)
	}

	protocols := &http.Protocols{}
	protocols.SetHTTP1(true)
	return &http.Transport{
		Protocols:              protocols,
		Proxy:                  nil,
		DisableCompression:     true,
		MaxIdleConns:           config.MaxConnections,
		MaxIdleConnsPerHost:    config.MaxConnections,
		MaxConnsPerHost:        config.MaxConnections,
		IdleConnTimeout:        config.IdleTimeout,
		MaxResponseHeaderBytes: maxReply,
		DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
			ctx, done := dialContext(ctx, alive, config.ConnectTimeout)
			defer done()
			conn, err := dial(ctx, network, address)
			if err != nil {
				return nil, err
			}
			return conn, nil
		},
		DialTLSContext: func(ctx context.Context, network, address string) (net.Conn, error) {
			ctx, done := dialContext(ctx, alive, config.ConnectTimeout)
			defer done()
			below, err := dial(ctx, network, address)
			if err != nil {
				return nil, err
			}
			named := session.Clone()
			if named.ServerName == "" {
				named.ServerName, _, _ = net.SplitHostPort(address)
			}
			secure := tls.Client(below, named)
			if err := secure.HandshakeContext(ctx); err != nil {
				_ = below.Close()
				return nil, &handshakeError{err}
			}
			return &countedConn{Conn: secure, below: below}, nil
		},
	}
}

// dialContext ends after the connect timeout and when the client is closed: net/http lets a dial go on after
// the request that asked for it is gone.
func dialContext(ctx, alive context.Context, timeout time.Duration) (context.Context, func()) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	if alive.Err() != nil { // AfterFunc would say so too, but only a moment later
		cancel()
	}
	stop := context.AfterFunc(alive, cancel)
	return ctx, func() { stop(); cancel() }
}

// handshakeError marks whatever went wrong between the connection and the TLS session.
type handshakeError struct{ err error }

func (e *handshakeError) Error() string { return "tls handshake: " + e.err.Error() }
func (e *handshakeError) Unwrap() error { return e.err }

// countedConn counts the bytes that the operating system took. A request's share is the difference to the count
// at the moment when it was given the connection: HTTP/1.1 has one request at a time on a connection.
type countedConn struct {
	net.Conn
	below    *countedConn // the TCP connection under a TLS one; nil for plain TCP
	written  atomic.Int64
	notAfter atomic.Pointer[time.Time] // the deadline of the request that has the connection; nil: none
}

// errTooLate is the error of a write after the deadline of its request.
var errTooLate = fmt.Errorf("the request's deadline passed before it was written: %w", context.DeadlineExceeded)

// withWriteDeadline makes the connection that a request is given take no byte of it after the context's deadline.
// The context alone does not promise that: it ends by a timer, and in a process that was stopped (SIGSTOP, a paused
// container) and goes on, the goroutine that writes may run before the timer does.
func withWriteDeadline(ctx context.Context) context.Context {
	var notAfter *time.Time
	if deadline, ok := ctx.Deadline(); ok {
		notAfter = &deadline
	}
	return httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{GotConn: func(info httptrace.GotConnInfo) {
		if conn, ok := info.Conn.(*countedConn); ok {
			conn.notAfter.Store(notAfter)
		}
	}})
}

// Write counts what went out. A TLS connection reports only whole records, so when it failed, what reached the
// connection below is counted instead: a torn record is doubt.
func (c *countedConn) Write(p []byte) (int, error) {
	if notAfter := c.notAfter.Load(); notAfter != nil && !time.Now().Before(*notAfter) {
		return 0, errTooLate
	}
	if c.below == nil {
		n, err := c.Conn.Write(p)
		c.written.Add(int64(n))
		return n, err
	}
	before := c.below.written.Load()
	n, err := c.Conn.Write(p)
	count := int64(n)
	if err != nil {
		count = max(count, c.below.written.Load()-before)
	}
	c.written.Add(count)
	return n, err
}

// observer gathers the evidence of one request. Its hooks run in net/http's goroutines, some of them after the
// call returned.
type observer struct {
	begun time.Time

	mu      sync.Mutex
	seen    Evidence
	conns   []observedConn
	counted bool // false once a connection appeared whose bytes are not counted
}

type observedConn struct {
	conn   *countedConn
	before int64
}

func newObserver() *observer { return &observer{begun: time.Now(), counted: true} }

func (o *observer) trace() *httptrace.ClientTrace {
	return &httptrace.ClientTrace{
		GotConn: func(info httptrace.GotConnInfo) {
			o.mu.Lock()
			defer o.mu.Unlock()
			o.seen.Connected = true
			o.seen.ConnectionReused = info.Reused
			conn, ok := info.Conn.(*countedConn)
			if !ok {
				o.counted = false
				return
			}
			o.conns = append(o.conns, observedConn{conn, conn.written.Load()})
		},
		WroteHeaders: func() {
			o.mu.Lock()
			defer o.mu.Unlock()
			o.seen.HeadersWritten = true
		},
		WroteRequest: func(info httptrace.WroteRequestInfo) {
			o.mu.Lock()
			defer o.mu.Unlock()
			o.seen.RequestWritten = info.Err == nil
		},
		GotFirstResponseByte: func() {
			o.mu.Lock()
			defer o.mu.Unlock()
			o.seen.FirstByte = true
		},
	}
}

// evidence is what was seen until now. After a failed call the count is final: net/http returns the error only
// when the goroutine that writes the connection has ended.
func (o *observer) evidence() (seen Evidence, counted bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	seen = o.seen
	for _, c := range o.conns {
		seen.BytesWritten += c.conn.written.Load() - c.before
	}
	seen.Duration = time.Since(o.begun)
	return seen, o.counted
}

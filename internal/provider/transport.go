package provider

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"sync/atomic"
	"time"
)

const (
	maxBody     = 1 << 20  // of an answer, after decompression
	maxHeaders  = 64 << 10 // of an answer
	idleTimeout = 90 * time.Second
)

var errTooLong = errors.New("the answer is longer than 1 MiB")

// newHTTPClient makes a client of its own: one HTTP/1.1 connection for a call, so that one call is one request
// (HTTP/2 repeats a request that a closing connection did not take), and no redirect, which would carry the key
// and the prompt elsewhere. A proxy may be named in the environment, as for any program that leaves a network.
func newHTTPClient(c Common) *http.Client {
	protocols := &http.Protocols{}
	protocols.SetHTTP1(true)
	session := &tls.Config{}
	if c.TLS != nil {
		session = c.TLS.Clone()
	}
	session.NextProtos = []string{"http/1.1"}
	if session.MinVersion == 0 {
		session.MinVersion = tls.VersionTLS12
	}
	return &http.Client{
		Transport: &http.Transport{
			Protocols:              protocols,
			Proxy:                  http.ProxyFromEnvironment,
			DialContext:            (&net.Dialer{Timeout: c.ConnectTimeout}).DialContext,
			TLSClientConfig:        session,
			TLSHandshakeTimeout:    c.ConnectTimeout,
			MaxIdleConns:           c.MaxConnections,
			MaxIdleConnsPerHost:    c.MaxConnections,
			MaxConnsPerHost:        c.MaxConnections,
			IdleConnTimeout:        idleTimeout,
			MaxResponseHeaderBytes: maxHeaders,
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// exchange makes one request and gathers what became of it. send is what leads to the network.
func exchange(request *http.Request, send func(*http.Request) (*http.Response, error)) Exchange {
	var sent atomic.Bool // net/http's goroutines may set it after the call returned
	ctx := request.Context()
	request = request.WithContext(httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		GotConn: func(httptrace.GotConnInfo) { sent.Store(true) },
	}))
	request.GetBody = nil // net/http must not write a request anew that it began to write
	response, err := send(request)
	if err != nil {
		return Exchange{Err: err, Context: ended(ctx), Sent: sent.Load(), Now: time.Now()}
	}
	body, err := readBody(response.Body)
	return Exchange{Status: response.StatusCode, Header: response.Header, Body: body, Err: err, Context: ended(ctx), Sent: true, Now: time.Now()}
}

// ended is the context's error; a deadline that has passed counts even if its timer has not run yet.
func ended(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if deadline, ok := ctx.Deadline(); ok && !time.Now().Before(deadline) {
		return context.DeadlineExceeded
	}
	return nil
}

func readBody(from io.ReadCloser) ([]byte, error) {
	defer func() { _ = from.Close() }()
	body, err := io.ReadAll(io.LimitReader(from, maxBody+1))
	if len(body) > maxBody {
		return body[:maxBody], errTooLong
	}
	return body, err
}

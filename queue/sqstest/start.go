package sqstest

import (
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/sqs"

	"github.com/huntaze/hybrid-orchestrator/queue/sqshttp"
)

// Running is a [Server] that listens.
type Running struct {
	*Server
	// URL is the endpoint, such as "http://127.0.0.1:9324".
	URL string
	// Addr is where it listens.
	Addr net.Addr

	server *http.Server
	done   chan struct{}
}

// Start makes a server and lets it listen at options.Addr until Close.
func Start(options Options) (*Running, error) {
	s, err := New(options)
	if err != nil {
		return nil, err
	}
	return s.Listen()
}

// Listen lets the server listen at Options.Addr until Close.
func (s *Server) Listen() (*Running, error) {
	addr := s.options.Addr
	if addr == "" {
		addr = "127.0.0.1:0"
	}
	listener, err := net.Listen("tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("sqstest: listen: %w", err)
	}
	host, port, err := net.SplitHostPort(listener.Addr().String())
	if err != nil {
		return nil, fmt.Errorf("sqstest: address: %w", err)
	}
	if ip := net.ParseIP(host); ip == nil || ip.IsUnspecified() {
		host = "127.0.0.1"
	}
	r := &Running{
		Server: s,
		URL:    "http://" + net.JoinHostPort(host, port),
		Addr:   listener.Addr(),
		server: &http.Server{
			Handler:           s,
			ConnContext:       s.ConnContext,
			ReadHeaderTimeout: 10 * time.Second,
			ErrorLog:          slog.NewLogLogger(s.logger.Handler(), slog.LevelWarn),
		},
		done: make(chan struct{}),
	}
	go func() {
		defer close(r.done)
		_ = r.server.Serve(listener) // always ErrServerClosed, or the listener is broken
	}()
	return r, nil
}

// closeGrace is how long Close waits for clients to take their replies.
const closeGrace = 2 * time.Second

// Close ends the long polls with empty replies, waits for the requests being
// served and closes the connections.
func (r *Running) Close() error {
	served := make(chan struct{})
	go func() {
		defer close(served)
		r.Server.Close()
	}()
	select {
	case <-served:
	case <-time.After(closeGrace):
		// A client does not read its reply: closing its connection ends that.
	}
	err := r.server.Close()
	<-served
	<-r.done
	return err
}

// Client returns an SDK client of the server, with credentials that mean nothing.
func (r *Running) Client(optFns ...func(*sqs.Options)) *sqs.Client {
	return sqs.New(sqs.Options{
		BaseEndpoint: aws.String(r.URL),
		Region:       r.options.Region,
		Credentials:  credentials.NewStaticCredentialsProvider("sqstest", "sqstest", ""),
		HTTPClient:   sqshttp.WholeBodies(awshttp.NewBuildableClient()),
	}, optFns...)
}

// TB is the part of testing.TB that [StartTB] uses; this package is also linked
// into programs, which should not link testing.
type TB interface {
	Helper()
	Cleanup(func())
	Fatalf(format string, args ...any)
}

// StartTB is [Start] for tests: it fails the test on an error and closes the
// server when the test ends.
func StartTB(tb TB, options Options) *Running {
	tb.Helper()
	r, err := Start(options)
	if err != nil {
		tb.Fatalf("%v", err)
	}
	tb.Cleanup(func() {
		if err := r.Close(); err != nil {
			tb.Fatalf("sqstest: close: %v", err)
		}
	})
	return r
}

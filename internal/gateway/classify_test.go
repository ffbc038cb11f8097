package gateway

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

// expectStatus is the contract's table, written a second time and differently from the code.
func expectStatus(status int) (Class, Reason) {
	switch {
	case status/100 == 2:
		return Accepted, None
	case status/100 == 3:
		return Unknown, Redirect
	case status/100 == 5:
		return Unknown, ServerError
	}
	refused := " 400 402 404 405 406 410 411 413 414 415 422 451 "
	switch {
	case status == 401:
		return Rejected, RefusedCredentials
	case status == 403:
		return Rejected, Forbidden
	case status == 429:
		return RateLimited, TooManyRequests
	case strings.Contains(refused, fmt.Sprintf(" %d ", status)):
		return Rejected, Refused
	}
	return Unknown, AmbiguousStatus
}

func TestEveryStatusHasOneClass(t *testing.T) {
	t.Parallel()
	for status := -1; status <= 1000; status++ {
		class, reason := ClassifyStatus(status)
		wantClass, wantReason := expectStatus(status)
		if status < 100 || status > 599 {
			wantClass, wantReason = Unknown, AmbiguousStatus
		}
		if class != wantClass || reason != wantReason {
			t.Errorf("status %d: got %s %q, want %s %q", status, class, reason, wantClass, wantReason)
		}
	}
}

// TestEveryStatusOverTheWire sends one message per status to a server that answers with exactly that status.
func TestEveryStatusOverTheWire(t *testing.T) {
	t.Parallel()
	url := rawServer(t, func(conn net.Conn) {
		reader := bufio.NewReader(conn)
		for {
			request, err := http.ReadRequest(reader)
			if err != nil {
				return
			}
			_, _ = io.Copy(io.Discard, request.Body)
			status := request.Header.Get("X-Attempt")
			body := `{"messageId":"m-1"}`
			if status == "204" || status == "304" || strings.HasPrefix(status, "1") {
				body = ""
			}
			fmt.Fprintf(conn, "HTTP/1.1 %s Status\r\nContent-Length: %d\r\n\r\n%s", status, len(body), body)
			if strings.HasPrefix(status, "1") {
				return
			}
		}
	})
	client := newClient(t, url, nil)
	for status := 100; status <= 599; status++ {
		m := testMessage("ref-" + strconv.Itoa(status))
		m.Attempt = status
		got := client.Send(context.Background(), m)
		class, reason := expectStatus(status)
		wantStatus := status
		switch {
		case status == 204:
			reason = BadReply
		case status < 200 && status != http.StatusSwitchingProtocols:
			// An interim answer, then the end of the connection: there was no answer at all.
			class, reason, wantStatus = Unknown, UnexpectedEOF, 0
		}
		if got.Class != class || got.Reason != reason || got.Status != wantStatus || got.Evidence.Status != wantStatus {
			t.Errorf("status %d: got %+v, want %s %q", status, got, class, reason)
		}
		if (got.MessageID != "") != (class == Accepted && reason == None) {
			t.Errorf("status %d: message id %q", status, got.MessageID)
		}
	}
}

// TestFailureTable goes over every kind of transport error and every combination of evidence.
func TestFailureTable(t *testing.T) {
	t.Parallel()
	failures := map[string]error{
		"nil":       nil,
		"other":     errors.New("anything"),
		"eof":       io.EOF,
		"half":      io.ErrUnexpectedEOF,
		"idle":      fmt.Errorf("post: %w", errors.New("http: server closed idle connection")),
		"reset":     &net.OpError{Op: "read", Err: os.NewSyscallError("read", syscall.ECONNRESET)},
		"pipe":      &net.OpError{Op: "write", Err: os.NewSyscallError("write", syscall.EPIPE)},
		"refused":   &net.OpError{Op: "dial", Err: os.NewSyscallError("connect", syscall.ECONNREFUSED)},
		"dns":       &net.DNSError{Err: "no such host", IsNotFound: true},
		"tls":       &handshakeError{errors.New("bad certificate")},
		"deadline":  context.DeadlineExceeded,
		"cancelled": context.Canceled,
	}
	for name, err := range failures {
		for bits := range 32 {
			seen := Evidence{
				Connected: bits&1 != 0, RequestWritten: bits&2 != 0, FirstByte: bits&4 != 0, HeadersWritten: bits&8 != 0,
			}
			counted := bits&16 != 0
			for _, written := range []int64{0, 1, 4096} {
				seen.BytesWritten = written
				class, reason := classifyFailure(err, seen, counted)
				proved := !seen.Connected ||
					counted && written == 0 && !seen.FirstByte
				want := Unknown
				if proved {
					want = NotSent
				}
				if class != want {
					t.Errorf("%s with %+v counted=%v: got %s, want %s", name, seen, counted, class, want)
				}
				if details[reason] == "" {
					t.Errorf("%s with %+v: reason %q has no sentence", name, seen, reason)
				}
			}
		}
	}

	written := Evidence{Connected: true, BytesWritten: 10}
	for name, want := range map[string][2]Reason{ // before a connection, after the first byte
		"other":     {ConnectFailed, ConnectionLost},
		"eof":       {ConnectFailed, UnexpectedEOF},
		"half":      {ConnectFailed, UnexpectedEOF},
		"idle":      {ConnectFailed, UnexpectedEOF},
		"reset":     {ConnectFailed, ConnectionReset},
		"pipe":      {ConnectFailed, ConnectionReset},
		"refused":   {ConnectFailed, ConnectionLost},
		"dns":       {DNSFailed, ConnectionLost},
		"tls":       {TLSFailed, ConnectionLost},
		"deadline":  {ConnectTimeout, Timeout},
		"cancelled": {Cancelled, Cancelled},
	} {
		_, before := classifyFailure(failures[name], Evidence{}, true)
		_, after := classifyFailure(failures[name], written, true)
		if before != want[0] || after != want[1] {
			t.Errorf("%s: got %q and %q, want %q", name, before, after, want)
		}
	}
	if _, reason := classifyFailure(failures["other"], Evidence{Connected: true, FirstByte: true}, true); reason != MalformedReply {
		t.Errorf("garbage: got %q", reason)
	}
	if _, reason := classifyFailure(failures["pipe"], Evidence{Connected: true}, true); reason != NothingWritten {
		t.Errorf("nothing written: got %q", reason)
	}
}

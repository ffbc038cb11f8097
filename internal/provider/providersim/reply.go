package providersim

import (
	"context"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// pause waits, and says false when the caller has gone or the server was closed before its end.
func (s *Server) pause(ctx context.Context, wait time.Duration) bool {
	if wait <= 0 {
		return true
	}
	if s.options.Sleep != nil {
		return s.options.Sleep(ctx, wait)
	}
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	case <-s.stop:
		return false
	}
}

// answer writes a fixture, or breaks the connection as it says.
func (s *Server) answer(w http.ResponseWriter, r *http.Request, given given, prompt string) {
	f := given.fixture
	body := f.body(prompt)
	switch f.Kind {
	case Hang:
		s.hang(r)
		hangUp(w, "", false)
		return
	case Close:
		hangUp(w, "", false)
		return
	case Reset:
		hangUp(w, "", true)
		return
	case NotHTTP:
		hangUp(w, "220 mail.example ESMTP\r\n", false)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	for name, value := range f.Header {
		w.Header().Set(name, value)
	}
	switch f.Kind {
	case Cut, HangInBody:
		w.Header().Set("Content-Length", strconv.Itoa(len(body)))
		w.WriteHeader(f.Status)
		_, _ = io.WriteString(w, body[:len(body)/2])
		_ = http.NewResponseController(w).Flush()
		if f.Kind == HangInBody {
			s.hang(r)
		}
		hangUp(w, "", false)
	case Endless:
		w.WriteHeader(f.Status)
		for chunk := strings.Repeat(" ", 32<<10); ; {
			if _, err := io.WriteString(w, chunk); err != nil || r.Context().Err() != nil || s.isClosed() {
				return
			}
		}
	default:
		w.WriteHeader(f.Status)
		_, _ = io.WriteString(w, body) // the caller may have gone
	}
}

func (s *Server) hang(r *http.Request) {
	select {
	case <-r.Context().Done():
	case <-s.stop:
	}
}

func (s *Server) isClosed() bool {
	select {
	case <-s.stop:
		return true
	default:
		return false
	}
}

// hangUp takes the connection over, writes what it is given, and closes it: with a FIN, or with a TCP reset.
func hangUp(w http.ResponseWriter, raw string, reset bool) {
	conn, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		panic(http.ErrAbortHandler) // HTTP/2, or a recorder in a test
	}
	if raw != "" {
		_, _ = io.WriteString(conn, raw)
	}
	if reset {
		below := conn
		if secure, ok := conn.(interface{ NetConn() net.Conn }); ok {
			below = secure.NetConn()
		}
		if tcp, ok := below.(*net.TCPConn); ok {
			_ = tcp.SetLinger(0)
			_ = tcp.Close()
			return
		}
	}
	_ = conn.Close()
}

func writeJSON(w http.ResponseWriter, body any) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(body) // the caller may have gone
}

// quote writes a text as JSON, without the escapes that are meant for HTML.
func quote(text string) string {
	var out strings.Builder
	encoder := json.NewEncoder(&out)
	encoder.SetEscapeHTML(false)
	_ = encoder.Encode(text) // a string never fails
	return strings.TrimSuffix(out.String(), "\n")
}

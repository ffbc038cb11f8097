package gatewaysim

import (
	"encoding/json"
	"net"
	"net/http"
	"strconv"
	"time"
)

// Raw answers are written past net/http, which would not let us break the protocol.
const (
	rawTruncated = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 64\r\n\r\n{\"messageId\":\"si"
	rawNotHTTP   = "220 mail.example ESMTP\r\n"
)

func (s *Server) reply(w http.ResponseWriter, r *http.Request, given answer) {
	if given.delay > 0 && !s.pause(given.delay, r.Context().Done()) {
		abort(w)
		return
	}
	switch given.kind {
	case HangBefore, HangAfter:
		select {
		case <-r.Context().Done():
		case <-s.stop:
		}
		abort(w)
	case CloseBefore, LostReply:
		hangUp(w, "", false)
	case ResetBefore, ResetAfter:
		hangUp(w, "", true)
	case Truncated:
		hangUp(w, rawTruncated, false)
	case NotHTTP:
		hangUp(w, rawNotHTTP, false)
	case Garbage:
		w.Header().Set("Content-Type", "text/html")
		_, _ = w.Write([]byte("<html><body>It works!</body></html>"))
	case Empty:
		w.WriteHeader(http.StatusOK)
	default:
		if given.location != "" {
			w.Header().Set("Location", given.location)
		}
		if given.retryAfter > 0 {
			seconds := int64((given.retryAfter + time.Second - 1) / time.Second)
			w.Header().Set("Retry-After", strconv.FormatInt(seconds, 10))
		}
		writeJSON(w, given.status, given.body)
	}
}

func writeJSON(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(body) // the caller may have gone
}

// abort ends the connection without an answer.
func abort(w http.ResponseWriter) { hangUp(w, "", false) }

// hangUp takes the connection over, writes what it is given, and closes it: with a FIN, or with a TCP reset.
func hangUp(w http.ResponseWriter, raw string, reset bool) {
	conn, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		panic(http.ErrAbortHandler) // HTTP/2, or a recorder in a test
	}
	if raw != "" {
		_, _ = conn.Write([]byte(raw))
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

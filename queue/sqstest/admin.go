package sqstest

import (
	"bytes"
	"encoding/json"
	"net/http"
	"strings"
)

const adminPrefix = "/_sqstest/"

// serveAdmin serves what is not SQS, for programs in other processes:
//
//	GET    /health                         "ok"
//	GET    /_sqstest/faults                {"faults": Faults, "counts": FaultCounts}
//	PUT    /_sqstest/faults                Faults
//	DELETE /_sqstest/faults
//	GET    /_sqstest/stats?queue=NAME      Stats; without a name an object of them by name
//	GET    /_sqstest/messages?queue=NAME   [Message]
//
// It reports whether the request was one of its own. PUT and DELETE can't be
// sent by a web page of another origin, which keeps browsers out.
func (s *Server) serveAdmin(w http.ResponseWriter, r *http.Request, body []byte) bool {
	if r.URL.Path == "/health" {
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		_, _ = w.Write([]byte("ok\n"))
		return true
	}
	path, ok := strings.CutPrefix(r.URL.Path, adminPrefix)
	if !ok {
		return false
	}
	queue := r.URL.Query().Get("queue")
	switch r.Method + " " + path {
	case "GET faults":
		s.writeFaults(w)
	case "PUT faults":
		var f Faults
		d := json.NewDecoder(bytes.NewReader(body))
		d.DisallowUnknownFields()
		err := d.Decode(&f)
		if err == nil {
			err = s.SetFaults(f)
		}
		if err != nil {
			writeJSON(w, http.StatusBadRequest, map[string]string{"error": err.Error()})
			return true
		}
		s.writeFaults(w)
	case "DELETE faults":
		if err := s.SetFaults(Faults{}); err != nil {
			writeJSON(w, http.StatusInternalServerError, map[string]string{"error": err.Error()})
			return true
		}
		s.writeFaults(w)
	case "GET stats":
		if queue != "" {
			writeJSON(w, http.StatusOK, s.Stats(queue))
			return true
		}
		all := map[string]Stats{}
		for _, name := range s.Queues() {
			all[name] = s.Stats(name)
		}
		writeJSON(w, http.StatusOK, all)
	case "GET messages":
		writeJSON(w, http.StatusOK, s.Messages(queue))
	default:
		writeJSON(w, http.StatusNotFound, map[string]string{"error": "no such page"})
	}
	return true
}

func (s *Server) writeFaults(w http.ResponseWriter) {
	faults, counts := s.Faults()
	writeJSON(w, http.StatusOK, struct {
		Faults Faults      `json:"faults"`
		Counts FaultCounts `json:"counts"`
	}{faults, counts})
}

func writeJSON(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	// A client that is gone needs no error.
	_ = json.NewEncoder(w).Encode(v)
}

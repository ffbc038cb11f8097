// Package otlptest is a collector in process, as net/http/httptest is a server: it takes spans over OTLP/HTTP and shows
// them to a test. It promises that what it shows is what came over the wire, and nothing else.
package otlptest

import (
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"sync"
	"time"

	collector "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	common "go.opentelemetry.io/proto/otlp/common/v1"
	wire "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"
)

// Span is a span as it was received. Ids are in hex; Parent is empty for a root.
type Span struct {
	TraceID, ID, Parent string
	Name                string
	Kind                string
	Service             string
	Start, End          time.Time
	Attributes          map[string]string
	Events              []Event
	Links               []Link
	Failed              bool
}

// Event is something that happened in a span.
type Event struct {
	Name       string
	Attributes map[string]string
}

// Link binds a span to another one.
type Link struct{ TraceID, ID string }

// Server is a collector.
type Server struct {
	URL string

	server *httptest.Server
	mu     sync.Mutex
	spans  []Span
	raw    [][]byte
}

// Start starts a collector. Call Close at the end.
func Start() *Server {
	s := &Server{}
	s.server = httptest.NewServer(http.HandlerFunc(s.take))
	s.URL = s.server.URL
	return s
}

// Close stops it.
func (s *Server) Close() { s.server.Close() }

func (s *Server) take(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	var request collector.ExportTraceServiceRequest
	if err != nil || r.URL.Path != "/v1/traces" || proto.Unmarshal(body, &request) != nil {
		http.Error(w, "no traces", http.StatusBadRequest)
		return
	}
	s.mu.Lock()
	s.raw = append(s.raw, body)
	for _, resource := range request.ResourceSpans {
		service := attributes(resource.GetResource().GetAttributes())["service.name"]
		for _, scope := range resource.ScopeSpans {
			for _, one := range scope.Spans {
				s.spans = append(s.spans, read(one, service))
			}
		}
	}
	s.mu.Unlock()
	answer, _ := proto.Marshal(&collector.ExportTraceServiceResponse{})
	w.Header().Set("Content-Type", "application/x-protobuf")
	_, _ = w.Write(answer)
}

// Spans are all that came so far.
func (s *Server) Spans() []Span {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]Span{}, s.spans...)
}

// Trace are those of one trace.
func (s *Server) Trace(id string) (spans []Span) {
	for _, one := range s.Spans() {
		if one.TraceID == id {
			spans = append(spans, one)
		}
	}
	return spans
}

// Raw are the bodies of the requests, for tests that look for what must not be in them.
func (s *Server) Raw() [][]byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([][]byte{}, s.raw...)
}

func read(one *wire.Span, service string) Span {
	span := Span{
		TraceID: hex.EncodeToString(one.TraceId), ID: hex.EncodeToString(one.SpanId), Parent: hex.EncodeToString(one.ParentSpanId),
		Name: one.Name, Kind: one.Kind.String(), Service: service, Attributes: attributes(one.Attributes),
		Start: time.Unix(0, int64(one.StartTimeUnixNano)), End: time.Unix(0, int64(one.EndTimeUnixNano)),
		Failed: one.GetStatus().GetCode() == wire.Status_STATUS_CODE_ERROR,
	}
	for _, event := range one.Events {
		span.Events = append(span.Events, Event{event.Name, attributes(event.Attributes)})
	}
	for _, link := range one.Links {
		span.Links = append(span.Links, Link{hex.EncodeToString(link.TraceId), hex.EncodeToString(link.SpanId)})
	}
	return span
}

func attributes(pairs []*common.KeyValue) map[string]string {
	all := map[string]string{}
	for _, pair := range pairs {
		switch value := pair.GetValue().GetValue().(type) {
		case *common.AnyValue_StringValue:
			all[pair.Key] = value.StringValue
		case *common.AnyValue_IntValue:
			all[pair.Key] = fmt.Sprint(value.IntValue)
		case *common.AnyValue_DoubleValue:
			all[pair.Key] = fmt.Sprint(value.DoubleValue)
		case *common.AnyValue_BoolValue:
			all[pair.Key] = fmt.Sprint(value.BoolValue)
		default:
			all[pair.Key] = pair.GetValue().String()
		}
	}
	return all
}

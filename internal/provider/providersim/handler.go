package providersim

import (
	"crypto/subtle"
	"encoding/json"
	"io"
	"net/http"
	"slices"
	"strconv"
	"time"
)

const (
	maxBody     = 4 << 20
	defaultPage = 1000
)

// The surfaces.
const (
	SurfaceOpenAI  = "openai"
	SurfaceAzureV1 = "azure-v1"
	SurfaceClassic = "azure-classic"
)

func (s *Server) newRoutes() *http.ServeMux {
	routes := http.NewServeMux()
	chat := func(p Provider, surface string) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) { s.chat(w, r, p, surface) }
	}
	models := func(p Provider) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) { s.models(w, r, p) }
	}
	routes.HandleFunc("POST /v1/chat/completions", chat(OpenAI, SurfaceOpenAI))
	routes.HandleFunc("GET /v1/models", models(OpenAI))
	routes.HandleFunc("GET /v1/models/{model}", models(OpenAI))
	routes.HandleFunc("POST /openai/v1/chat/completions", chat(Azure, SurfaceAzureV1))
	routes.HandleFunc("GET /openai/v1/models", models(Azure))
	routes.HandleFunc("POST /openai/deployments/{deployment}/chat/completions", chat(Azure, SurfaceClassic))
	routes.HandleFunc("GET /openai/models", models(Azure))
	routes.HandleFunc("/v1/", func(w http.ResponseWriter, r *http.Request) { s.answer(w, r, recorded("openai_404_address"), "") })
	routes.HandleFunc("/openai/", func(w http.ResponseWriter, r *http.Request) { s.answer(w, r, recorded("azure_404_resource"), "") })
	routes.HandleFunc("GET /sim/state", func(w http.ResponseWriter, _ *http.Request) { writeJSON(w, s.State()) })
	routes.HandleFunc("PUT /sim/faults", s.putFaults)
	routes.HandleFunc("DELETE /sim/faults", s.deleteFaults)
	routes.HandleFunc("GET /sim/requests", s.listCalls)
	routes.HandleFunc("GET /sim/fixtures", func(w http.ResponseWriter, _ *http.Request) {
		writeJSON(w, map[Provider][]string{Azure: Names(Azure), OpenAI: Names(OpenAI)})
	})
	return routes
}

// ServeHTTP implements http.Handler.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) { s.routes.ServeHTTP(w, r) }

func (s *Server) chat(w http.ResponseWriter, r *http.Request, p Provider, surface string) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	if err != nil {
		http.Error(w, "the request did not come to its end, or is too long", http.StatusBadRequest)
		return
	}
	asked, valid := readAsked(body)
	call := Call{Provider: p, Surface: surface, Deployment: asked.Model, AttemptID: r.Header.Get("X-Client-Request-Id"), Traceparent: r.Header.Get("Traceparent")}
	if surface == SurfaceClassic {
		call.Deployment = r.PathValue("deployment")
	}
	if s.options.KeepPrompts {
		call.System, call.User = asked.system(), asked.user()
	}
	given := s.ownRefusal(r, call, valid)
	if !s.decide(&call, &given, asked) {
		http.Error(w, "closed", http.StatusServiceUnavailable)
		return
	}
	w.Header().Set("X-Request-Id", "sim-"+strconv.FormatInt(call.Seq, 10))
	if !s.pause(r.Context(), given.delay) {
		hangUp(w, "", false)
		return
	}
	s.answer(w, r, given, asked.user())
}

// given is what a call gets.
type given struct {
	name    string // for the journal
	fixture Fixture
	delay   time.Duration
}

func recorded(name string) given {
	f, _ := fixture(name)
	return given{name: name, fixture: f}
}

// ownRefusal is what the real provider would say too, whatever faults are set; without a name there is none.
func (s *Server) ownRefusal(r *http.Request, call Call, valid bool) given {
	as := func(name, azure, openAI string) given {
		refused := recorded(openAI)
		if call.Provider == Azure {
			refused = recorded(azure)
		}
		refused.name = name
		return refused
	}
	switch {
	case !s.authorised(r, call.Provider):
		return as(Unauthorised, "azure_401_key", "openai_401_invalid_key")
	case call.Surface == SurfaceClassic && r.URL.Query().Get("api-version") == "":
		return as(Missing, "azure_404_resource", "")
	case !s.has(call.Provider, call.Deployment):
		return as(Missing, "azure_404_deployment", "openai_404_model")
	case !valid:
		return as(Invalid, "azure_400_bad_request", "openai_400_unsupported_parameter")
	}
	return given{}
}

func (s *Server) has(p Provider, model string) bool {
	known := s.options.Models
	if p == Azure {
		known = s.options.Deployments
	}
	return len(known) == 0 || slices.Contains(known, model)
}

func (s *Server) authorised(r *http.Request, p Provider) bool {
	same := func(sent, wanted string) bool {
		return wanted != "" && subtle.ConstantTimeCompare([]byte(sent), []byte(wanted)) == 1
	}
	bearer := r.Header.Get("Authorization")
	if p == OpenAI {
		return s.options.OpenAIKey == "" || same(bearer, "Bearer "+s.options.OpenAIKey)
	}
	return s.options.AzureKey == "" && s.options.AzureToken == "" || same(r.Header.Get("Api-Key"), s.options.AzureKey) ||
		s.options.AzureToken != "" && same(bearer, "Bearer "+s.options.AzureToken)
}

// decide chooses the answer and writes the journal, all under one lock: the journal's order is the order in which the
// faults were used.
func (s *Server) decide(call *Call, given *given, asked asked) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return false
	}
	if given.name == "" {
		script := s.scripts[call.Provider]
		fault := script.take(s.random)
		s.scripts[call.Provider] = script
		*given = s.makeAnswer(call, fault, asked)
		given.delay = fault.Delay + s.options.Latency
		if s.options.Jitter > 0 {
			given.delay += time.Duration(s.random.Int64N(int64(s.options.Jitter) + 1))
		}
	}
	s.seq++
	call.Seq, call.At, call.Answer, call.Status = s.seq, s.options.Clock(), given.name, given.fixture.Status
	s.calls = append(s.calls, *call)
	if keep := s.options.KeepCalls; keep > 0 && len(s.calls) >= 2*keep {
		s.calls = slices.Clone(s.calls[len(s.calls)-keep:])
	}
	counts := s.counts[call.Provider]
	counts.Calls++
	counts.Answers[call.Answer]++
	if call.Answer == Completed || call.Answer == CustomText {
		counts.Texts++
	}
	s.counts[call.Provider] = counts
	if s.changed != nil {
		close(s.changed)
		s.changed = nil
	}
	return true
}

func (s *Server) models(w http.ResponseWriter, r *http.Request, p Provider) {
	known, refused, missing := s.options.Models, "openai_401_invalid_key", "openai_404_model"
	if p == Azure {
		known, refused, missing = []string{"gpt-5.6-luna"}, "azure_401_key", "azure_404_resource" // the base models, not the deployments
	}
	one := r.PathValue("model")
	switch {
	case !s.authorised(r, p):
		s.answer(w, r, recorded(refused), "")
		return
	case one != "" && !s.has(p, one):
		s.answer(w, r, recorded(missing), "")
		return
	case one != "":
		writeJSON(w, map[string]string{"id": one, "object": "model", "owned_by": "simulated"})
		return
	}
	list := []map[string]string{}
	for _, name := range known {
		list = append(list, map[string]string{"id": name, "object": "model"})
	}
	writeJSON(w, map[string]any{"object": "list", "data": list})
}

func (s *Server) putFaults(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	scripts := map[Provider]Script{}
	if err == nil {
		err = json.Unmarshal(body, &scripts)
	}
	for p, script := range scripts { // all or none
		if err == nil {
			err = script.check(p)
		}
	}
	for p, script := range scripts {
		if err == nil {
			err = s.SetScript(p, script)
		}
	}
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	writeJSON(w, s.State())
}

func (s *Server) deleteFaults(w http.ResponseWriter, r *http.Request) {
	p := Provider(r.URL.Query().Get("provider"))
	switch {
	case p == "":
		s.Clear()
	case slices.Contains(Providers, p):
		s.Clear(p)
	default:
		http.Error(w, "provider is azure or openai", http.StatusBadRequest)
		return
	}
	writeJSON(w, s.State())
}

func (s *Server) listCalls(w http.ResponseWriter, r *http.Request) {
	after, okAfter := number(r, "after", 0)
	limit, okLimit := number(r, "limit", defaultPage)
	if !okAfter || !okLimit || limit < 1 {
		http.Error(w, "after and limit are whole numbers", http.StatusBadRequest)
		return
	}
	page := s.Calls(after)
	page = append([]Call{}, page[:min(int64(len(page)), limit)]...)
	writeJSON(w, map[string][]Call{"requests": page})
}

func number(r *http.Request, name string, missing int64) (int64, bool) {
	text := r.URL.Query().Get(name)
	if text == "" {
		return missing, true
	}
	n, err := strconv.ParseInt(text, 10, 64)
	return n, err == nil && n >= 0
}

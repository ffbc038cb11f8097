package cli

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/huntaze/hybrid-orchestrator/internal/api"
	"github.com/huntaze/hybrid-orchestrator/internal/config"
)

// apiClient talks to the campaign API.
type apiClient struct {
	base string
	key  string
	http *http.Client
}

// apiAnswerTimeout is how long an answer may take to begin; lists and event streams go on for longer.
const apiAnswerTimeout = time.Minute

// withAPI runs something with a client for the API that the environment names.
func (a *app) withAPI(do func(*apiClient) error) error {
	cfg, err := a.load("HUNTAZE_API_KEY")
	if err != nil {
		return err
	}
	return withAPIOf(cfg, do)
}

func withAPIOf(cfg config.Config, do func(*apiClient) error) error {
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.ResponseHeaderTimeout = apiAnswerTimeout
	defer transport.CloseIdleConnections()
	return do(&apiClient{base: strings.TrimSuffix(cfg.APIURL, "/"), key: cfg.APIKey.Reveal(), http: &http.Client{Transport: transport}})
}

// call sends a value as JSON and reads the answer into another; either may be nil.
func (c *apiClient) call(ctx context.Context, method, path string, body, into any) error {
	var content io.Reader
	if body != nil {
		text, err := json.Marshal(body)
		if err != nil {
			return err
		}
		content = bytes.NewReader(text)
	}
	return c.send(ctx, method, path, "application/json", content, into)
}

// send sends a body as it is. A POST has an Idempotency-Key of its own: the transport may send it again.
func (c *apiClient) send(ctx context.Context, method, path, contentType string, body io.Reader, into any) error {
	response, err := c.open(ctx, method, path, contentType, body)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if into == nil {
		_, err = io.Copy(io.Discard, response.Body)
		return err
	}
	if err := json.NewDecoder(response.Body).Decode(into); err != nil {
		return fmt.Errorf("the API's answer can't be read: %w", err)
	}
	return nil
}

// open returns an answer that is no error, to be read and closed.
func (c *apiClient) open(ctx context.Context, method, path, contentType string, body io.Reader) (*http.Response, error) {
	request, err := http.NewRequestWithContext(ctx, method, c.base+path, body)
	if err != nil {
		return nil, err
	}
	request.Header.Set("Authorization", "Bearer "+c.key)
	if body != nil {
		request.Header.Set("Content-Type", contentType)
	}
	if method == http.MethodPost {
		request.Header.Set("Idempotency-Key", rand.Text())
	}
	response, err := c.http.Do(request)
	if err != nil {
		return nil, fmt.Errorf("the API at %s can't be reached (is `huntaze api` running? HUNTAZE_API_URL says where): %w", c.base, err)
	}
	if response.StatusCode < 300 {
		return response, nil
	}
	defer response.Body.Close()
	return nil, apiError(response)
}

// refusal is what the API said against a request.
type refusal struct{ api.Problem }

func (r *refusal) Error() string {
	lines := []string{r.Detail}
	for _, e := range r.Errors {
		line := e.Field + " " + e.Reason
		if e.Remedy != "" {
			line += ": " + e.Remedy
		}
		if len(r.Errors) > 1 || !strings.Contains(r.Detail, e.Field+" "+e.Reason) || e.Remedy != "" {
			lines = append(lines, "  "+line)
		}
	}
	if r.Status >= 500 && r.RequestID != "" {
		lines = append(lines, "  request "+r.RequestID)
	}
	return strings.Join(lines, "\n")
}

func apiError(response *http.Response) error {
	var r refusal
	if err := json.NewDecoder(io.LimitReader(response.Body, 1<<20)).Decode(&r.Problem); err != nil || r.Detail == "" {
		return fmt.Errorf("the API answered %s: is HUNTAZE_API_URL right?", response.Status)
	}
	return &r
}

// route joins parts to a path, each escaped.
func route(parts ...string) string {
	var b strings.Builder
	b.WriteString("/v1")
	for _, part := range parts {
		b.WriteString("/" + url.PathEscape(part))
	}
	return b.String()
}

package provider

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/azidentity"

	"github.com/huntaze/hybrid-orchestrator/internal/provider/providersim"
)

// withoutAnswer are the calls whose end is not in an answer, for the pure function.
var withoutAnswer = []struct {
	name   string
	in     Exchange
	want   Class
	billed Billed
}{
	{"canceled before it was sent", Exchange{Context: context.Canceled, Err: context.Canceled}, Canceled, BilledNot},
	{"canceled after", Exchange{Context: context.Canceled, Err: context.Canceled, Sent: true}, Canceled, BilledMaybe},
	{"deadline before it was sent", Exchange{Context: context.DeadlineExceeded, Err: context.DeadlineExceeded}, Timeout, BilledNot},
	{"deadline after", Exchange{Context: context.DeadlineExceeded, Err: io.EOF, Sent: true}, Timeout, BilledMaybe},
	{"the dialler's own timeout", Exchange{Err: os.ErrDeadlineExceeded}, Connection, BilledNot},
	{"no such name", Exchange{Err: &net.DNSError{IsNotFound: true}}, Connection, BilledNot},
	{"refused", Exchange{Err: syscall.ECONNREFUSED}, Connection, BilledNot},
	{"reset", Exchange{Err: syscall.ECONNRESET, Sent: true}, Connection, BilledMaybe},
	{"cut at our deadline", Exchange{Status: 200, Err: io.ErrUnexpectedEOF, Context: context.DeadlineExceeded, Sent: true}, Timeout, BilledMaybe},
	{"whole, and then the deadline", Exchange{Status: 200, Body: []byte(`{}`), Context: context.DeadlineExceeded, Sent: true}, ServerError, BilledMaybe},
	{"no request of it", Exchange{Err: localError{InvalidRequest, nil}}, InvalidRequest, BilledNot},
	{"no token", Exchange{Err: localError{Auth, nil}}, Auth, BilledNot},
}

func TestWithoutAnswer(t *testing.T) {
	t.Parallel()
	for _, c := range withoutAnswer {
		for _, provider := range Names {
			c.in.Provider = provider
			got := Classify(c.in)
			if got.Class != c.want || got.Billed != c.billed || got.Unclassified || got.Limits != noLimits && c.in.Status == 0 {
				t.Errorf("%s: %+v, want %s and %s", c.name, got, c.want, c.billed)
			}
		}
	}
}

// TestConnectionsThatFail has what a server can't simulate: refused, a name that is none, no TLS.
func TestConnectionsThatFail(t *testing.T) {
	t.Parallel()
	closed := httptest.NewServer(nil)
	closed.Close()
	plain := httptest.NewServer(http.NotFoundHandler())
	defer plain.Close()
	for name, url := range map[string]string{
		"refused":      closed.URL,
		"name":         "https://no-such-host.invalid",
		"tls":          "https" + strings.TrimPrefix(plain.URL, "http"),
		"other ca":     tlsServer(t),
		"not in range": "http://127.0.0.1:99999",
	} {
		for _, surface := range surfaces {
			got := newChatAt(t, surface, url, nil).Complete(within(t, 30*time.Second), testRequest())
			if got.Class != Connection || got.Billed != BilledNot || got.Status != 0 {
				t.Errorf("%s, %s: %+v", name, surface, got)
			}
		}
	}
}

func tlsServer(t *testing.T) string {
	server := httptest.NewUnstartedServer(http.NotFoundHandler())
	server.Config.ErrorLog = nil
	server.Config.ErrorLog = discard()
	server.StartTLS()
	t.Cleanup(server.Close)
	return server.URL
}

// TestCancel: a call that is cancelled while the provider thinks returns at once, and may be billed.
func TestCancel(t *testing.T) {
	t.Parallel()
	for _, surface := range surfaces {
		sim := newSim(t, providersim.Options{})
		provider := providersim.Provider(providerOf(surface))
		if err := sim.SetDefault(provider, &providersim.Fault{Kind: providersim.Hang}); err != nil {
			t.Fatal(err)
		}
		chat := newChatAt(t, surface, sim.URL(), nil)
		ctx, cancel := context.WithCancel(context.Background())
		done := make(chan Result, 1)
		go func() { done <- chat.Complete(ctx, testRequest()) }()
		if err := sim.Wait(within(t, 30*time.Second), func(s providersim.State) bool { return s.Counts[provider].Calls == 1 }); err != nil {
			t.Fatal(err)
		}
		cancel()
		if got := <-done; got.Class != Canceled || got.Billed != BilledMaybe {
			t.Errorf("%s: %+v", surface, got)
		}
		if got := chat.Complete(ctx, testRequest()); got.Class != Canceled || got.Billed != BilledNot || sim.Counts(provider).Calls != 1 {
			t.Errorf("%s, with a context that has ended: %+v", surface, got)
		}
	}
}

// TestRequestsThatAreNone: what can't be a request costs nothing and is not sent.
func TestRequestsThatAreNone(t *testing.T) {
	t.Parallel()
	sim := newSim(t, providersim.Options{})
	chat := newChatAt(t, providersim.SurfaceOpenAI, sim.URL(), nil)
	for name, change := range map[string]func(*Request){
		"no id":            func(r *Request) { r.ID = "" },
		"id with a break":  func(r *Request) { r.ID = "a\r\nX-Evil: 1" },
		"no output limit":  func(r *Request) { r.MaxOutputTokens = 0 },
		"schema not JSON":  func(r *Request) { r.Schema = []byte("{") },
		"schema with more": func(r *Request) { r.Schema = []byte("{} {}") },
	} {
		request := testRequest()
		change(&request)
		if got := chat.Complete(within(t, 30*time.Second), request); got.Class != InvalidRequest || got.Billed != BilledNot || got.Unclassified {
			t.Errorf("%s: %+v", name, got)
		}
	}
	if n := sim.Counts(providersim.OpenAI).Calls; n != 0 {
		t.Errorf("%d were sent", n)
	}
}

// credential gives a token or an error, and notes for which scope.
type credential struct {
	token string
	err   error
	scope string
}

func (c *credential) GetToken(ctx context.Context, options policy.TokenRequestOptions) (azcore.AccessToken, error) {
	c.scope = strings.Join(options.Scopes, " ")
	if c.err == nil {
		c.err = ctx.Err()
	}
	return azcore.AccessToken{Token: c.token, ExpiresOn: time.Now().Add(time.Hour)}, c.err
}

func TestEntra(t *testing.T) {
	t.Parallel()
	sim := newSim(t, providersim.Options{AzureToken: "canary-token"})
	for _, surface := range surfaces[1:] {
		for _, c := range []struct {
			name       string
			credential *credential
			scope      string
			want       Class
		}{
			{"token", &credential{token: "canary-token"}, DefaultAzureScope, Completed},
			{"own scope", &credential{token: "canary-token"}, "https://cognitiveservices.azure.com/.default", Completed},
			{"another token", &credential{token: "other"}, DefaultAzureScope, Auth},
			{"none", &credential{err: errors.New("canary: DefaultAzureCredential has nothing")}, DefaultAzureScope, Auth},
			{"refused", &credential{err: &azidentity.AuthenticationFailedError{RawResponse: &http.Response{StatusCode: 401}}}, DefaultAzureScope, Auth},
			{"issuer busy", &credential{err: &azidentity.AuthenticationFailedError{RawResponse: &http.Response{StatusCode: 503}}}, DefaultAzureScope, Connection},
			{"issuer away", &credential{err: &net.DNSError{Name: "canary"}}, DefaultAzureScope, Connection},
		} {
			chat := newChatAt(t, surface, sim.URL(), func(config *AzureConfig) {
				config.Key, config.Credential = "", c.credential
				if c.scope != DefaultAzureScope {
					config.Scope = c.scope
				}
			})
			got := chat.Complete(within(t, 30*time.Second), testRequest())
			if got.Class != c.want || c.credential.scope != c.scope {
				t.Errorf("%s, %s: scope %s, %+v", surface, c.name, c.credential.scope, got)
			}
			if shown := fmt.Sprintf("%+v %v", got, localError{Auth, c.credential.err}.Error()); strings.Contains(shown, "canary") {
				t.Errorf("shown: %s", shown)
			}
		}
	}
}

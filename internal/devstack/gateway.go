package devstack

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/url"
	"sync"
	"time"

	"github.com/huntaze/hybrid-orchestrator/internal/gateway/gatewaysim"
)

// The simulated gateway takes this long to answer, by chance: a little, as a real one does.
const (
	shortestReply = 40 * time.Millisecond
	longestReply  = 400 * time.Millisecond
)

// keepArrivals is how many arrivals stay in memory for the picture.
const keepArrivals = 2000

// gatewayServer is where messages are sent: the gateway of the configuration, or a simulated one of our own.
type gatewayServer struct {
	url    string
	sim    *gatewaysim.Server // nil: not ours
	http   *http.Server
	served chan struct{}
	calls  callTimes
}

// startGateway starts a simulated gateway unless there is a URL.
func startGateway(url, logPath string) (*gatewayServer, error) {
	g := &gatewayServer{url: url}
	if url != "" {
		return g, nil
	}
	sim, err := gatewaysim.New(gatewaysim.Options{LogPath: logPath, Seed: uint64(time.Now().UnixNano()), KeepContent: true, KeepArrivals: keepArrivals, Faults: usualFaults()})
	if err != nil {
		return nil, err
	}
	listener, err := listen(gatewayPort)
	if err != nil {
		return nil, errors.Join(err, sim.Close())
	}
	g.sim, g.url, g.served = sim, "http://"+listener.Addr().String(), make(chan struct{})
	g.http = &http.Server{Handler: g.calls.measure(sim), ReadHeaderTimeout: 10 * time.Second}
	go func() {
		defer close(g.served)
		_ = g.http.Serve(listener) // always ErrServerClosed, or the listener is broken
	}()
	return g, nil
}

func usualFaults() gatewaysim.Faults {
	return gatewaysim.Faults{Rules: []gatewaysim.Rule{{Kind: gatewaysim.Delay, Min: shortestReply, Max: longestReply}}}
}

// loseReply makes the gateway lose its reply to the next message of the account, after it took it.
func (g *gatewayServer) loseReply(account string) error {
	faults := usualFaults()
	faults.Rules = append(faults.Rules, gatewaysim.Rule{Kind: gatewaysim.LostReply, Account: account, Count: 1})
	return g.sim.SetFaults(faults)
}

func (g *gatewayServer) stop(ctx context.Context) error {
	if g.sim == nil {
		return nil
	}
	err := errors.Join(g.sim.Close(), g.http.Shutdown(ctx))
	<-g.served
	return err
}

// callTimes remembers how long the latest calls took.
type callTimes struct {
	mu    sync.Mutex
	took  map[string]time.Duration // by client reference and attempt
	order []string
}

func callKey(clientRef, attempt string) string { return clientRef + "/" + attempt }

// measure wraps the gateway.
func (c *callTimes) measure(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodPost {
			next.ServeHTTP(w, r)
			return
		}
		started := time.Now()
		defer func() { c.note(callKey(r.Header.Get("X-Client-Ref"), r.Header.Get("X-Attempt")), time.Since(started)) }()
		next.ServeHTTP(w, r)
	})
}

func (c *callTimes) note(call string, took time.Duration) {
	const most = 1000
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.took == nil {
		c.took = map[string]time.Duration{}
	}
	if len(c.order) >= most {
		delete(c.took, c.order[0])
		c.order = c.order[1:]
	}
	c.took[call], c.order = took, append(c.order, call)
}

// of returns how long a call took, negative when its reply is not out yet.
func (c *callTimes) of(call string) time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	if took, known := c.took[call]; known {
		return took
	}
	return -1
}

// isLoopback says whether a URL names this machine.
func isLoopback(address string) bool {
	parsed, err := url.Parse(address)
	if err != nil {
		return false
	}
	host := parsed.Hostname()
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

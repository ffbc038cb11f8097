package gateway

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"
)

// The defaults of a Config.
const (
	DefaultTimeout        = 20 * time.Second
	DefaultLookupTimeout  = 10 * time.Second
	DefaultConnectTimeout = 5 * time.Second
	// DefaultIdleTimeout is below the 5 s after which common servers close an idle connection: a request on a
	// connection that the other side is closing is the commonest way into doubt.
	DefaultIdleTimeout    = 4 * time.Second
	DefaultMaxConnections = 1024
)

// Config says where the gateway is and how long to wait for it. A zero duration or number means its default.
type Config struct {
	URL            string        // GATEWAY_URL: base of the contract's paths, http or https; required
	Token          string        // GATEWAY_TOKEN: bearer token; empty sends no Authorization header
	Timeout        time.Duration // GATEWAY_TIMEOUT: one send, from the call to the end of the answer
	LookupTimeout  time.Duration // GATEWAY_LOOKUP_TIMEOUT: one look-up
	ConnectTimeout time.Duration // GATEWAY_CONNECT_TIMEOUT: TCP and TLS of one new connection
	IdleTimeout    time.Duration // GATEWAY_IDLE_TIMEOUT: how long an unused connection is kept
	MaxConnections int           // GATEWAY_MAX_CONNECTIONS: open at once; a send over it waits for a free one
	TLS            *tls.Config   // for a private authority or a client certificate; nil uses the system's
}

// normalise checks a configuration and fills in its defaults. Errors name the variable and the remedy, and never
// repeat a value that may be secret.
func (c Config) normalise() (Config, *url.URL, error) {
	base, err := parseBase(c.URL)
	if err != nil {
		return c, nil, err
	}
	if strings.TrimSpace(c.Token) != c.Token || !isPrintableASCII(c.Token) {
		return c, nil, errors.New("GATEWAY_TOKEN holds a space at an end, a line break or a character outside ASCII: " +
			"set it to the bare token, without quotes or a final newline")
	}
	for _, d := range []struct {
		name     string
		value    *time.Duration
		standard time.Duration
	}{
		{"GATEWAY_TIMEOUT", &c.Timeout, DefaultTimeout},
		{"GATEWAY_LOOKUP_TIMEOUT", &c.LookupTimeout, DefaultLookupTimeout},
		{"GATEWAY_CONNECT_TIMEOUT", &c.ConnectTimeout, DefaultConnectTimeout},
		{"GATEWAY_IDLE_TIMEOUT", &c.IdleTimeout, DefaultIdleTimeout},
	} {
		if *d.value < 0 {
			return c, nil, fmt.Errorf("%s is %v: set a positive duration such as %v", d.name, *d.value, d.standard)
		}
		if *d.value == 0 {
			*d.value = d.standard
		}
	}
	if c.MaxConnections < 0 {
		return c, nil, fmt.Errorf("GATEWAY_MAX_CONNECTIONS is %d: set a positive number such as %d",
			c.MaxConnections, DefaultMaxConnections)
	}
	if c.MaxConnections == 0 {
		c.MaxConnections = DefaultMaxConnections
	}
	return c, base, nil
}

func parseBase(raw string) (*url.URL, error) {
	const remedy = `set it to the gateway's base URL, such as "https://gateway.example.com"`
	if raw == "" {
		return nil, errors.New("GATEWAY_URL is not set: " + remedy)
	}
	base, err := url.Parse(raw)
	switch {
	case err != nil:
		return nil, errors.New("GATEWAY_URL is not a URL: " + remedy)
	case base.Scheme != "http" && base.Scheme != "https":
		return nil, errors.New("GATEWAY_URL is neither http:// nor https://: " + remedy)
	case base.Hostname() == "":
		return nil, errors.New("GATEWAY_URL names no host: " + remedy)
	case base.User != nil:
		return nil, errors.New("GATEWAY_URL holds a user name or password: put the token into GATEWAY_TOKEN instead")
	case base.RawQuery != "" || base.ForceQuery || base.Fragment != "":
		return nil, errors.New("GATEWAY_URL holds a query or a fragment: " + remedy)
	}
	return base.JoinPath("v1", "messages"), nil
}

// isPrintableASCII says whether a text may be a header's value as it is.
func isPrintableASCII(text string) bool {
	for i := range len(text) {
		if text[i] < ' ' || text[i] > '~' {
			return false
		}
	}
	return true
}

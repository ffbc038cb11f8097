package provider

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
)

// The defaults of a configuration.
const (
	DefaultOpenAIBaseURL  = "https://api.openai.com/v1"
	DefaultAzureScope     = "https://ai.azure.com/.default"
	DefaultConnectTimeout = 5 * time.Second
	DefaultMaxConnections = 256
)

// Zones are the places where a model may run, as prices know them.
var Zones = []string{"global", "datazone", "regional"}

// Tiers are the service tiers that can be asked for.
var Tiers = []string{"auto", "default", "flex", "priority", "scale", "fast"}

// OpenAIConfig says how OpenAI is asked. Nothing is read from the environment.
type OpenAIConfig struct {
	BaseURL      string // with its version, as "https://api.openai.com/v1"; empty: that one
	Key          Secret // required
	Organization string // OpenAI-Organization; empty: the key's own
	Project      string // OpenAI-Project; empty: the key's own
	Model        string // that is asked for; required
	PricedModel  string // that is paid for; empty: Model
	Zone         string // "global", or empty, which means it
	Common
}

// AzureConfig says how one deployment of Azure OpenAI is asked. Nothing is read from the environment.
type AzureConfig struct {
	Endpoint    string                 // of the resource, as "https://name.openai.azure.com"; required
	APIVersion  string                 // empty: the v1 surface, which has none
	Key         Secret                 // this or Credential
	Credential  azcore.TokenCredential // Entra ID; it keeps its tokens itself, as those of azidentity do
	Scope       string                 // of the token; empty: DefaultAzureScope
	Deployment  string                 // required
	PricedModel string                 // model that is paid for; required, because a deployment's name says nothing
	Zone        string                 // global, datazone or regional; required, because it changes the price
	Common
}

// Common are the settings that both providers have. A zero value means the default.
type Common struct {
	Tier            string        // service tier; empty: the provider's default
	ReasoningEffort string        // such as "low"; empty: not sent
	NoStore         bool          // ask the provider not to keep the text (store=false)
	ConnectTimeout  time.Duration // TCP and TLS of one new connection
	MaxConnections  int           // open at once; a call over it waits for a free one
	TLS             *tls.Config   // for a private authority; nil uses the system's
}

func (c OpenAIConfig) normalise() (OpenAIConfig, *url.URL, error) {
	const of = "OpenAIConfig."
	if c.BaseURL == "" {
		c.BaseURL = DefaultOpenAIBaseURL
	}
	base, err := parseBase(of+"BaseURL", c.BaseURL, DefaultOpenAIBaseURL)
	if err != nil {
		return c, nil, err
	}
	if c.PricedModel == "" {
		c.PricedModel = c.Model
	}
	if c.Zone == "" {
		c.Zone = "global"
	}
	if c.Zone != "global" {
		return c, nil, fmt.Errorf("%sZone is %q: OpenAI has only global", of, c.Zone)
	}
	if c.Key == "" {
		return c, nil, errors.New(of + "Key is not set")
	}
	if err := errors.Join(checkHeader(of+"Key", c.Key.Reveal()), checkHeader(of+"Organization", c.Organization), checkHeader(of+"Project", c.Project),
		checkName(of+"Model", c.Model), checkName(of+"PricedModel", c.PricedModel)); err != nil {
		return c, nil, err
	}
	c.Common, err = c.Common.normalise(of)
	return c, base, err
}

func (c AzureConfig) normalise() (AzureConfig, *url.URL, error) {
	const of = "AzureConfig."
	base, err := parseBase(of+"Endpoint", c.Endpoint, "https://name.openai.azure.com")
	if err != nil {
		return c, nil, err
	}
	// The portal shows the endpoint with the path of a surface behind it; both mean the resource.
	for _, path := range []string{"/v1", "/openai"} {
		base.Path = strings.TrimSuffix(base.Path, path)
	}
	if strings.Contains(base.Path, "/deployments") {
		return c, nil, fmt.Errorf("%sEndpoint names a deployment: leave its path away and put the name into Deployment", of)
	}
	if err := checkCredential(c); err != nil {
		return c, nil, err
	}
	if c.Scope == "" {
		c.Scope = DefaultAzureScope
	}
	if !slices.Contains(Zones, c.Zone) {
		return c, nil, fmt.Errorf("%sZone is %q: it must be one of %s", of, c.Zone, strings.Join(Zones, ", "))
	}
	if err := errors.Join(checkHeader(of+"Key", c.Key.Reveal()), checkHeader(of+"APIVersion", c.APIVersion), checkHeader(of+"Scope", c.Scope),
		checkName(of+"Deployment", c.Deployment), checkName(of+"PricedModel", c.PricedModel)); err != nil {
		return c, nil, err
	}
	c.Common, err = c.Common.normalise(of)
	return c, base, err
}

func checkCredential(c AzureConfig) error {
	switch {
	case c.Key == "" && c.Credential == nil:
		return errors.New("AzureConfig.Key is not set, and neither is Credential: one of them is needed")
	case c.Key != "" && c.Credential != nil:
		return errors.New("AzureConfig.Key and Credential are both set: which one is meant?")
	}
	return nil
}

func (c Common) normalise(of string) (Common, error) {
	switch {
	case c.Tier != "" && !slices.Contains(Tiers, c.Tier):
		return c, fmt.Errorf("%sTier is %q: it must be one of %s, or empty", of, c.Tier, strings.Join(Tiers, ", "))
	case strings.Trim(c.ReasoningEffort, "abcdefghijklmnopqrstuvwxyz") != "" || len(c.ReasoningEffort) > maxWord:
		return c, fmt.Errorf(`%sReasoningEffort is %q: it is a word such as "low"`, of, c.ReasoningEffort)
	case c.ConnectTimeout < 0:
		return c, fmt.Errorf("%sConnectTimeout is %v: set a positive duration such as %v", of, c.ConnectTimeout, DefaultConnectTimeout)
	case c.MaxConnections < 0:
		return c, fmt.Errorf("%sMaxConnections is %d: set a positive number such as %d", of, c.MaxConnections, DefaultMaxConnections)
	}
	if c.ConnectTimeout == 0 {
		c.ConnectTimeout = DefaultConnectTimeout
	}
	if c.MaxConnections == 0 {
		c.MaxConnections = DefaultMaxConnections
	}
	return c, nil
}

// parseBase reads an address without repeating it in an error: people put keys into the wrong setting.
func parseBase(field, raw, example string) (*url.URL, error) {
	remedy := `: set it to an address such as "` + example + `"`
	if raw == "" {
		return nil, errors.New(field + " is not set" + remedy)
	}
	base, err := url.Parse(raw)
	switch {
	case err != nil:
		return nil, errors.New(field + " is not a URL" + remedy)
	case base.Scheme != "http" && base.Scheme != "https":
		return nil, errors.New(field + " is neither https:// nor http://" + remedy)
	case base.Hostname() == "":
		return nil, errors.New(field + " names no host" + remedy)
	case base.Scheme == "http" && !isLoopback(base.Hostname()):
		return nil, errors.New(field + " is http://, which shows the key to the network: only an address of this machine may be" + remedy)
	case base.User != nil:
		return nil, errors.New(field + " holds a user name or password: the key belongs into Key")
	case base.RawQuery != "" || base.ForceQuery || base.Fragment != "":
		return nil, errors.New(field + " holds a query or a fragment" + remedy)
	}
	base.Path = strings.TrimRight(base.Path, "/")
	base.RawPath = ""
	return base, nil
}

func isLoopback(host string) bool {
	if host == "localhost" {
		return true
	}
	ip := net.ParseIP(host)
	return ip != nil && ip.IsLoopback()
}

// checkHeader refuses what can't be a header's value as it is.
func checkHeader(field, value string) error {
	if strings.TrimSpace(value) != value || !isPrintableASCII(value) {
		return errors.New(field + " holds a space at an end, a line break or a character outside ASCII: set it to the bare value, without quotes")
	}
	return nil
}

// checkName refuses what can't be the name of a model or a deployment. A slash is part of the names of some
// gateways' models; the path of a deployment escapes it.
func checkName(field, value string) error {
	if value == "" {
		return errors.New(field + " is not set")
	}
	if !isPrintableASCII(value) || strings.ContainsAny(value, " ?#") || len(value) > 2*maxWord {
		return errors.New(field + " is no name: letters, digits and dashes")
	}
	return nil
}

func isPrintableASCII(text string) bool {
	for i := range len(text) {
		if text[i] < ' ' || text[i] > '~' {
			return false
		}
	}
	return true
}

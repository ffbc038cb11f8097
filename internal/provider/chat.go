package provider

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"

	"github.com/openai/openai-go/v3"
	"github.com/openai/openai-go/v3/option"
	"github.com/openai/openai-go/v3/packages/param"
	"github.com/openai/openai-go/v3/shared"
)

// Chat asks one target over HTTP, by the chat completions that both providers have. It is a [Client] and a
// [Checker], safe for concurrent use; make one for each target and process.
type Chat struct {
	target      Target
	common      Common
	http        *http.Client
	completions openai.ChatCompletionService
	authorise   func(context.Context, http.Header) error // the only holder of the key
	probes      []probe
}

// NewOpenAI makes a client of OpenAI. An error names the field that is wrong.
func NewOpenAI(config OpenAIConfig) (*Chat, error) {
	config, base, err := config.normalise()
	if err != nil {
		return nil, err
	}
	key, organization, project := "Bearer "+config.Key.Reveal(), config.Organization, config.Project
	authorise := func(_ context.Context, h http.Header) error {
		h.Set("Authorization", key)
		if organization != "" {
			h.Set("OpenAI-Organization", organization)
		}
		if project != "" {
			h.Set("OpenAI-Project", project)
		}
		return nil
	}
	target := Target{Provider: OpenAI, Host: base.Host, Deployment: config.Model, Model: config.PricedModel, Zone: config.Zone, Tier: config.Tier}
	probes := []probe{{method: http.MethodGet, url: base.JoinPath("models").String() + "/" + url.PathEscape(config.Model), wants: theModel}}
	return newChat(target, config.Common, authorise, probes, option.WithBaseURL(base.String()+"/")), nil
}

// NewAzure makes a client of a deployment of Azure OpenAI. An error names the field that is wrong.
func NewAzure(config AzureConfig) (*Chat, error) {
	config, endpoint, err := config.normalise()
	if err != nil {
		return nil, err
	}
	authorise := bearer(config.Credential, config.Scope)
	if key := config.Key.Reveal(); key != "" {
		authorise = func(_ context.Context, h http.Header) error { h.Set("Api-Key", key); return nil }
	}
	// The address of a deployment is made by hand: the SDK's own option for it would read the request's body once more,
	// and has no v1 surface.
	base, models := endpoint.JoinPath("openai", "v1").String()+"/", endpoint.JoinPath("openai", "v1", "models").String()
	version := ""
	options := []option.RequestOption{}
	if config.APIVersion != "" {
		base = endpoint.JoinPath("openai", "deployments").String() + "/" + url.PathEscape(config.Deployment) + "/"
		version = "?" + url.Values{"api-version": {config.APIVersion}}.Encode()
		models = endpoint.JoinPath("openai", "models").String() + version
		options = append(options, option.WithQuery("api-version", config.APIVersion))
	}
	empty, _ := json.Marshal(map[string]any{"model": config.Deployment, "messages": []string{}})
	target := Target{Provider: Azure, Host: endpoint.Host, Deployment: config.Deployment, Model: config.PricedModel, Zone: config.Zone, Tier: config.Tier}
	probes := []probe{
		{method: http.MethodGet, url: models, wants: theSurface},
		{method: http.MethodPost, url: base + "chat/completions" + version, body: empty, wants: theDeployment},
	}
	return newChat(target, config.Common, authorise, probes, append(options, option.WithBaseURL(base))...), nil
}

// newChat makes a service, not a client of the SDK: a client reads OPENAI_* from the environment, a service nothing.
func newChat(target Target, common Common, authorise func(context.Context, http.Header) error, probes []probe, options ...option.RequestOption) *Chat {
	client := newHTTPClient(common)
	options = append(options, option.WithHTTPClient(client), option.WithMaxRetries(0))
	return &Chat{target: target, common: common, http: client, authorise: authorise, probes: probes,
		completions: openai.NewChatCompletionService(options...)}
}

// Target says who is asked.
func (c *Chat) Target() Target { return c.target }

// Close drops idle connections. Calls in flight finish.
func (c *Chat) Close() { c.http.CloseIdleConnections() }

// errSeen ends a call inside the SDK when its answer was read: the SDK would read and interpret it a second time, and
// lose the status where the body is not what it expects.
var errSeen = errors.New("the answer was read")

// Complete makes one call, by the context's deadline at the latest, and says what became of it.
func (c *Chat) Complete(ctx context.Context, r Request) Result {
	params, err := c.params(r)
	if err != nil {
		return Classify(Exchange{Provider: c.target.Provider, Err: err})
	}
	if err := ended(ctx); err != nil {
		return Classify(Exchange{Provider: c.target.Provider, Err: err, Context: err})
	}
	var seen Exchange
	_, err = c.completions.New(ctx, params, option.WithHeader("X-Client-Request-Id", r.ID),
		option.WithMiddleware(func(request *http.Request, next option.MiddlewareNext) (*http.Response, error) {
			if err := c.authorise(ctx, request.Header); err != nil {
				seen = Exchange{Err: err, Context: ended(ctx)}
				return nil, err
			}
			if parent := traceparent(r.Trace); parent != "" {
				request.Header.Set("Traceparent", parent)
			}
			seen = exchange(request, next)
			return nil, errSeen
		}))
	if seen.Err == nil && seen.Status == 0 { // the SDK did not make a request of it
		seen = Exchange{Err: localError{InvalidRequest, err}, Context: ended(ctx)}
	}
	seen.Provider = c.target.Provider
	return Classify(seen)
}

// params makes the request's body. What would only come back as a refusal is refused here.
func (c *Chat) params(r Request) (openai.ChatCompletionNewParams, error) {
	schema, name := r.Schema, r.SchemaName
	if len(schema) == 0 {
		schema = answerSchema
	}
	if name == "" {
		name = SchemaName
	}
	switch {
	case r.ID == "" || len(r.ID) > 2*maxWord || !isPrintableASCII(r.ID):
		return openai.ChatCompletionNewParams{}, localError{InvalidRequest, errors.New("the attempt's id is no header")}
	case r.MaxOutputTokens <= 0: // without a limit nobody could say what the call costs at most
		return openai.ChatCompletionNewParams{}, localError{InvalidRequest, errors.New("no limit of the output")}
	case !json.Valid(schema):
		return openai.ChatCompletionNewParams{}, localError{InvalidRequest, errors.New("the schema is not JSON")}
	}
	params := openai.ChatCompletionNewParams{
		Model:               c.target.Deployment,
		Messages:            make([]openai.ChatCompletionMessageParamUnion, 0, 2),
		MaxCompletionTokens: param.NewOpt(int64(r.MaxOutputTokens)),
		ServiceTier:         openai.ChatCompletionNewParamsServiceTier(c.common.Tier),
		ReasoningEffort:     shared.ReasoningEffort(c.common.ReasoningEffort),
		ResponseFormat: openai.ChatCompletionNewParamsResponseFormatUnion{OfJSONSchema: &shared.ResponseFormatJSONSchemaParam{
			JSONSchema: shared.ResponseFormatJSONSchemaJSONSchemaParam{Name: name, Strict: param.NewOpt(true), Schema: json.RawMessage(schema)},
		}},
	}
	if r.System != "" {
		params.Messages = append(params.Messages, openai.SystemMessage(r.System))
	}
	params.Messages = append(params.Messages, openai.UserMessage(r.User))
	if c.common.NoStore {
		params.Store = param.NewOpt(false)
	}
	return params, nil
}

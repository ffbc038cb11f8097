// Package config is the configuration of the process: every environment variable that it reads, with its
// default, its meaning and the values it may have. No other package knows the name of a variable.
//
// A process reads it once, at its start:
//
//	environ, err := config.Environ(".env") // in dev; elsewhere config.Environ()
//	cfg, err := config.Load(environ)
//	err = cfg.Require("DATABASE_URL", "GATEWAY_URL")
//
// Load reports everything that is wrong at once, so that a person corrects it in one go, and never shows
// the value of a secret, nor does anything that prints a Config. Warnings finds names that look misspelt,
// which an environment would otherwise ignore in silence.
package config

import (
	"log/slog"
	"net"
	"strconv"
	"strings"
	"time"
)

// Config is what the process was told. The tags are the only list of the variables:
//
//	env         the name
//	envDefault  the value when it is not set, or set to nothing
//	group       the heading it is shown under
//	desc        what it means
//	expect      what a value must look like, where the type, min, max and oneof do not say it
//	example     a value that is right, where there is no default
//	min, max    the range, inclusive, in the notation of the variable itself
//	oneof       the only values it may have, separated by |, in small or capital letters
//	empty       the value that an empty one stands for, where that is not the default
type Config struct {
	DatabaseURL            Secret `env:"DATABASE_URL" group:"Database" desc:"Postgres that holds the workflows and the jobs; huntaze dev starts one of its own when it is not set" expect:"a Postgres address, postgres://user:password@host:port/database with special characters of the password percent-encoded, or key=value pairs" example:"postgres://huntaze@127.0.0.1:5432/huntaze"`
	DatabaseMaxConnections int    `env:"DATABASE_MAX_CONNECTIONS" envDefault:"10" group:"Database" desc:"connections of this process' own pool" min:"2" max:"1000"`
	RiverMaxConnections    int    `env:"RIVER_MAX_CONNECTIONS" envDefault:"10" group:"Database" desc:"connections of the pool that fetches and completes jobs" min:"2" max:"1000"`

	AWSRegion       string        `env:"AWS_REGION" envDefault:"us-east-1" group:"Queue" desc:"AWS region of the queues" expect:"the name of a region"`
	SQSEndpoint     string        `env:"AWS_ENDPOINT_URL_SQS" group:"Queue" desc:"address of an SQS server other than AWS; huntaze dev starts one in process when it is not set" expect:"an http or https address" example:"http://127.0.0.1:9324"`
	SQSQueue        string        `env:"SQS_QUEUE" envDefault:"huntaze-hybrid-messages-production" group:"Queue" desc:"queue that messages come from" expect:"the name of an SQS queue, not its URL: 1 to 80 letters, digits, - and _, with .fifo at the end of a FIFO queue"`
	SQSRetryQueue   string        `env:"SQS_RETRY_QUEUE" envDefault:"huntaze-alerts-production" group:"Queue" desc:"second queue, read like the first; empty or off: none" expect:"the name of an SQS queue, not its URL, or off" empty:"off"`
	SQSDeadLetters  string        `env:"SQS_DLQ" envDefault:"huntaze-dlq-production" group:"Queue" desc:"queue that gets what can't be used" expect:"the name of an SQS queue, not its URL: 1 to 80 letters, digits, - and _, with .fifo at the end of a FIFO queue"`
	SQSPollers      int           `env:"SQS_POLLERS" envDefault:"4" group:"Queue" desc:"long polls at once for each queue" min:"1" max:"64"`
	SQSLinger       time.Duration `env:"SQS_LINGER" envDefault:"5ms" group:"Queue" desc:"how long a message may wait for others to share its transaction" min:"0s" max:"1s"`
	SQSBatchMax     int           `env:"SQS_BATCH_MAX" envDefault:"200" group:"Queue" desc:"messages in one transaction, at most" min:"1" max:"10000"`
	MaxMessageBytes int           `env:"MAX_MESSAGE_BYTES" envDefault:"262144" group:"Queue" desc:"bytes of a message body; a larger one goes to quarantine (SQS itself takes up to 1048576)" min:"1024" max:"1048576"`
	DefaultUserID   string        `env:"DEFAULT_USER_ID" group:"Queue" desc:"account of messages that name none and belong to no known workflow; not set: they go to quarantine" expect:"an account's id of 1 to 256 characters, without spaces" example:"creator-7"`

	GatewayURL         string        `env:"GATEWAY_URL" group:"Gateway" desc:"message gateway that sends on OnlyFans; huntaze dev starts a simulated one when it is not set" expect:"an http or https address without user, query and fragment" example:"https://gateway.example.com"`
	GatewayToken       Secret        `env:"GATEWAY_TOKEN" group:"Gateway" desc:"bearer token for the gateway" expect:"printable ASCII characters without spaces" example:"token-from-the-operator-of-the-gateway"`
	GatewayTimeout     time.Duration `env:"GATEWAY_TIMEOUT" envDefault:"20s" group:"Gateway" desc:"longest time that one call may take; then the message is in doubt" min:"1ms" max:"5m"`
	GatewaySettle      time.Duration `env:"GATEWAY_SETTLE" envDefault:"120s" group:"Gateway" desc:"longest time that a proxy may hold a request: only after it does the gateway's 404 prove that a message was never accepted" min:"1ms" max:"1h"`
	GatewayIdleTimeout time.Duration `env:"GATEWAY_IDLE_TIMEOUT" envDefault:"4s" group:"Gateway" desc:"how long an unused connection is kept; less than the gateway keeps it, so that no request is written to one that it is closing" min:"1ms" max:"10m"`

	RateLimitAccount         string        `env:"RATE_LIMIT_ACCOUNT" envDefault:"10/60s" group:"Limits" desc:"messages per time of one account; seeds the database on first start, from then on huntaze limits set changes it" expect:"a list of number/time, separated by commas, or off"`
	RateLimitRecipient       string        `env:"RATE_LIMIT_RECIPIENT" envDefault:"1/60s,10/24h" group:"Limits" desc:"messages per time to one recipient from one account; seeds the database likewise" expect:"a list of number/time, separated by commas, or off"`
	RateLimitGuard           time.Duration `env:"RATE_LIMIT_GUARD" envDefault:"500ms" group:"Limits" desc:"added to each of these times, against jitter on the way to the platform; seeds the database likewise" min:"0s" max:"1m"`
	OnlyFansRateLimitedDelay time.Duration `env:"ONLYFANS_RATE_LIMITED_DELAY" group:"Limits" desc:"how long an account rests after a 429 that does not say it (Retry-After); not set: as long as the fallback matrix says (row onlyfans_rate_limited, 45s)" example:"45s" min:"1ms" max:"24h"`

	AzureEndpoint        string        `env:"AZURE_OPENAI_ENDPOINT" group:"Providers" desc:"address of the Azure OpenAI resource that writes texts; without it and OPENAI_API_KEY a message with a brief waits (huntaze dev simulates both)" expect:"an http or https address; http only on this machine" example:"https://name.openai.azure.com"`
	AzureAPIKey          Secret        `env:"AZURE_OPENAI_API_KEY" group:"Providers" desc:"key of that resource" expect:"printable ASCII characters without spaces" example:"key-from-the-azure-portal"`
	AzureAuth            string        `env:"AZURE_OPENAI_AUTH" envDefault:"key" group:"Providers" desc:"how this process says who it is: with the key, or with a token of Entra ID (managed identity, workload identity, AZURE_CLIENT_ID and the like)" oneof:"key|entra"`
	AzureScope           string        `env:"AZURE_OPENAI_SCOPE" envDefault:"https://ai.azure.com/.default" group:"Providers" desc:"scope of the Entra token; older resources take https://cognitiveservices.azure.com/.default" expect:"an https address that ends in /.default"`
	AzureDeployment      string        `env:"AZURE_OPENAI_DEPLOYMENT" group:"Providers" desc:"deployment that is asked" expect:"the name of a deployment" example:"texts"`
	AzureModel           string        `env:"AZURE_OPENAI_MODEL" group:"Providers" desc:"model of that deployment, by which it is paid" expect:"the name of a model as the price table has it" example:"gpt-5.4-mini"`
	AzureZone            string        `env:"AZURE_OPENAI_ZONE" envDefault:"global" group:"Providers" desc:"kind of the deployment, by which it is paid" oneof:"global|datazone|regional"`
	AzureAPIVersion      string        `env:"AZURE_OPENAI_API_VERSION" group:"Providers" desc:"version of the classic API (/openai/deployments/…); not set: the v1 API, which has none" expect:"a date, with -preview behind it or not" example:"2025-04-01-preview"`
	AzureServiceTier     string        `env:"AZURE_OPENAI_SERVICE_TIER" group:"Providers" desc:"service tier to ask for; not set: the deployment's own" example:"flex" oneof:"auto|default|flex|priority|scale|fast"`
	AzureReasoningEffort string        `env:"AZURE_OPENAI_REASONING_EFFORT" group:"Providers" desc:"how much a reasoning model may think; not set: not sent, as models that don't reason need it" example:"low" oneof:"none|minimal|low|medium|high"`
	OpenAIAPIKey         Secret        `env:"OPENAI_API_KEY" group:"Providers" desc:"key of OpenAI, which writes texts beside Azure or alone" expect:"printable ASCII characters without spaces" example:"key-from-the-openai-platform"`
	OpenAIBaseURL        string        `env:"OPENAI_BASE_URL" group:"Providers" desc:"address of the OpenAI API with its version; not set: OpenAI's own" expect:"an http or https address; http only on this machine" example:"https://api.openai.com/v1"`
	OpenAIModel          string        `env:"OPENAI_MODEL" group:"Providers" desc:"model that is asked" expect:"the name of a model as the price table has it" example:"gpt-5.4-mini"`
	OpenAIOrganization   string        `env:"OPENAI_ORG_ID" group:"Providers" desc:"organization that pays; not set: the key's own" expect:"printable ASCII characters without spaces" example:"org-1"`
	OpenAIProject        string        `env:"OPENAI_PROJECT_ID" group:"Providers" desc:"project that pays; not set: the key's own" expect:"printable ASCII characters without spaces" example:"proj-1"`
	OpenAIServiceTier    string        `env:"OPENAI_SERVICE_TIER" group:"Providers" desc:"service tier to ask for; not set: the project's own" example:"flex" oneof:"auto|default|flex|priority|scale|fast"`
	OpenAIEffort         string        `env:"OPENAI_REASONING_EFFORT" group:"Providers" desc:"how much a reasoning model may think; not set: not sent, as models that don't reason need it" example:"low" oneof:"none|minimal|low|medium|high"`
	ProviderPrimary      string        `env:"PROVIDER_PRIMARY" envDefault:"azure" group:"Providers" desc:"provider that is asked first where there are both" oneof:"azure|openai"`
	ProviderTimeout      time.Duration `env:"PROVIDER_TIMEOUT" envDefault:"30s" group:"Providers" desc:"longest time that one call to a provider may take" min:"10ms" max:"1m"`
	PlanWorkers          int           `env:"PLAN_WORKERS" envDefault:"20" group:"Providers" desc:"texts that this process has written at once" min:"1" max:"10000"`
	ProviderBudget       string        `env:"PROVIDER_DAILY_BUDGET_USD" group:"Providers" desc:"US dollars that the whole fleet may spend on texts on one day (UTC); then texts wait; not set: no limit" example:"25.50" expect:"an amount above 0 with at most two digits after the point"`
	PromptTemplate       string        `env:"PROMPT_TEMPLATE" envDefault:"message" group:"Providers" desc:"template that new texts are written by: a name, which means its highest version, or name@version" expect:"the name of a template"`
	PromptDir            string        `env:"PROMPT_DIR" group:"Providers" desc:"folder with templates of your own (name.v1.yaml), beside the built-in ones" expect:"a path" example:"prompts"`
	FallbackMatrixFile   string        `env:"FALLBACK_MATRIX_FILE" group:"Providers" desc:"YAML file with rows of the fallback matrix that replace the built-in ones" expect:"a path" example:"fallback.yaml"`
	PriceFile            string        `env:"PRICE_FILE" group:"Providers" desc:"YAML file with the price table in place of the built-in one" expect:"a path" example:"prices.yaml"`

	SendWorkers       int           `env:"SEND_WORKERS" envDefault:"100" group:"Worker" desc:"sends at once in this process" min:"1" max:"10000"`
	StepWorkers       int           `env:"STEP_WORKERS" envDefault:"20" group:"Worker" desc:"other steps at once in this process" min:"1" max:"10000"`
	ShutdownTimeout   time.Duration `env:"SHUTDOWN_TIMEOUT" envDefault:"110s" group:"Worker" desc:"how long the process may take to finish what is in flight after SIGTERM; less than the orchestrator waits before it kills (ECS: stopTimeout, 120 s at most)" min:"1ms" max:"1h"`
	SendReservation   time.Duration `env:"SEND_RESERVATION" envDefault:"30s" group:"Worker" desc:"how long a message that has its tokens may wait for its call to begin; then they are given back" min:"100ms" max:"10m"`
	ReconcileInterval time.Duration `env:"RECONCILE_INTERVAL" envDefault:"60s" group:"Worker" desc:"how often one process of the fleet looks for what a crash left behind" min:"100ms" max:"1h"`

	LegacyURL          string `env:"LEGACY_ORCHESTRATOR_URL" group:"Rollout" desc:"address of the orchestrator before this one: accounts whose flag orchestrator_enabled is off stay with it; not set: everything is handled here" expect:"an http or https address without query and fragment" example:"https://legacy.example.com"`
	LegacyMessagesPath string `env:"LEGACY_MESSAGES_PATH" envDefault:"/messages" group:"Rollout" desc:"where on it messages of the queue are posted to" expect:"a path that begins with /"`

	HTTPAddr      string `env:"HTTP_ADDR" envDefault:"127.0.0.1:8080" group:"HTTP" desc:"where the API listens; port 0 takes any that is free" expect:"host:port"`
	Port          int    `env:"PORT" group:"HTTP" desc:"short for HTTP_ADDR=:PORT, on every address of the machine; not used when HTTP_ADDR is set" example:"8080" min:"0" max:"65535"`
	ConsoleSecure bool   `env:"CONSOLE_SECURE" envDefault:"false" group:"HTTP" desc:"whether people come to the console over TLS, here or at a proxy before: its cookie is then never sent without" expect:"true or false"`
	AdminAddr     string `env:"ADMIN_ADDR" envDefault:"127.0.0.1:9090" group:"HTTP" desc:"where /livez, /readyz and /metrics are served; port 0 takes any that is free. huntaze api serves its metrics there only where it is set" expect:"host:port"`

	APIRateLimit      int           `env:"API_RATE_LIMIT" envDefault:"50" group:"HTTP" desc:"requests a second that one API key may make to one process, and twice as many at once" min:"1" max:"100000"`
	APIRequestTimeout time.Duration `env:"API_REQUEST_TIMEOUT" envDefault:"30s" group:"HTTP" desc:"longest time that a request to the API may take; a list of recipients may take it for each part" min:"100ms" max:"10m"`
	APIMaxBody        int           `env:"API_MAX_BODY_BYTES" envDefault:"4194304" group:"HTTP" desc:"bytes of a request's body" min:"1024" max:"67108864"`
	APIMaxUpload      int           `env:"API_MAX_UPLOAD_BYTES" envDefault:"1073741824" group:"HTTP" desc:"bytes of a list of recipients" min:"1024" max:"17179869184"`
	APIURL            string        `env:"HUNTAZE_API_URL" envDefault:"http://127.0.0.1:8080" group:"HTTP" desc:"where huntaze campaign finds the API" expect:"an http or https address without user, query and fragment"`
	APIKey            Secret        `env:"HUNTAZE_API_KEY" group:"HTTP" desc:"key by which huntaze campaign uses the API; huntaze apikey create makes one" expect:"a key of the API" example:"huntaze_id_secret"`

	LogLevel  slog.Level `env:"LOG_LEVEL" envDefault:"info" group:"Logs" desc:"least important log lines that are written" oneof:"debug|info|warn|error"`
	LogFormat string     `env:"LOG_FORMAT" envDefault:"json" group:"Logs" desc:"form of a log line: one JSON object, or text for a person" oneof:"json|text"`

	EMF          bool   `env:"CLOUDWATCH_EMF" envDefault:"false" group:"Metrics" desc:"write what autoscaling and alarms of CloudWatch need as lines (embedded metric format) on stdout, once a minute" expect:"true or false"`
	EMFNamespace string `env:"CLOUDWATCH_NAMESPACE" envDefault:"Huntaze" group:"Metrics" desc:"CloudWatch namespace of those metrics; one for each environment" expect:"a name" example:"Huntaze/Staging"`

	DataDir string `env:"HUNTAZE_DATA_DIR" envDefault:".data" group:"Development" desc:"folder where huntaze dev keeps its database and its queues" expect:"a path"`
}

// passedThrough are families of standard variables that libraries read by themselves.
var passedThrough = []Variable{
	{Name: "AWS_*", Group: "Passed through", Meaning: "standard AWS settings (credentials, profile, container role), read by the AWS SDK"},
	{Name: "FLAG_*", Group: "Passed through", Meaning: "overrides of flags in this process: FLAG_ORCHESTRATOR_ENABLED (on, off or 25%), FLAG_SENDS_ENABLED=off, FLAG_PLANNING_ENABLED=off; huntaze flags list shows them"},
	{Name: "OTEL_*", Group: "Passed through", Meaning: "standard OpenTelemetry settings (exporter, endpoint, resource, sampler), read by the OpenTelemetry SDK"},
}

// Check is a rule for one variable that a package above this one knows, for example how a list of limits
// is written.
type Check struct {
	Name  string                   // of the variable
	Valid func(value string) error // says what is wrong with a value that is set, or its default
}

// Load reads the configuration from environ, a map of names to values such as Environ returns. A variable
// set to nothing counts as not set, except where its meaning says otherwise.
//
// The error is an Errors with one Problem for every variable that can't be used.
func Load(environ map[string]string, checks ...Check) (Config, error) {
	var cfg Config
	problems := parse(&cfg, environ)
	failed := make(map[string]bool, len(problems))
	for _, p := range problems {
		failed[p.Name] = true
	}
	for _, c := range append(ownChecks(&cfg), checks...) {
		f := mustField(c.Name)
		value := f.raw(environ)
		if failed[c.Name] || value == "" {
			continue
		}
		if err := c.Valid(value); err != nil {
			problems = append(problems, f.problem(value, err.Error()))
			failed[c.Name] = true
		}
	}
	if len(problems) > 0 {
		return Config{}, sorted(problems)
	}
	cfg.normalise(environ)
	return cfg, nil
}

// normalise gives every value the one form that the program uses.
func (c *Config) normalise(environ map[string]string) {
	if c.SQSRetryQueue == off {
		c.SQSRetryQueue = ""
	}
	c.GatewayURL = strings.TrimRight(c.GatewayURL, "/")
	if c.Port != 0 && environ["HTTP_ADDR"] == "" {
		c.HTTPAddr = net.JoinHostPort("", strconv.Itoa(c.Port))
	}
}

// Require reports which of the named variables have no value, as an Errors. What a command needs differs,
// so it is the command that asks: huntaze dev needs none.
func (c Config) Require(names ...string) error {
	var problems Errors
	for _, name := range names {
		f := mustField(name)
		if f.of(c).IsZero() {
			p := f.problem("", "")
			p.Missing = true
			problems = append(problems, p)
		}
	}
	if len(problems) == 0 {
		return nil
	}
	return problems
}

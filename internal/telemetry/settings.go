package telemetry

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"

	"go.opentelemetry.io/otel/attribute"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
)

// The exporters.
const (
	exportOTLP    = "otlp"
	exportConsole = "console"
	exportNone    = "none"
)

// settings are what the standard variables say. They are read here and not by the SDK, which knows only the
// environment of the process and says nothing of a value that it can't use.
type settings struct {
	exporter    string
	endpoint    string // whole URL
	headers     map[string]string
	timeout     time.Duration
	compression bool
	tls         *tls.Config
	service     string
	resource    []attribute.KeyValue
	sampling    sampling
	queue       int
	batch       int
	delay       time.Duration
	export      time.Duration
}

// The defaults, where OpenTelemetry leaves them open or ours are better for a process that makes thousands of spans a
// second and may be killed at any time.
const (
	defaultEndpoint = "http://localhost:4318"
	defaultService  = "huntaze"
	defaultQueue    = 8192 // spans
	defaultBatch    = 512
	defaultDelay    = time.Second
	defaultExport   = 10 * time.Second
)

// readSettings reads the variables. Errors name the variable and the remedy, and never a value, which may be a secret.
func readSettings(environ map[string]string) (settings, error) {
	s := settings{service: defaultService}
	get := func(names ...string) string {
		for _, name := range names {
			if value := strings.TrimSpace(environ[name]); value != "" {
				return value
			}
		}
		return ""
	}
	var problems []error
	number := func(name string, standard int, unit time.Duration) time.Duration {
		value := get(name)
		if value == "" {
			return time.Duration(standard) * unit
		}
		n, err := strconv.Atoi(value)
		if err != nil || n <= 0 {
			problems = append(problems, fmt.Errorf("%s must be a whole number above 0", name))
			return time.Duration(standard) * unit
		}
		return time.Duration(n) * unit
	}
	s.exporter = strings.ToLower(get("OTEL_TRACES_EXPORTER"))
	specific, general := get("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"), get("OTEL_EXPORTER_OTLP_ENDPOINT")
	switch {
	case strings.EqualFold(get("OTEL_SDK_DISABLED"), "true"):
		return settings{exporter: exportNone}, nil
	case s.exporter == "" && specific == "" && general == "":
		return settings{exporter: exportNone}, nil
	case s.exporter == "":
		s.exporter = exportOTLP
	case s.exporter == exportNone:
		return s, nil
	case s.exporter != exportOTLP && s.exporter != exportConsole:
		return s, errors.New("OTEL_TRACES_EXPORTER must be otlp, console or none")
	}
	if s.exporter == exportOTLP {
		problems = append(problems, s.readExporter(get, specific, general))
		s.timeout = number("OTEL_EXPORTER_OTLP_TIMEOUT", 10_000, time.Millisecond)
		s.timeout = number("OTEL_EXPORTER_OTLP_TRACES_TIMEOUT", int(s.timeout/time.Millisecond), time.Millisecond)
	}
	s.queue, s.batch = int(number("OTEL_BSP_MAX_QUEUE_SIZE", defaultQueue, 1)), int(number("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", defaultBatch, 1))
	s.delay = number("OTEL_BSP_SCHEDULE_DELAY", int(defaultDelay/time.Millisecond), time.Millisecond)
	s.export = number("OTEL_BSP_EXPORT_TIMEOUT", int(defaultExport/time.Millisecond), time.Millisecond)
	resource, err := readPairs(get("OTEL_RESOURCE_ATTRIBUTES"))
	if err != nil {
		problems = append(problems, errors.New("OTEL_RESOURCE_ATTRIBUTES must be name=value pairs, separated by commas"))
	}
	for name, value := range resource {
		if name == "service.name" {
			s.service = value
			continue
		}
		s.resource = append(s.resource, attribute.String(name, value))
	}
	if name := get("OTEL_SERVICE_NAME"); name != "" {
		s.service = name
	}
	s.sampling, err = readSampling(get("OTEL_TRACES_SAMPLER"), get("OTEL_TRACES_SAMPLER_ARG"))
	return s, errors.Join(append(problems, err)...)
}

// readExporter reads where spans go, and how.
func (s *settings) readExporter(get func(...string) string, specific, general string) error {
	var problems []error
	if protocol := get("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL"); protocol != "" && protocol != "http/protobuf" {
		problems = append(problems, errors.New("OTEL_EXPORTER_OTLP_PROTOCOL: only http/protobuf is spoken; collectors take it on port 4318"))
	}
	s.endpoint = specific
	if s.endpoint == "" {
		base := general
		if base == "" {
			base = defaultEndpoint
		}
		s.endpoint = strings.TrimRight(base, "/") + "/v1/traces"
	}
	if parsed, err := url.Parse(s.endpoint); err != nil || parsed.Host == "" || parsed.Scheme != "http" && parsed.Scheme != "https" {
		problems = append(problems, errors.New("OTEL_EXPORTER_OTLP_ENDPOINT must be an address such as "+defaultEndpoint))
	}
	var err error
	if s.headers, err = readPairs(get("OTEL_EXPORTER_OTLP_TRACES_HEADERS", "OTEL_EXPORTER_OTLP_HEADERS")); err != nil {
		problems = append(problems, errors.New("OTEL_EXPORTER_OTLP_HEADERS must be name=value pairs, separated by commas"))
	}
	switch get("OTEL_EXPORTER_OTLP_TRACES_COMPRESSION", "OTEL_EXPORTER_OTLP_COMPRESSION") {
	case "", "none":
	case "gzip":
		s.compression = true
	default:
		problems = append(problems, errors.New("OTEL_EXPORTER_OTLP_COMPRESSION must be gzip or none"))
	}
	s.tls, err = readTLS(
		get("OTEL_EXPORTER_OTLP_TRACES_CERTIFICATE", "OTEL_EXPORTER_OTLP_CERTIFICATE"),
		get("OTEL_EXPORTER_OTLP_TRACES_CLIENT_CERTIFICATE", "OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE"),
		get("OTEL_EXPORTER_OTLP_TRACES_CLIENT_KEY", "OTEL_EXPORTER_OTLP_CLIENT_KEY"))
	return errors.Join(append(problems, err)...)
}

func readTLS(authority, certificate, key string) (*tls.Config, error) {
	if authority == "" && certificate == "" && key == "" {
		return nil, nil
	}
	config := &tls.Config{MinVersion: tls.VersionTLS12}
	if authority != "" {
		text, err := os.ReadFile(authority)
		if err != nil {
			return nil, fmt.Errorf("OTEL_EXPORTER_OTLP_CERTIFICATE: %w", err)
		}
		config.RootCAs = x509.NewCertPool()
		if !config.RootCAs.AppendCertsFromPEM(text) {
			return nil, errors.New("OTEL_EXPORTER_OTLP_CERTIFICATE: the file holds no certificate in PEM form")
		}
	}
	if certificate != "" || key != "" {
		pair, err := tls.LoadX509KeyPair(certificate, key)
		if err != nil {
			return nil, errors.New("OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE and OTEL_EXPORTER_OTLP_CLIENT_KEY must name the two files of a certificate")
		}
		config.Certificates = []tls.Certificate{pair}
	}
	return config, nil
}

// readPairs reads name=value pairs whose values may be percent-encoded.
func readPairs(text string) (map[string]string, error) {
	pairs := map[string]string{}
	for part := range strings.SplitSeq(text, ",") {
		if strings.TrimSpace(part) == "" {
			continue
		}
		name, value, ok := strings.Cut(part, "=")
		name = strings.TrimSpace(name)
		if !ok || name == "" {
			return nil, errors.New("no pair")
		}
		value, err := url.PathUnescape(strings.TrimSpace(value))
		if err != nil {
			return nil, err
		}
		pairs[name] = value
	}
	return pairs, nil
}

// sampling is the choice of a sampler.
type sampling struct {
	sampler sdktrace.Sampler
	own     sdktrace.Sampler // for traces that begin here
	parents bool             // a producer's decision counts
}

// readSampling reads the standard samplers. All but always_off keep what ends in an error.
func readSampling(name, argument string) (sampling, error) {
	ratio := 1.0
	if argument != "" && strings.HasSuffix(name, "traceidratio") {
		var err error
		if ratio, err = strconv.ParseFloat(argument, 64); err != nil || !(ratio >= 0 && ratio <= 1) {
			return sampling{}, errors.New("OTEL_TRACES_SAMPLER_ARG must be a number from 0 to 1")
		}
	}
	own, parents := strings.CutPrefix(name, "parentbased_")
	s := sampling{parents: parents || name == "", own: sdktrace.AlwaysSample()}
	switch own {
	case "", "always_on":
	case "always_off":
		s.own = sdktrace.NeverSample()
	case "traceidratio":
		s.own = sdktrace.TraceIDRatioBased(ratio)
	default:
		return sampling{}, errors.New("OTEL_TRACES_SAMPLER must be always_on, always_off or traceidratio, with parentbased_ before it or not")
	}
	s.sampler = s.own
	if s.parents {
		s.sampler = sdktrace.ParentBased(s.own)
	}
	if name != "always_off" {
		s.sampler = recordAll{s.sampler}
	}
	return s, nil
}

package config

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// queueName is what SQS allows: https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_CreateQueue.html
var (
	queueName   = regexp.MustCompile(`^[A-Za-z0-9_-]+(\.fifo)?$`)
	regionName  = regexp.MustCompile(`^[a-z0-9-]{1,63}$`)
	amount      = regexp.MustCompile(`^\d{1,7}(\.\d{1,2})?$`)
	apiVersion  = regexp.MustCompile(`^\d{4}-\d\d-\d\d(-preview)?$`)
	scope       = regexp.MustCompile(`^https://[a-z0-9.-]+/\.default$`)
	keyAndValue = regexp.MustCompile(`(^|\s)(host|hostaddr|port|dbname|user|service)\s*=\s*\S`)
)

const (
	maxQueueName = 80
	maxUserID    = 256
)

// errUnexpected says no more than what the variable's "expected" already does.
var errUnexpected = errors.New("")

func ownChecks(cfg *Config) []Check {
	return []Check{
		{"DATABASE_URL", databaseURL},
		{"AWS_REGION", matches(regionName)},
		{"AWS_ENDPOINT_URL_SQS", httpURL},
		{"SQS_QUEUE", queue},
		{"SQS_RETRY_QUEUE", queueOrOff},
		{"SQS_RETRY_QUEUE", differs("SQS_QUEUE", cfg.SQSQueue)},
		{"SQS_DLQ", queue},
		{"SQS_DLQ", differs("SQS_QUEUE", cfg.SQSQueue)},
		{"SQS_DLQ", differs("SQS_RETRY_QUEUE", cfg.SQSRetryQueue)},
		{"DEFAULT_USER_ID", userID},
		{"GATEWAY_URL", httpURL},
		{"GATEWAY_TOKEN", token},
		{"AZURE_OPENAI_ENDPOINT", httpURL},
		{"AZURE_OPENAI_API_KEY", token},
		{"AZURE_OPENAI_DEPLOYMENT", token},
		{"AZURE_OPENAI_MODEL", token},
		{"AZURE_OPENAI_API_VERSION", matches(apiVersion)},
		{"AZURE_OPENAI_SCOPE", matches(scope)},
		{"PROVIDER_DAILY_BUDGET_USD", budget},
		{"OPENAI_API_KEY", token},
		{"OPENAI_BASE_URL", httpURL},
		{"OPENAI_MODEL", token},
		{"OPENAI_ORG_ID", token},
		{"OPENAI_PROJECT_ID", token},
		{"LEGACY_ORCHESTRATOR_URL", httpURL},
		{"LEGACY_MESSAGES_PATH", matches(regexp.MustCompile(`^/[^?#\s]*$`))},
		{"SHUTDOWN_TIMEOUT", func(string) error {
			if cfg.ShutdownTimeout <= cfg.GatewayTimeout {
				return fmt.Errorf("not longer than GATEWAY_TIMEOUT=%s, so that a call in flight could not be finished", cfg.GatewayTimeout)
			}
			return nil
		}},
		{"HTTP_ADDR", hostPort},
		{"HUNTAZE_API_URL", httpURL},
		{"HUNTAZE_API_KEY", token},
		{"ADMIN_ADDR", hostPort},
	}
}

func matches(pattern *regexp.Regexp) func(string) error {
	return func(value string) error {
		if !pattern.MatchString(value) {
			return errUnexpected
		}
		return nil
	}
}

// databaseURL looks only at the form; whether the database answers is for the pool to find out.
func databaseURL(value string) error {
	if u, err := url.Parse(value); err == nil && isPostgres(u) {
		return nil
	}
	if !strings.Contains(value, "://") && keyAndValue.MatchString(value) {
		return nil
	}
	return errUnexpected
}

func httpURL(value string) error {
	u, err := url.Parse(value)
	if err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Hostname() == "" {
		return errUnexpected
	}
	if u.User != nil || u.RawQuery != "" || u.ForceQuery || u.Fragment != "" {
		return errUnexpected
	}
	return nil
}

func queue(value string) error {
	if value == off {
		return errors.New("this queue can't be switched off")
	}
	if len(value) > maxQueueName {
		return fmt.Errorf("%d characters", len(value))
	}
	return matches(queueName)(value)
}

func queueOrOff(value string) error {
	if value == off {
		return nil
	}
	return queue(value)
}

// differs refuses a queue that has another part already: dead letters that were read again would go round
// for ever.
func differs(name, other string) func(string) error {
	return func(value string) error {
		if value == other {
			return fmt.Errorf("the same queue as %s", name)
		}
		return nil
	}
}

func budget(value string) error {
	if !amount.MatchString(value) || strings.Trim(value, "0.") == "" {
		return errUnexpected
	}
	return nil
}

func userID(value string) error {
	if !utf8.ValidString(value) || utf8.RuneCountInString(value) > maxUserID {
		return errUnexpected
	}
	for _, r := range value {
		if unicode.IsSpace(r) || !unicode.IsPrint(r) {
			return errUnexpected
		}
	}
	return nil
}

// token is what may stand in an HTTP header.
func token(value string) error {
	for _, b := range []byte(value) {
		if b <= ' ' || b > '~' {
			return errUnexpected
		}
	}
	return nil
}

func hostPort(value string) error {
	host, port, err := net.SplitHostPort(value)
	if err != nil || strings.ContainsFunc(host, unicode.IsSpace) {
		return errUnexpected
	}
	if n, err := strconv.ParseUint(port, 10, 16); err != nil {
		return fmt.Errorf("port %q is not a number from 0 to 65535", port)
	} else if strconv.FormatUint(n, 10) != port {
		return errUnexpected
	}
	return nil
}

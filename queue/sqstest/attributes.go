package sqstest

import (
	"encoding/json"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// settings are the attributes of a queue that can be set.
type settings struct {
	visibility, retention, delay, wait time.Duration
	maxSize                            int
	policy                             string
	sse                                bool
	kmsKey                             string
	kmsReuse                           time.Duration
	redrive                            *redrivePolicy
	redriveAllow                       *redriveAllowPolicy

	fifo         bool
	contentDedup bool
	dedupScope   string
	throughput   string
}

func defaultSettings() settings {
	return settings{
		visibility: 30 * time.Second,
		retention:  4 * 24 * time.Hour,
		maxSize:    MaxMessageSize,
		sse:        true,
		kmsReuse:   5 * time.Minute,
		dedupScope: "queue",
		throughput: "perQueue",
	}
}

type redrivePolicy struct {
	arn         string
	target      string // name of the dead-letter queue
	maxReceives int
}

type redriveAllowPolicy struct {
	Permission string   `json:"redrivePermission"`
	Sources    []string `json:"sourceQueueArns,omitempty"`
}

// attribute is how one queue attribute is read and set. get returns "" for an
// attribute that the queue does not have.
type attribute struct {
	get      func(*settings) string
	set      func(*settings, string) *apiError
	fifoOnly bool
}

var queueAttributes = map[string]attribute{
	"VisibilityTimeout":             seconds("VisibilityTimeout", 0, 43_200, func(c *settings) *time.Duration { return &c.visibility }),
	"MessageRetentionPeriod":        seconds("MessageRetentionPeriod", 60, 1_209_600, func(c *settings) *time.Duration { return &c.retention }),
	"DelaySeconds":                  seconds("DelaySeconds", 0, 900, func(c *settings) *time.Duration { return &c.delay }),
	"ReceiveMessageWaitTimeSeconds": seconds("ReceiveMessageWaitTimeSeconds", 0, 20, func(c *settings) *time.Duration { return &c.wait }),
	"KmsDataKeyReusePeriodSeconds": {
		get: func(c *settings) string {
			if c.kmsKey == "" {
				return ""
			}
			return formatSeconds(c.kmsReuse)
		},
		set: seconds("KmsDataKeyReusePeriodSeconds", 60, 86_400, func(c *settings) *time.Duration { return &c.kmsReuse }).set,
	},
	"MaximumMessageSize": {
		get: func(c *settings) string { return strconv.Itoa(c.maxSize) },
		set: func(c *settings, v string) *apiError {
			n, err := strconv.Atoi(v)
			if err != nil || n < 1024 || n > MaxMessageSize {
				return invalidValue("MaximumMessageSize")
			}
			c.maxSize = n
			return nil
		},
	},
	"Policy": {
		get: func(c *settings) string { return c.policy },
		set: func(c *settings, v string) *apiError {
			if v != "" && !json.Valid([]byte(v)) {
				return invalidValue("Policy")
			}
			c.policy = v
			return nil
		},
	},
	"SqsManagedSseEnabled": {
		get: func(c *settings) string { return strconv.FormatBool(c.sse && c.kmsKey == "") },
		set: func(c *settings, v string) *apiError { return setBool("SqsManagedSseEnabled", &c.sse, v) },
	},
	"KmsMasterKeyId": {
		get: func(c *settings) string { return c.kmsKey },
		set: func(c *settings, v string) *apiError { c.kmsKey = v; return nil },
	},
	"RedrivePolicy":      {get: getRedrivePolicy, set: setRedrivePolicy},
	"RedriveAllowPolicy": {get: getRedriveAllowPolicy, set: setRedriveAllowPolicy},
	"FifoQueue": {
		get: func(c *settings) string { return strconv.FormatBool(c.fifo) },
		set: func(c *settings, v string) *apiError {
			if v != "true" {
				return invalidValue("FifoQueue")
			}
			return nil
		},
		fifoOnly: true,
	},
	"ContentBasedDeduplication": {
		get:      func(c *settings) string { return strconv.FormatBool(c.contentDedup) },
		set:      func(c *settings, v string) *apiError { return setBool("ContentBasedDeduplication", &c.contentDedup, v) },
		fifoOnly: true,
	},
	"DeduplicationScope": {
		get:      func(c *settings) string { return c.dedupScope },
		set:      oneOf("DeduplicationScope", func(c *settings) *string { return &c.dedupScope }, "queue", "messageGroup"),
		fifoOnly: true,
	},
	"FifoThroughputLimit": {
		get:      func(c *settings) string { return c.throughput },
		set:      oneOf("FifoThroughputLimit", func(c *settings) *string { return &c.throughput }, "perQueue", "perMessageGroupId"),
		fifoOnly: true,
	},
}

// computedAttributes can be read but not set.
var computedAttributes = []string{
	"ApproximateNumberOfMessages",
	"ApproximateNumberOfMessagesNotVisible",
	"ApproximateNumberOfMessagesDelayed",
	"CreatedTimestamp",
	"LastModifiedTimestamp",
	"QueueArn",
}

// apply returns the settings with the attributes changed.
func (c settings) apply(attributes map[string]string) (settings, *apiError) {
	for _, name := range slices.Sorted(maps.Keys(attributes)) {
		a, ok := queueAttributes[name]
		if !ok || a.fifoOnly && !c.fifo {
			return c, unknownAttribute(name)
		}
		if err := a.set(&c, attributes[name]); err != nil {
			return c, err
		}
	}
	if c.throughput == "perMessageGroupId" && c.dedupScope != "messageGroup" {
		return c, invalidValue("FifoThroughputLimit")
	}
	return c, nil
}

// values returns the attributes that the queue has.
func (c *settings) values() map[string]string {
	out := make(map[string]string, len(queueAttributes))
	for name, a := range queueAttributes {
		if a.fifoOnly && !c.fifo {
			continue
		}
		if v := a.get(c); v != "" {
			out[name] = v
		}
	}
	return out
}

// values adds what is computed to the settings of the queue.
func (q *queue) values() map[string]string {
	out := q.config.values()
	out["ApproximateNumberOfMessages"] = strconv.Itoa(q.count[Visible])
	out["ApproximateNumberOfMessagesNotVisible"] = strconv.Itoa(q.count[InFlight])
	out["ApproximateNumberOfMessagesDelayed"] = strconv.Itoa(q.count[Delayed])
	out["CreatedTimestamp"] = strconv.FormatInt(q.created.Unix(), 10)
	out["LastModifiedTimestamp"] = strconv.FormatInt(q.modified.Unix(), 10)
	out["QueueArn"] = q.server.arn(q.name)
	return out
}

func unknownAttribute(name string) *apiError {
	return newError("InvalidAttributeName", "Unknown Attribute %s.", name)
}

func invalidValue(name string) *apiError {
	return newError("InvalidAttributeValue", "Invalid value for the parameter %s.", name)
}

func formatSeconds(d time.Duration) string { return strconv.Itoa(int(d / time.Second)) }

func seconds(name string, least, most int, field func(*settings) *time.Duration) attribute {
	return attribute{
		get: func(c *settings) string { return formatSeconds(*field(c)) },
		set: func(c *settings, v string) *apiError {
			n, err := strconv.Atoi(v)
			if err != nil || n < least || n > most {
				return invalidValue(name)
			}
			*field(c) = time.Duration(n) * time.Second
			return nil
		},
	}
}

func oneOf(name string, field func(*settings) *string, allowed ...string) func(*settings, string) *apiError {
	return func(c *settings, v string) *apiError {
		if !slices.Contains(allowed, v) {
			return invalidValue(name)
		}
		*field(c) = v
		return nil
	}
}

func setBool(name string, to *bool, v string) *apiError {
	switch v {
	case "true", "false":
		*to = v == "true"
		return nil
	}
	return invalidValue(name)
}

func getRedrivePolicy(c *settings) string {
	if c.redrive == nil {
		return ""
	}
	return `{"deadLetterTargetArn":` + strconv.Quote(c.redrive.arn) + `,"maxReceiveCount":` + strconv.Itoa(c.redrive.maxReceives) + `}`
}

func setRedrivePolicy(c *settings, v string) *apiError {
	if v == "" {
		c.redrive = nil
		return nil
	}
	var in struct {
		Target      string          `json:"deadLetterTargetArn"`
		MaxReceives json.RawMessage `json:"maxReceiveCount"`
	}
	if json.Unmarshal([]byte(v), &in) != nil {
		return invalidValue("RedrivePolicy")
	}
	name, ok := queueOfARN(in.Target)
	if !ok {
		return invalidValue("RedrivePolicy")
	}
	// Both a number and a decimal string are accepted.
	n, err := strconv.Atoi(strings.Trim(string(in.MaxReceives), `"`))
	if err != nil {
		return invalidValue("RedrivePolicy")
	}
	if n < 1 || n > 1000 {
		return invalidParameter("Value %s for parameter RedrivePolicy is invalid. Reason: Invalid value for maxReceiveCount: %d, valid values are from 1 to 1000 both inclusive.", v, n)
	}
	c.redrive = &redrivePolicy{arn: in.Target, target: name, maxReceives: n}
	return nil
}

func getRedriveAllowPolicy(c *settings) string {
	if c.redriveAllow == nil {
		return ""
	}
	b, err := json.Marshal(c.redriveAllow)
	if err != nil {
		return ""
	}
	return string(b)
}

func setRedriveAllowPolicy(c *settings, v string) *apiError {
	if v == "" {
		c.redriveAllow = nil
		return nil
	}
	var p redriveAllowPolicy
	if json.Unmarshal([]byte(v), &p) != nil {
		return invalidValue("RedriveAllowPolicy")
	}
	switch p.Permission {
	case "allowAll", "denyAll":
		if len(p.Sources) > 0 {
			return invalidParameter("Value %s for parameter RedriveAllowPolicy is invalid. Reason: sourceQueueArns may only be used with byQueue.", v)
		}
	case "byQueue":
		if len(p.Sources) < 1 || len(p.Sources) > 10 {
			return invalidParameter("Value %s for parameter RedriveAllowPolicy is invalid. Reason: byQueue needs 1 to 10 sourceQueueArns.", v)
		}
	default:
		return invalidValue("RedriveAllowPolicy")
	}
	c.redriveAllow = &p
	return nil
}

// allows says whether a queue may use the one with this policy for dead letters.
func (p *redriveAllowPolicy) allows(arn string) bool {
	if p == nil || p.Permission == "allowAll" {
		return true
	}
	return slices.Contains(p.Sources, arn)
}

var queueARN = regexp.MustCompile(`^arn:[a-z-]+:sqs:[a-z0-9-]+:[0-9]*:([A-Za-z0-9_.-]{1,80})$`)

func queueOfARN(arn string) (string, bool) {
	m := queueARN.FindStringSubmatch(arn)
	if m == nil {
		return "", false
	}
	return m[1], true
}

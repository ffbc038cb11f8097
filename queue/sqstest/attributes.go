package sqstest

import (
	"encoding/json"
	"maps"
	"slices"
	"strconv"
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

package sqstest

import (
	"encoding/json"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

type redrivePolicy struct {
	arn         string
	target      string // name of the dead-letter queue
	maxReceives int
}

type redriveAllowPolicy struct {
	Permission string   `json:"redrivePermission"`
	Sources    []string `json:"sourceQueueArns,omitempty"`
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

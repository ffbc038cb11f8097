package text

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"strconv"
)

// Template is one version of a prompt, with the limits of the texts that it asks for.
type Template struct {
	Name            string               `json:"name"`
	Version         int                  `json:"version"`
	System          string               `json:"system"`          // instructions, with CanaryPlaceholder in them exactly once
	MaxLength       int                  `json:"maxLength"`       // of the final text, in characters
	MaxOutputTokens int                  `json:"maxOutputTokens"` // of the model's answer
	Language        string               `json:"language"`        // BCP 47; empty: that of the brief
	LinkHosts       []string             `json:"linkHosts"`       // to which a text may link; see Gate
	FallbackText    string               `json:"fallbackText"`    // what is sent when no model's text passes; empty: nothing
	RepairHints     map[Violation]string `json:"repairHints"`     // what a model is told about a rule that its text broke
}

// CanaryPlaceholder is where a system message has its canary.
const CanaryPlaceholder = "[[canary]]"

// ID names a template and its version, such as "message@1".
func (t Template) ID() string { return t.Name + "@" + strconv.Itoa(t.Version) }

// Hash identifies the content: templates that ask and allow the same have the same hash, however their files are
// laid out. It is written into the ledger beside a text, so that it can be said later what the text came from.
func (t Template) Hash() string {
	content, err := json.Marshal(t)
	if err != nil {
		panic("text: a template of strings and numbers can't be written as JSON: " + err.Error())
	}
	sum := sha256.Sum256(content)
	return hex.EncodeToString(sum[:])
}

// Gate is the gate for a text that this template asked for, with the same fields and canary as its Input.
func (t Template) Gate(fields []string, canary string) Gate {
	return Gate{MaxLength: t.MaxLength, Language: t.Language, LinkHosts: t.LinkHosts, Fields: fields, Canary: canary, System: t.System}
}

package text

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/goccy/go-yaml"
	"golang.org/x/text/language"
)

// Limits of a template's file.
const (
	maxFile         = 64 << 10 // bytes
	maxSystem       = 16 << 10 // bytes
	maxTextLength   = 10_000   // characters
	maxOutputTokens = 32_000
	maxHint         = 500 // bytes
	maxLinkHosts    = 64
)

var hostPattern = regexp.MustCompile(`^\.?(?:[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z](?:[a-z0-9-]{0,61}[a-z0-9])$`)

// parseTemplate reads one file. Unknown and repeated fields are refused: a misspelt limit would be no limit.
func parseTemplate(content []byte) (Template, error) {
	var t Template
	if len(content) > maxFile {
		return t, fmt.Errorf("the file has more than %d bytes; shorten it", maxFile)
	}
	if !utf8.Valid(content) {
		return t, errors.New("the file is not UTF-8; save it as UTF-8")
	}
	file, err := decode(content)
	if err != nil {
		return t, err
	}
	t = Template(file)
	return t, t.check()
}

// templateFile is a Template under the names that its file has.
type templateFile struct {
	Name            string               `yaml:"name"`
	Version         int                  `yaml:"version"`
	System          string               `yaml:"system"`
	MaxLength       int                  `yaml:"maxLength"`
	MaxOutputTokens int                  `yaml:"maxOutputTokens"`
	Language        string               `yaml:"language"`
	LinkHosts       []string             `yaml:"linkHosts"`
	FallbackText    string               `yaml:"fallbackText"`
	RepairHints     map[Violation]string `yaml:"repairHints"`
}

func decode(content []byte) (file templateFile, err error) {
	defer func() {
		// A broken document is the operator's mistake and must be told as one, even if the parser fails over it.
		if recover() != nil {
			err = errors.New("the file can't be read as YAML; compare it with the template that comes with the program")
		}
	}()
	decoder := yaml.NewDecoder(bytes.NewReader(content), yaml.Strict())
	switch err := decoder.Decode(&file); {
	case errors.Is(err, io.EOF):
		return file, errors.New("the file is empty; write name, version, system, maxLength and maxOutputTokens")
	case err != nil:
		return file, fmt.Errorf("%s; allowed are name, version, system, maxLength, maxOutputTokens, language, linkHosts, "+
			"fallbackText and repairHints, each once", firstLine(yaml.FormatError(err, false, false)))
	}
	if err := decoder.Decode(&templateFile{}); !errors.Is(err, io.EOF) {
		return file, errors.New("the file has a second document; give each template its own file")
	}
	return file, nil
}

func firstLine(message string) string {
	line, _, _ := strings.Cut(message, "\n")
	return strings.Map(func(r rune) rune {
		if hidden(r) {
			return -1
		}
		return r
	}, line)
}

// check says what is wrong with a template: the field and the remedy.
func (t Template) check() error {
	switch {
	case !namePattern.MatchString(t.Name):
		return errors.New(`name must be lower-case letters, digits, "-" and "_", beginning with a letter, at most 64; such as "message"`)
	case t.Version < 1 || t.Version > maxVersion:
		return fmt.Errorf("version must be a whole number from 1 to %d", maxVersion)
	case strings.TrimSpace(t.System) == "" || len(t.System) > maxSystem:
		return fmt.Errorf("system must hold the instructions, at most %d bytes", maxSystem)
	case strings.Count(t.System, CanaryPlaceholder) != 1:
		return fmt.Errorf("system must hold %s exactly once; write it where the canary belongs", CanaryPlaceholder)
	case t.MaxLength < 1 || t.MaxLength > maxTextLength:
		return fmt.Errorf("maxLength must be a whole number of characters from 1 to %d", maxTextLength)
	case t.MaxOutputTokens < 1 || t.MaxOutputTokens > maxOutputTokens:
		return fmt.Errorf("maxOutputTokens must be a whole number from 1 to %d", maxOutputTokens)
	case len(t.LinkHosts) > maxLinkHosts:
		return fmt.Errorf("linkHosts may name at most %d hosts", maxLinkHosts)
	}
	if c := inspect(t.System); c.invalid || c.control || c.bidi {
		return errors.New("system holds control, hidden or direction-changing characters; remove them")
	}
	if _, err := language.Parse(t.Language); t.Language != "" && err != nil {
		return errors.New(`language is not a BCP 47 tag; write one such as "fr" or "pt-BR", or leave it out`)
	}
	for i, host := range t.LinkHosts {
		if !hostPattern.MatchString(host) || len(host) > 254 {
			return fmt.Errorf(`linkHosts: number %d is not a host in lower case without scheme, port and path; `+
				`write "example.com", or ".example.com" for all below it`, i+1)
		}
	}
	for rule, hint := range t.RepairHints {
		if !slices.Contains(Violations, rule) {
			return fmt.Errorf("repairHints: there is no rule %.40q; there are %s", string(rule), joinViolations(Violations))
		}
		if strings.TrimSpace(hint) == "" || len(hint) > maxHint {
			return fmt.Errorf("repairHints: the hint of %s must have 1 to %d bytes", rule, maxHint)
		}
	}
	if t.FallbackText != "" {
		gate := t.Gate(FieldsOf(t.FallbackText), "")
		if found := gate.Check(t.FallbackText); len(found) > 0 {
			return fmt.Errorf("fallbackText does not pass its own gate (%s); change it, or the limits", joinViolations(found))
		}
	}
	return nil
}

func joinViolations(list []Violation) string {
	words := make([]string, len(list))
	for i, v := range list {
		words[i] = string(v)
	}
	return strings.Join(words, ", ")
}

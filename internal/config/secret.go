package config

import (
	"log/slog"
	"net/url"
	"strings"
)

const hidden = "[hidden]"

// Secret is a value that is never printed: fmt, slog and encoding/json show [hidden] instead, or nothing
// when there is none. Reveal returns it to the one place that needs it.
type Secret string

// Reveal returns the value itself.
func (s Secret) Reveal() string { return string(s) }

// String returns [hidden], or nothing when there is no value.
func (s Secret) String() string {
	if s == "" {
		return ""
	}
	return hidden
}

// GoString keeps %#v from showing the value.
func (s Secret) GoString() string { return `"` + s.String() + `"` }

// LogValue keeps slog from showing the value.
func (s Secret) LogValue() slog.Value { return slog.StringValue(s.String()) }

// MarshalText keeps encoders from showing the value.
func (s Secret) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// UnmarshalText takes the value as it is.
func (s *Secret) UnmarshalText(text []byte) error {
	*s = Secret(text)
	return nil
}

// Address returns the host, port and database of a secret that is a Postgres address in URL form, with
// the password replaced by *** and the parameters left out, so that a person sees which database is
// meant. In every other case it returns what String does.
func (s Secret) Address() string {
	u, err := url.Parse(string(s))
	if err != nil || !isPostgres(u) {
		return s.String()
	}
	address := u.Scheme + "://"
	if name := u.User.Username(); name != "" {
		address += url.User(name).String()
		if _, has := u.User.Password(); has {
			address += ":***"
		}
		address += "@"
	}
	return address + u.Host + u.EscapedPath()
}

// isPostgres says whether the parts of a URL are what they seem. A password with an unescaped /, ? or #
// would end the host early, so that a piece of it stood where the port belongs.
func isPostgres(u *url.URL) bool {
	return (u.Scheme == "postgres" || u.Scheme == "postgresql") && u.Opaque == "" && u.Fragment == "" &&
		!strings.Contains(u.Path+u.RawQuery, "@")
}

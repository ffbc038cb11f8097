package localpg

import (
	"fmt"
	"strings"
)

// Texts of Postgres (in English: see childEnvironment) that name the two failures which another try may cure.
const (
	portTaken      = "could not create any TCP/IP sockets"
	childrenRemain = "is still in use"
)

// startFailure is a server that ended, or never answered, with the end of its log.
type startFailure struct {
	cause error
	log   string
}

func (f *startFailure) Error() string {
	if f.log == "" {
		return "localpg: Postgres did not start: " + f.cause.Error()
	}
	return fmt.Sprintf("localpg: Postgres did not start: %v; the end of its log:\n%s", f.cause, f.log)
}

func (f *startFailure) Unwrap() error         { return f.cause }
func (f *startFailure) says(text string) bool { return strings.Contains(f.log, text) }
func (f *startFailure) curable() bool         { return f.says(portTaken) || f.says(childrenRemain) }

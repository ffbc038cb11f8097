package config

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"

	"github.com/joho/godotenv"
)

// Environ returns the environment of the process, and under it what the files say: a variable that the
// environment has, even as nothing, is never changed by a file, nor one that an earlier file has. A file
// that does not exist is passed over.
//
// Files are in the form of .env: NAME=value lines, with comments and quotes. An error names the file and
// the line, never its text, which may be a secret.
func Environ(files ...string) (map[string]string, error) {
	environ := make(map[string]string)
	for _, pair := range os.Environ() {
		name, value, _ := strings.Cut(pair, "=")
		environ[name] = value
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("environment: %w", err)
		}
		values, err := godotenv.UnmarshalBytes(text)
		if err != nil {
			return nil, fmt.Errorf("environment: %s, line %d: expected NAME=value", file, wrongLine(text))
		}
		for name, value := range values {
			if _, set := environ[name]; !set {
				environ[name] = value
			}
		}
	}
	return environ, nil
}

// wrongLine returns the number of the line after the longest beginning of the text that can be parsed.
func wrongLine(text []byte) int {
	lines := bytes.SplitAfter(text, []byte("\n"))
	good := 0
	for i := range lines {
		if _, err := godotenv.UnmarshalBytes(bytes.Join(lines[:i+1], nil)); err == nil {
			good = i + 1
		}
	}
	return min(good+1, len(lines))
}

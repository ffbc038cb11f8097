package localpg

import (
	"io"
	"os"
	"strings"
)

// tailLines is how much of a log an error quotes.
const tailLines = 20

// tail returns the last lines of a text.
func tail(text string) string {
	lines := strings.Split(strings.TrimRight(text, "\n"), "\n")
	if len(lines) > tailLines {
		lines = lines[len(lines)-tailLines:]
	}
	return strings.Join(lines, "\n")
}

// readTail returns the last lines of the part of the file that begins there; an unreadable file has none.
func readTail(path string, begin int64) string {
	file, err := os.Open(path)
	if err != nil {
		return ""
	}
	defer func() { _ = file.Close() }()
	if info, err := file.Stat(); err == nil && info.Size() < begin {
		begin = 0
	}
	text, err := io.ReadAll(io.NewSectionReader(file, begin, maxLog))
	if err != nil {
		return ""
	}
	return tail(string(text))
}

package campaign

import (
	"fmt"
	"mime"
	"strings"
)

// Format is how a list of recipients is written.
type Format int

// The formats.
const (
	NDJSON Format = iota + 1 // one JSON value a line
	CSV                      // RFC 4180 with a header; separated by commas, semicolons or tabs
)

// String is the format's name for people.
func (f Format) String() string {
	switch f {
	case NDJSON:
		return "NDJSON"
	case CSV:
		return "CSV"
	}
	return fmt.Sprintf("Format(%d)", int(f))
}

// formats lists the media types under which the two are found in use; for JSON lines none is registered.
var formats = map[string]Format{
	"application/x-ndjson":      NDJSON,
	"application/ndjson":        NDJSON,
	"application/jsonl":         NDJSON,
	"application/x-jsonl":       NDJSON,
	"application/jsonlines":     NDJSON,
	"application/x-jsonlines":   NDJSON,
	"application/json-lines":    NDJSON,
	"text/x-ndjson":             NDJSON,
	"text/csv":                  CSV,
	"application/csv":           CSV,
	"text/tab-separated-values": CSV,
}

// FormatOf returns the format that a Content-Type names.
func FormatOf(contentType string) (Format, error) {
	const remedy = "send application/x-ndjson (one recipient a line) or text/csv"
	if strings.TrimSpace(contentType) == "" {
		return 0, fmt.Errorf("the Content-Type is missing; %s", remedy)
	}
	media, parameters, err := mime.ParseMediaType(contentType)
	if err != nil { // the error may quote the header
		return 0, fmt.Errorf("the Content-Type can't be read; %s", remedy)
	}
	format, known := formats[media]
	switch {
	case media == "application/json":
		return 0, fmt.Errorf("application/json is one value, not a list that can be read line by line; %s", remedy)
	case media == "application/json-seq":
		return 0, fmt.Errorf("application/json-seq puts a control character before each value; %s", remedy)
	case !known:
		return 0, fmt.Errorf("the Content-Type %.64q is not one of a list of recipients; %s", media, remedy)
	}
	if charset := strings.ToLower(parameters["charset"]); charset != "" && charset != "utf-8" && charset != "utf8" && charset != "us-ascii" {
		return 0, fmt.Errorf("the charset %.32q can't be read; send UTF-8", charset)
	}
	if format == CSV && strings.EqualFold(parameters["header"], "absent") {
		return 0, fmt.Errorf("a CSV without a header can't be read: its first row must name the columns, one of them %s", columnID)
	}
	return format, nil
}

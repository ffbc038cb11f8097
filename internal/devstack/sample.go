package devstack

import (
	"bytes"
	_ "embed"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// The messages: JSON lines as `huntaze send` reads them, with two things to fill in, so that every run has messages of
// its own: {run}, and {in 20s}, a moment to come. An empty line is a pause.
var (
	//go:embed sample.jsonl
	sampleText string
	//go:embed more.jsonl
	moreText string
)

// wavePause is how long a pause in the sample is: long enough for a backlog to be seen.
const wavePause = 4 * time.Second

// doubtful is the account of the sample for whose first message the simulated gateway loses its reply.
const doubtful = "paper-lanterns"

// runName is a short name for the messages of one run: no two starts within two years have the same.
func runName(at time.Time) string {
	const names = 36 * 36 * 36 * 36 * 36
	text := strconv.FormatInt(at.Unix()%names, 36)
	return strings.Repeat("0", 5-len(text)) + text
}

var moment = regexp.MustCompile(`\{in ([0-9a-z.]+)\}`)

// waves fills in the sample and divides it at its pauses.
func waves(text, run string, now time.Time) [][]string {
	text = strings.ReplaceAll(text, "{run}", run)
	text = moment.ReplaceAllStringFunc(text, func(found string) string {
		in, err := time.ParseDuration(moment.FindStringSubmatch(found)[1])
		if err != nil {
			return found
		}
		return now.Add(in).UTC().Format(time.RFC3339)
	})
	var all [][]string
	for _, wave := range strings.Split(strings.TrimSpace(text), "\n\n") {
		all = append(all, strings.Split(wave, "\n"))
	}
	return all
}

// writeMore writes the messages for a second terminal, with ids that were never sent. A file that somebody has edited is
// left alone.
func writeMore(path, run string) error {
	if moreWasEdited(path) {
		return nil
	}
	if err := replaceFile(path, func(file *os.File) error {
		_, err := file.WriteString(strings.ReplaceAll(moreText, "{run}", run))
		return err
	}); err != nil {
		return fmt.Errorf("messages to send: %w", err)
	}
	return nil
}

var writtenRun = regexp.MustCompile(`"workflowId": ?"wf-([0-9a-z]+)-`)

// moreWasEdited says whether the file is there and is not as writeMore left it.
func moreWasEdited(path string) bool {
	text, err := os.ReadFile(path)
	if err != nil {
		return !errors.Is(err, fs.ErrNotExist)
	}
	run := writtenRun.FindSubmatch(text)
	return run == nil || !bytes.Equal(text, []byte(strings.ReplaceAll(moreText, "{run}", string(run[1]))))
}

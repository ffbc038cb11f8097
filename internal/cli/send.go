package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/huntaze/hybrid-orchestrator/internal/config"
	"github.com/huntaze/hybrid-orchestrator/queue"
)

// refusedShown is how many refused lines are listed; all of them are counted.
const refusedShown = 100

func (a *app) sendCommand() *cobra.Command {
	var to string
	var force bool
	cmd := &cobra.Command{
		Use:   "send FILE",
		Short: "Put messages (JSON lines) on the SQS queue, with progress",
		Long: `Put messages on the SQS queue: one JSON object per line, in the form of the message contract.
FILE is a path, or - for standard input. Empty lines are skipped.

A line that breaks the contract is not sent; the others are. The summary names the refused lines and
what is wrong with them, and the exit code is 3. With --force they are sent all the same, to see what
the fleet does with them (it puts them into quarantine).

While huntaze dev runs in this folder, its queue is used unless DATABASE_URL or AWS_ENDPOINT_URL_SQS
says otherwise.`,
		Example: `  huntaze send messages.jsonl
  echo '{"workflowId":"wf-1","userId":"creator-7","recipientId":"fan-42","content":"Hello"}' | huntaze send -
  huntaze send --queue huntaze-alerts-production retry.jsonl`,
		Args: arguments("FILE"),
		RunE: func(cmd *cobra.Command, args []string) error {
			cfg, err := a.load()
			if err != nil {
				return err
			}
			if to == "" {
				to = cfg.SQSQueue
			}
			return a.send(cmd.Context(), cfg, args[0], to, force)
		},
	}
	cmd.Flags().StringVar(&to, "queue", "", "name or URL of the queue (default: SQS_QUEUE)")
	cmd.Flags().BoolVar(&force, "force", false, "also send lines that break the message contract")
	return cmd
}

func (a *app) send(ctx context.Context, cfg config.Config, path, to string, force bool) error {
	input, size, closeInput, err := a.open(path)
	if err != nil {
		return err
	}
	defer closeInput()
	client, err := queue.NewClient(ctx, cfg.AWSRegion, cfg.SQSEndpoint)
	if err != nil {
		return err
	}
	read := &countingReader{from: input}
	bar := newProgress(a.err, a.terminal(a.err), time.Now)
	var refused []queue.LineError
	sender := &queue.Sender{
		API: client, Queue: to, Limits: queue.Limits{MaxMessageBytes: cfg.MaxMessageBytes}, Force: force,
		Progress: func(r queue.SendResult) {
			bar.show(read.part(size), fmt.Sprintf("%s sent, %d refused", grouped(int64(r.Sent)), r.Failed))
		},
		Failed: func(e queue.LineError) {
			if len(refused) < refusedShown {
				refused = append(refused, e)
			}
		},
	}
	started := time.Now()
	result, err := sender.Send(ctx, read)
	bar.end()
	if err != nil && result == (queue.SendResult{}) {
		return err
	}
	fmt.Fprintf(a.out, "%s sent to %s in %s", plural(result.Sent, "message"), to[strings.LastIndexByte(to, '/')+1:], length(time.Since(started)))
	if result.Failed == 0 {
		fmt.Fprintln(a.out)
		return err
	}
	fmt.Fprintf(a.out, "; %s refused:\n", plural(result.Failed, "line"))
	if tableErr := a.printRefused(refused, result.Failed); tableErr != nil || err != nil {
		return errors.Join(err, tableErr)
	}
	return codedError{code: exitFindings}
}

func (a *app) printRefused(refused []queue.LineError, all int) error {
	slices.SortFunc(refused, func(a, b queue.LineError) int { return a.Line - b.Line })
	rows := make([][]string, len(refused))
	for i, r := range refused {
		rows[i] = []string{strconv.Itoa(r.Line), r.Reason}
	}
	if err := a.table("", []string{"LINE", "REASON"}, rows); err != nil {
		return err
	}
	if all > len(refused) {
		fmt.Fprintf(a.out, "… and %s\n", plural(all-len(refused), "more line"))
	}
	return nil
}

// open opens the input; the size is 0 when it is not known.
func (a *app) open(path string) (input io.Reader, size int64, closeInput func(), err error) {
	if path == "-" {
		return a.in, 0, func() {}, nil
	}
	file, err := os.Open(path)
	if err != nil {
		return nil, 0, nil, misused(fmt.Errorf("FILE can't be read: %w; name a file of JSON lines, or - for standard input", err))
	}
	info, err := file.Stat()
	if err == nil && info.IsDir() {
		err = fmt.Errorf("FILE %s is a folder; name a file of JSON lines", path)
	}
	if err != nil {
		_ = file.Close()
		return nil, 0, nil, misused(err)
	}
	return file, info.Size(), func() { _ = file.Close() }, nil
}

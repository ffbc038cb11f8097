package devstack

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/url"
	"os"
	"strings"

	"github.com/huntaze/hybrid-orchestrator/queue"
	"github.com/huntaze/hybrid-orchestrator/queue/sqstest"
)

// queueServer is the SQS that messages come from: the one of the configuration, or a simulated one of our own.
type queueServer struct {
	endpoint string
	server   *sqstest.Running // nil: not ours
	path     string           // where the contents are kept
}

// startQueues starts an SQS server unless there is an endpoint, with the queues of the contract and what was in them at
// the last stop.
func startQueues(endpoint, region, path string, names queue.Config, logger *slog.Logger) (*queueServer, error) {
	q := &queueServer{endpoint: endpoint, path: path}
	if endpoint != "" {
		return q, nil
	}
	server, err := sqstest.New(sqstest.Options{Region: region, Addr: loopback(portIfFree(sqsPort)), Logger: logger})
	if err != nil {
		return nil, err
	}
	if err := q.load(server); err != nil {
		return nil, err
	}
	if err := server.ApplyProductionQueues(names.Queue, names.RetryQueue, names.DeadLetterQueue); err != nil {
		return nil, err
	}
	if q.server, err = server.Listen(); err != nil {
		return nil, err
	}
	q.endpoint = q.server.URL
	return q, nil
}

func (q *queueServer) load(server *sqstest.Server) error {
	file, err := os.Open(q.path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("saved queues: %w", err)
	}
	defer func() { _ = file.Close() }()
	if err := server.Load(file); err != nil {
		return fmt.Errorf("saved queues %s: %w; remove the file, or start anew with --fresh", q.path, err)
	}
	return nil
}

// stop ends the server, then saves what is in its queues.
func (q *queueServer) stop(context.Context) error {
	if q.server == nil {
		return nil
	}
	err := q.server.Close()
	return errors.Join(err, replaceFile(q.path, func(file *os.File) error { return q.server.Save(file) }))
}

// isAWS says whether an endpoint is AWS itself, where no sample belongs.
func isAWS(endpoint string) bool {
	parsed, err := url.Parse(endpoint)
	if err != nil {
		return false
	}
	host := parsed.Hostname()
	return strings.HasSuffix(host, ".amazonaws.com") || strings.HasSuffix(host, ".amazonaws.com.cn") || strings.HasSuffix(host, ".api.aws")
}

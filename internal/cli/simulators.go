package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/huntaze/hybrid-orchestrator/internal/gateway/gatewaysim"
	"github.com/huntaze/hybrid-orchestrator/queue/sqstest"
)

const (
	gatewaySimAddr = "127.0.0.1:8090"
	sqsSimAddr     = "127.0.0.1:9324" // ElasticMQ's
	simGrace       = 5 * time.Second  // for requests that are running when it is told to stop
)

func (a *app) gatewaySimCommand() *cobra.Command {
	var addr, token, faultFile, logPath string
	var seed uint64
	cmd := &cobra.Command{
		Use:   "gateway-sim",
		Short: "Run the simulated message gateway: it sends nothing, keeps an arrival log, and can fail in every way",
		Long: `Run a message gateway that keeps the contract and sends nothing. It remembers every arrival, and fails
as the fault file says; faults can be changed while it runs (PUT /_sim/faults).
GET /_sim/arrivals and /_sim/stats tell what arrived, GET /livez whether it lives.`,
		Example: `  huntaze gateway-sim --addr :8090 --log arrivals.jsonl
  echo '{"rules":[{"kind":"lost_reply","probability":0.1}]}' > faults.json
  huntaze gateway-sim --fault-file faults.json`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := a.load()
			if err != nil {
				return err
			}
			if !cmd.Flags().Changed("token") {
				token = cfg.GatewayToken.Reveal()
			}
			options := gatewaysim.Options{Token: token, LogPath: logPath, Seed: seed}
			if options.Faults, err = readFaults(faultFile); err != nil {
				return misused(fmt.Errorf("--fault-file: %w", err))
			}
			return a.simulateGateway(cmd.Context(), addr, options)
		},
	}
	cmd.Flags().StringVar(&addr, "addr", gatewaySimAddr, "where it listens; port 0 takes any that is free")
	cmd.Flags().StringVar(&token, "token", "", "bearer token that it wants (default: GATEWAY_TOKEN; none: any)")
	cmd.Flags().StringVar(&logPath, "log", "", "file of the arrival log (JSON lines); an existing one is continued")
	cmd.Flags().Uint64Var(&seed, "seed", uint64(time.Now().UnixNano()), "of what the faults leave to chance")
	cmd.Flag("seed").DefValue = "the time"
	cmd.Flags().StringVar(&faultFile, "fault-file", "", "file that says how it fails (JSON, as for PUT /_sim/faults)")
	return cmd
}

func readFaults(path string) (faults gatewaysim.Faults, err error) {
	if path == "" {
		return faults, nil
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return faults, err
	}
	return faults, json.Unmarshal(text, &faults)
}

func (a *app) simulateGateway(ctx context.Context, addr string, options gatewaysim.Options) error {
	sim, err := gatewaysim.New(options)
	if err != nil {
		return err
	}
	served := serveSimulator(ctx, addr, &http.Server{Handler: withLiveness(sim)}, func(at net.Addr) {
		fmt.Fprintf(a.out, "simulated gateway at http://%s; it sends nothing\n", at)
	}, func() { err = sim.Close() })
	return errors.Join(served, err)
}

// serveSimulator serves until ctx ends. end is called once, before the server waits for what is running: it ends
// requests that hang.
func serveSimulator(ctx context.Context, addr string, server *http.Server, began func(net.Addr), end func()) error {
	listener, err := net.Listen("tcp", addr)
	if err != nil {
		end()
		return misused(fmt.Errorf("--addr %s: %w; give host:port that is free, port 0 takes any", addr, err))
	}
	server.ReadHeaderTimeout = 10 * time.Second
	served := make(chan error, 1)
	go func() { served <- server.Serve(listener) }()
	began(listener.Addr())
	select {
	case err := <-served:
		end()
		return err
	case <-ctx.Done():
	}
	end()
	stopping, cancel := context.WithTimeout(context.WithoutCancel(ctx), simGrace)
	defer cancel()
	stopped := server.Shutdown(stopping)
	if stopped != nil {
		_ = server.Close()
	}
	<-served
	return stopped
}

// withLiveness answers GET /livez besides what the simulator does.
func withLiveness(sim http.Handler) http.Handler {
	routes := http.NewServeMux()
	routes.HandleFunc("GET /livez", func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("ok\n")) })
	routes.Handle("/", sim)
	return routes
}

func (a *app) sqsSimCommand() *cobra.Command {
	addr := ""
	cmd := &cobra.Command{
		Use:   "sqs-sim",
		Short: "Run the SQS server that is built in, with the three queues of the configuration",
		Long: `Run the SQS server of queue/sqstest alone. It makes the queues SQS_QUEUE, SQS_RETRY_QUEUE and SQS_DLQ with
the settings of production, and keeps messages in memory only. GET /livez tells whether it lives.`,
		Example: "  huntaze sqs-sim --addr :9324\n  AWS_ENDPOINT_URL_SQS=http://127.0.0.1:9324 huntaze send messages.jsonl",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := a.load()
			if err != nil {
				return err
			}
			sim, err := sqstest.New(sqstest.Options{Region: cfg.AWSRegion})
			if err != nil {
				return err
			}
			if err := sim.ApplyProductionQueues(cfg.SQSQueue, cfg.SQSRetryQueue, cfg.SQSDeadLetters); err != nil {
				return err
			}
			server := &http.Server{Handler: withLiveness(sim), ConnContext: sim.ConnContext}
			return serveSimulator(cmd.Context(), addr, server, func(at net.Addr) {
				fmt.Fprintf(a.out, "SQS at http://%s: %s\n", at, joined(sim.Queues()...))
			}, sim.Close)
		},
	}
	cmd.Flags().StringVar(&addr, "addr", sqsSimAddr, "where it listens; port 0 takes any that is free")
	return cmd
}

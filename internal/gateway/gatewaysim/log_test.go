package gatewaysim

import (
	"bufio"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
)

// TestConcurrentArrivalsAreAllInTheLog: whatever was answered is in the log at that moment, once and in order.
func TestConcurrentArrivalsAreAllInTheLog(t *testing.T) {
	t.Parallel()
	for _, sync := range []bool{false, true} {
		path := filepath.Join(t.TempDir(), "log")
		sim := start(t, Options{LogPath: path, Sync: sync})
		inParallel(8, 400, func(i int) {
			ref := "wf-" + strconv.Itoa(i)
			if status, body, _ := sim.send("a", ref); status != 200 {
				t.Errorf("%d %s", status, body)
			}
			if i%50 == 0 {
				text, err := os.ReadFile(path)
				if err != nil || !strings.Contains(string(text), `"clientRef":"`+ref+`"`) {
					t.Errorf("%s was answered but is not in the log (%v)", ref, err)
				}
			}
		})
		arrivals, err := ReadLog(path)
		if err != nil || len(arrivals) != 400 || len(Duplicates(arrivals)) != 0 {
			t.Fatalf("%d arrivals, %v", len(arrivals), err)
		}
		for i, a := range arrivals {
			if a.Seq != int64(i+1) || i > 0 && a.Since < arrivals[i-1].Since {
				t.Errorf("line %d: seq %d since %v", i+1, a.Seq, a.Since)
			}
		}
	}
}

func inParallel(workers, n int, do func(i int)) {
	var group sync.WaitGroup
	var next atomic.Int64
	for range workers {
		group.Go(func() {
			for i := next.Add(1); i <= int64(n); i = next.Add(1) {
				do(int(i))
			}
		})
	}
	group.Wait()
}

// TestKilledProcessLosesNothingThatItAnswered runs a simulated gateway in a process of its own, kills it with
// SIGKILL under load, and compares its log with the answers that were seen.
func TestKilledProcessLosesNothingThatItAnswered(t *testing.T) {
	if path := os.Getenv("GATEWAYSIM_TEST_LOG"); path != "" {
		serveUntilKilled(path)
	}
	path := filepath.Join(t.TempDir(), "log")
	answered := sync.Map{}
	for life := range 3 {
		command := exec.Command(os.Args[0], "-test.run=^TestKilledProcessLosesNothingThatItAnswered$")
		command.Env = append(os.Environ(), "GATEWAYSIM_TEST_LOG="+path)
		out, err := command.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := command.Start(); err != nil {
			t.Fatal(err)
		}
		url, err := bufio.NewReader(out).ReadString('\n')
		if err != nil {
			t.Fatal(err)
		}
		transport := &http.Transport{MaxIdleConnsPerHost: 8}
		child := &running{url: strings.TrimSpace(url), client: &http.Client{Transport: transport}}
		answered.Range(func(ref, body any) bool { // what an earlier life took is found in this one
			status, found := child.get("/v1/messages?clientRef=" + ref.(string))
			id := strings.TrimSuffix(strings.TrimPrefix(body.(string), `{"messageId":`), "}")
			if status != 200 || !strings.Contains(found, id) {
				t.Errorf("%v: %d %s, want %s", ref, status, found, id)
				return false
			}
			return true
		})
		var count atomic.Int64
		inParallel(8, 2000, func(i int) {
			ref := fmt.Sprintf("life%d-%d", life, i)
			if status, body, _ := child.send("a", ref); status == 200 {
				answered.Store(ref, strings.TrimSpace(body))
			}
			if count.Add(1) == 1000 {
				_ = command.Process.Kill()
			}
		})
		_, _ = io.Copy(io.Discard, out)
		_ = command.Wait()
		transport.CloseIdleConnections()
	}
	arrivals, err := ReadLog(path)
	if err != nil {
		t.Fatal(err)
	}
	logged := map[string]string{}
	for _, a := range arrivals {
		logged[a.ClientRef] = `{"messageId":"` + a.MessageID + `"}`
	}
	n := 0
	answered.Range(func(ref, body any) bool {
		n++
		if logged[ref.(string)] != body.(string) {
			t.Errorf("%v was answered %v but the log says %q", ref, body, logged[ref.(string)])
		}
		return true
	})
	if n < 1000 {
		t.Errorf("only %d answers: the load was too weak", n)
	}
	if len(Duplicates(arrivals)) != 0 {
		t.Error("duplicates")
	}
	t.Logf("%d answers, %d arrivals over 3 lives", n, len(arrivals))
}

func serveUntilKilled(path string) {
	sim, err := New(Options{LogPath: path})
	if err != nil {
		panic(err)
	}
	fmt.Println(httptest.NewServer(sim).URL)
	select {}
}

// BenchmarkServer is the handler alone, without a network: arrivals per second with the log in every mode.
func BenchmarkServer(b *testing.B) {
	for _, mode := range []string{"memory", "log", "fsync"} {
		b.Run(mode, func(b *testing.B) {
			options := Options{KeepArrivals: 1000, Sync: mode == "fsync"}
			if mode != "memory" {
				options.LogPath = filepath.Join(b.TempDir(), "log")
			}
			sim, err := New(options)
			if err != nil {
				b.Fatal(err)
			}
			defer func() { _ = sim.Close() }()
			var number atomic.Int64
			b.SetParallelism(32)
			b.ReportAllocs()
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					body := fmt.Sprintf(`{"clientRef":"wf-%d","userId":"creator-%d","recipientId":"fan-1","content":"Hello"}`,
						number.Add(1), number.Load()%1000)
					r := httptest.NewRequest(http.MethodPost, "/v1/messages", strings.NewReader(body))
					w := httptest.NewRecorder()
					if sim.ServeHTTP(w, r); w.Code != 200 {
						b.Error(w.Code)
					}
				}
			})
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "arrivals/s")
		})
	}
}

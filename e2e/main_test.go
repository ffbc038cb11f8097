package e2e_test

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/huntaze/hybrid-orchestrator/internal/pgtest"
)

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "huntaze-e2e-bin-")
	if err != nil {
		fmt.Fprintln(os.Stderr, "e2e:", err)
		os.Exit(1)
	}
	binaryDir = dir
	flag.Parse()
	if !given("test.parallel") {
		_ = flag.Set("test.parallel", "8") // most tests wait for time to pass, whatever the number of cores
	}
	pgtest.Main(removing{m, dir}, pgtest.WithLeakCheck())
}

func given(name string) (is bool) {
	flag.Visit(func(f *flag.Flag) { is = is || f.Name == name })
	return is
}

// removing deletes a folder after the tests.
type removing struct {
	*testing.M
	dir string
}

func (r removing) Run() int {
	defer func() { _ = os.RemoveAll(r.dir) }()
	return r.M.Run()
}

var (
	binaryDir   string
	buildBinary = sync.OnceValues(func() (string, error) {
		path := filepath.Join(binaryDir, "huntaze")
		args := []string{"build", "-o", path}
		if raceEnabled {
			args = append(args, "-race")
		}
		build := exec.Command("go", append(args, "github.com/huntaze/hybrid-orchestrator/cmd/huntaze")...)
		if out, err := build.CombinedOutput(); err != nil {
			return "", fmt.Errorf("go build: %w\n%s", err, out)
		}
		return path, nil
	})
)

// binary returns the path of the huntaze binary of this run.
func binary(t testing.TB) string {
	t.Helper()
	path, err := buildBinary()
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// size says how much of a test is run.
type size int

const (
	small size = iota // part of `make test`
	light             // CI's run with faults
	full              // the numbers that were promised
)

// chaos is the size of this run: CHAOS is not set, light, or anything else.
var chaos = func() size {
	switch os.Getenv("CHAOS") {
	case "", "0":
		return small
	case "light":
		return light
	}
	return full
}()

// pick returns the value for the size of this run.
func pick[T any](ifSmall, ifLight, ifFull T) T {
	return [...]T{ifSmall, ifLight, ifFull}[chaos]
}

// seed chooses the faults. Without SEED a small run always makes the same draws, a larger one others each time.
var seed = func() uint64 {
	if n, err := strconv.ParseUint(os.Getenv("SEED"), 10, 64); err == nil {
		return n
	}
	if chaos == small {
		return 1
	}
	return uint64(time.Now().Unix())
}()

// newRandom returns the random numbers of a test, the same for the same seed and name.
func newRandom(t testing.TB) *rand.Rand {
	var name uint64
	for _, c := range []byte(t.Name()) {
		name = name*31 + uint64(c)
	}
	return rand.New(rand.NewPCG(seed, name))
}

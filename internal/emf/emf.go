// Package emf writes metrics for CloudWatch as lines of JSON in its embedded metric format: whatever collects the
// process' output (awslogs on ECS) brings them there, and no library, agent or API call is needed.
//
// It promises that each metric is one line which says everything about it, that a line is written at once and whole, and
// that a value that is no number is left out.
//
// Source: Amazon CloudWatch User Guide, "Specification: Embedded metric format".
package emf

import (
	"encoding/json"
	"errors"
	"io"
	"math"
	"sync"
	"time"
)

// Unit is one of CloudWatch's.
type Unit string

// The units that are used.
const (
	Seconds Unit = "Seconds"
	Count   Unit = "Count"
	Percent Unit = "Percent"
)

// Dimension names what a metric is about. CloudWatch keeps a metric for each combination of values: they must be few.
type Dimension struct{ Name, Value string }

// Metric is one value at one time.
type Metric struct {
	Name  string
	Unit  Unit
	Value float64
	// Dimensions are those by which CloudWatch keeps it. None would be refused.
	Dimensions []Dimension
}

// Writer writes lines. It is safe for concurrent use.
type Writer struct {
	mu        sync.Mutex
	out       io.Writer
	namespace string
}

// NewWriter returns a writer of metrics in a namespace.
func NewWriter(out io.Writer, namespace string) *Writer {
	return &Writer{out: out, namespace: namespace}
}

type definition struct {
	Namespace  string
	Dimensions [][]string
	Metrics    []named
}

type named struct {
	Name string
	Unit Unit
}

var errNoDimension = errors.New("emf: a metric needs a dimension")

// Write writes a metric as one line.
func (w *Writer) Write(at time.Time, m Metric) error {
	if math.IsNaN(m.Value) || math.IsInf(m.Value, 0) {
		return nil
	}
	if len(m.Dimensions) == 0 {
		return errNoDimension
	}
	line, names := map[string]any{m.Name: m.Value}, make([]string, len(m.Dimensions))
	for i, d := range m.Dimensions {
		line[d.Name], names[i] = d.Value, d.Name
	}
	line["_aws"] = struct {
		Timestamp         int64
		CloudWatchMetrics []definition
	}{at.UnixMilli(), []definition{{w.namespace, [][]string{names}, []named{{m.Name, m.Unit}}}}}
	text, err := json.Marshal(line)
	if err != nil {
		return err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	_, err = w.out.Write(append(text, '\n'))
	return err
}

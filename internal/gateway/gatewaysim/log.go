package gatewaysim

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
)

// arrivalLog appends lines to a file and knows when a line is in the operating system's hands. Like a group
// commit, whoever waits first writes for everybody who has appended by then: under load one write carries many
// lines, and none waits for a timer.
type arrivalLog struct {
	file *os.File
	sync bool

	mu       sync.Mutex
	written  sync.Cond
	pending  []byte
	spare    []byte
	appended int64 // lines
	flushed  int64
	writing  bool
	err      error // the first failure; nothing is accepted after it
}

var errClosed = errors.New("the simulated gateway is closed")

// openLog opens or creates a log and returns what it holds. A last line that a crash cut off is removed: its
// arrival got no answer that says it was taken.
func openLog(path string, sync bool) (*arrivalLog, []Arrival, error) {
	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, nil, fmt.Errorf("arrival log: %w", err)
	}
	arrivals, whole, err := readLog(file)
	if err == nil {
		err = file.Truncate(whole)
	}
	if err == nil {
		_, err = file.Seek(whole, io.SeekStart)
	}
	if err != nil {
		_ = file.Close()
		return nil, nil, fmt.Errorf("arrival log %s: %w", path, err)
	}
	log := &arrivalLog{file: file, sync: sync}
	log.written.L = &log.mu
	return log, arrivals, nil
}

// ReadLog reads an arrival log, also one that a simulator is writing or that a crash cut off: an unfinished last
// line is left out.
func ReadLog(path string) ([]Arrival, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("arrival log: %w", err)
	}
	defer func() { _ = file.Close() }()
	arrivals, _, err := readLog(file)
	if err != nil {
		return nil, fmt.Errorf("arrival log %s: %w", path, err)
	}
	return arrivals, nil
}

// readLog returns the arrivals and the length of the whole lines in bytes.
func readLog(from io.Reader) (arrivals []Arrival, whole int64, err error) {
	reader := bufio.NewReaderSize(from, 1<<20)
	for number := 1; ; number++ {
		line, err := reader.ReadBytes('\n')
		if errors.Is(err, io.EOF) {
			return arrivals, whole, nil
		}
		if err != nil {
			return nil, 0, err
		}
		var a Arrival
		if err := json.Unmarshal(bytes.TrimSuffix(line, []byte("\n")), &a); err != nil {
			return nil, 0, fmt.Errorf("line %d: %w", number, err)
		}
		arrivals = append(arrivals, a)
		whole += int64(len(line))
	}
}

// append queues one line and returns the ticket to wait for it with.
func (l *arrivalLog) append(a Arrival) (ticket int64, err error) {
	line, err := json.Marshal(a)
	if err != nil {
		return 0, err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.err != nil {
		return 0, l.err
	}
	l.pending = append(append(l.pending, line...), '\n')
	l.appended++
	return l.appended, nil
}

// last is the ticket of the newest line.
func (l *arrivalLog) last() int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.appended
}

// wait returns when the line of a ticket was written (and synced, if that was asked for).
func (l *arrivalLog) wait(ticket int64) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	for l.flushed < ticket {
		switch {
		case l.err != nil:
			return l.err
		case l.writing:
			l.written.Wait()
		default:
			l.write()
		}
	}
	return nil
}

// write writes everything pending; it is called with the lock held and gives it up meanwhile.
func (l *arrivalLog) write() {
	batch, upTo := l.pending, l.appended
	l.pending, l.spare = l.spare[:0], nil
	l.writing = true
	l.mu.Unlock()
	_, err := l.file.Write(batch)
	if err == nil && l.sync {
		err = l.file.Sync()
	}
	l.mu.Lock()
	l.writing = false
	l.spare = batch
	if err != nil {
		l.err = fmt.Errorf("arrival log: %w", err)
	} else {
		l.flushed = upTo
	}
	l.written.Broadcast()
}

func (l *arrivalLog) close() error {
	err := l.wait(l.last())
	l.mu.Lock()
	defer l.mu.Unlock()
	for l.writing {
		l.written.Wait()
	}
	if l.err == nil {
		l.err = errClosed
	}
	return errors.Join(err, l.file.Close())
}

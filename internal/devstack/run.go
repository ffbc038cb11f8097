package devstack

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/huntaze/hybrid-orchestrator/internal/devstack/screen"
	"github.com/huntaze/hybrid-orchestrator/queue"
)

const (
	// drawEvery is the time between two pictures.
	drawEvery = 250 * time.Millisecond
	// stopWithin bounds a stop: what still runs then may be killed without harm.
	stopWithin = 60 * time.Second
	// tableEach and tableMost bound the table at the end of the sample.
	tableEach = 2
	tableMost = 40
)

// ErrTimeOver says that the sample had not ended within Session.For.
var ErrTimeOver = errors.New("the sample has not ended in time")

// Session is one run of `huntaze dev`: a stack, the sample, and somebody who watches.
type Session struct {
	Options
	Out        io.Writer
	Plain      bool // lines, also on a terminal
	NoSample   bool
	For        time.Duration // stop when the sample has ended, or after that long; 0: run until ctx ends
	Command    string        // how a person calls this program, for instance "go run ./cmd/huntaze"
	ParentGone func() bool   // says that nobody is there any more who could stop this; may be nil
	Environ    func(string) string
}

// Run starts the stack, shows what goes through it, and stops it when ctx ends. It returns nil for a stop that was asked for.
func (s Session) Run(ctx context.Context) (err error) {
	r := &run{Session: s, view: newView(s.Out, s.Plain, s.Environ)}
	defer func() { err = errors.Join(err, r.view.close()) }()
	if err := r.start(ctx); err != nil {
		if ctx.Err() != nil {
			return r.view.say("Stopped before everything had started.")
		}
		return err
	}
	err = r.watch(ctx)
	return errors.Join(err, r.stop(ctx, err))
}

// run is a session on its way.
type run struct {
	Session
	view    view
	stack   *Stack
	watcher *watcher
	name    string // of the messages of this run
	sending chan error
	until   <-chan time.Time // the end of Session.For
	told    bool             // the table was printed
}

func (r *run) start(ctx context.Context) error {
	if err := r.view.say("huntaze dev: everything in one process. What is simulated says so.", ""); err != nil {
		return err
	}
	began := time.Now()
	options := r.Options
	options.Started, options.Drained = r.tellPart, r.lastLook
	var err error
	if r.stack, err = Start(ctx, options); err != nil {
		return err
	}
	r.name = runName(began)
	if r.watcher, err = newWatcher(ctx, r.stack); err == nil {
		err = r.watcher.offer(began)
	}
	if err != nil {
		return errors.Join(err, r.stack.Stop(context.WithoutCancel(ctx)))
	}
	r.tellPart(Part{"Data", "kept for the next start", shown(r.stack.folder.path) + " (--fresh starts anew)"})
	_ = r.view.say("", fmt.Sprintf("Ready after %s.", screen.Span(time.Since(began))))
	for _, text := range r.found() {
		_ = r.view.paragraph(text)
	}
	if r.For > 0 {
		r.until = time.After(r.For)
	}
	return nil
}

// watch puts the sample on the queue and shows what happens until ctx ends, the time is over, or a part fails.
func (r *run) watch(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	looking := make(chan struct{})
	go func() {
		defer close(looking)
		r.watcher.run(ctx)
	}()
	defer func() { cancel(); <-looking }()
	if err := r.beginSample(ctx); err != nil {
		return err
	}
	if r.sending != nil {
		defer func() { cancel(); <-r.sending }()
	}
	tick := time.NewTicker(drawEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case err := <-r.stack.fleet.failed:
			return err
		case <-r.until:
			return r.timeOver()
		case <-tick.C:
		}
		over, err := r.turn()
		switch {
		case ctx.Err() != nil:
			return nil // the terminal may be gone: there is nobody to tell
		case over || err != nil:
			return err
		}
	}
}

// turn draws once; over says that there is nothing more to wait for.
func (r *run) turn() (over bool, err error) {
	if r.stack.database.lost() {
		return true, fmt.Errorf("our Postgres ended unasked; its log is in %s", shown(r.stack.database.cluster.Dir()))
	}
	if r.ParentGone != nil && r.ParentGone() {
		return true, nil
	}
	if err := r.view.show(r.watcher.snapshot(r.sendMore()), r.watcher.news()); err != nil {
		return true, err
	}
	if err := r.watcher.offer(time.Now()); err != nil {
		return true, err
	}
	if r.watcher.sampleEnded() {
		r.told = true
		if err := r.view.say(r.report()...); err != nil {
			return true, err
		}
		r.view.rest()
		return r.For > 0, nil
	}
	return false, nil
}

func (r *run) timeOver() error {
	if r.watcher.sample == nil || r.told {
		return nil
	}
	_ = r.view.say(r.report()...)
	return fmt.Errorf("%w: %s", ErrTimeOver, r.For)
}

// sampleAllowed says why there must be no sample, or nothing.
func (r *run) sampleAllowed() string {
	switch {
	case isAWS(r.stack.at.SQSEndpoint):
		return "AWS_ENDPOINT_URL_SQS is AWS itself, which is no place for a sample"
	case r.stack.gateway.sim == nil && !isLoopback(r.stack.at.GatewayURL):
		return "GATEWAY_URL is on another machine and may be a real gateway, which is no place for a sample"
	}
	return ""
}

func (r *run) beginSample(ctx context.Context) error {
	if r.NoSample {
		return r.view.say("", "No sample. From a second terminal:", "  "+r.sendMore(), "")
	}
	if why := r.sampleAllowed(); why != "" {
		return errors.Join(r.view.say(""), r.view.paragraph("No sample: "+why+". Send messages of your own: "+r.Command+" send FILE"), r.view.say(""))
	}
	pause := r.view.readingTime()
	now := time.Now().Add(pause)
	all := waves(sampleText, r.name, now)
	sample := newFollower(slices.Concat(all...), r.Queue.Limits)
	expect := r.watcher.follow(sample, now)
	if r.stack.gateway.sim != nil {
		if err := r.stack.gateway.loseReply(doubtful); err != nil {
			return err
		}
	}
	if err := r.introduce(sample, expect.Sub(now), expect); err != nil {
		return err
	}
	select {
	case <-ctx.Done():
		return nil
	case <-time.After(pause):
	}
	r.sending = make(chan error, 1)
	go func() { r.sending <- r.send(ctx, all) }()
	return nil
}

// send puts the sample on the queue, wave by wave.
func (r *run) send(ctx context.Context, all [][]string) error {
	api, err := queue.NewClient(ctx, r.Region, r.stack.at.SQSEndpoint)
	if err != nil {
		return r.sampleFailed(err)
	}
	sender := queue.Sender{API: api, Queue: r.Queue.Queue, Limits: r.Queue.Limits, Force: true, Senders: 1}
	for i, wave := range all {
		if i > 0 {
			select {
			case <-ctx.Done():
				return nil
			case <-time.After(wavePause):
			}
		}
		result, err := sender.Send(ctx, strings.NewReader(strings.Join(wave, "\n")))
		if ctx.Err() != nil {
			return nil
		}
		if err == nil && result.Failed > 0 {
			err = fmt.Errorf("%d of %d messages were refused", result.Failed, len(wave))
		}
		if err != nil {
			return r.sampleFailed(err)
		}
	}
	return nil
}

// sampleFailed makes the failure seen; the stack goes on.
func (r *run) sampleFailed(err error) error {
	r.stack.logger.Error("the sample could not be put on the queue", "error", err)
	return err
}

// lastLook is for what happened while the workers drained.
func (r *run) lastLook(ctx context.Context) error {
	if r.watcher == nil || r.stack.database.lost() {
		return nil
	}
	return r.watcher.look(ctx)
}

// stop stops the stack and says what remains.
func (r *run) stop(ctx context.Context, failed error) error {
	_ = r.view.paragraph("Stopping: the workers finish what is in flight, then the queues are saved and Postgres stops.")
	began := time.Now()
	ctx, cancel := context.WithTimeoutCause(context.WithoutCancel(ctx), stopWithin, fmt.Errorf("it took longer than %s", stopWithin))
	defer cancel()
	err := r.stack.Stop(ctx)
	if err != nil || failed != nil && !errors.Is(failed, ErrTimeOver) {
		return err
	}
	total := r.watcher.totals
	text := fmt.Sprintf("Stopped after %s. %s sent so far", screen.Span(time.Since(began)), countOf(total.sent, "message was", "messages were"))
	if total.open > 0 {
		text += fmt.Sprintf(", %s for the next start", countOf(total.open, "waits", "wait"))
	}
	return r.view.paragraph(text + "; the data is in " + shown(r.stack.folder.path) + ".")
}

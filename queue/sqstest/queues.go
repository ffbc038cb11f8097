package sqstest

import (
	"maps"
	"regexp"
	"slices"
	"strings"
	"time"
)

// cooldown is how long SQS refuses to repeat a deletion or purge.
const cooldown = 60 * time.Second

var (
	standardName = regexp.MustCompile(`^[A-Za-z0-9_-]{1,80}$`)
	fifoName     = regexp.MustCompile(`^[A-Za-z0-9_-]{1,75}\.fifo$`)
)

// CreateQueue makes a queue, as the action of that name does: it does nothing if
// there is one whose attributes do not differ. Attributes have the names of the
// SQS API, such as "VisibilityTimeout", and values as text.
func (s *Server) CreateQueue(name string, attributes map[string]string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, err := s.create(name, attributes, nil); err != nil {
		return err
	}
	return nil
}

// QueueARN returns the ARN that a queue of this name has.
func (s *Server) QueueARN(name string) string { return s.arn(name) }

func (s *Server) createQueue(c *call, in *createQueueRequest) (queueURLReply, *apiError) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if in.QueueName == "" {
		return queueURLReply{}, missingParameter("QueueName")
	}
	q, err := s.create(in.QueueName, in.Attributes, in.Tags)
	if err != nil {
		return queueURLReply{}, err
	}
	return queueURLReply{QueueURL: s.url(c, q.name)}, nil
}

func (s *Server) create(name string, attributes, tags map[string]string) (*queue, *apiError) {
	now := s.clock.Now()
	fifo := strings.HasSuffix(name, ".fifo")
	switch {
	case !fifo && attributes["FifoQueue"] == "true", fifo && attributes["FifoQueue"] != "true", fifo && !fifoName.MatchString(name):
		return nil, invalidParameter("The name of a FIFO queue can only include alphanumeric characters, hyphens, or underscores, must end with .fifo suffix and be 1 to 80 in length.")
	case !fifo && !standardName.MatchString(name):
		return nil, invalidParameter("Can only include alphanumeric characters, hyphens, or underscores. 1 to 80 in length.")
	}
	config := defaultSettings()
	q := s.queues[name]
	if q != nil {
		config = q.config
	}
	config.fifo = fifo
	config, err := config.apply(attributes)
	if err != nil {
		return nil, err
	}
	if q != nil {
		return q, q.same(config)
	}
	if at, ok := s.dropped[name]; ok && s.options.Cooldowns && now.Before(at.Add(cooldown)) {
		return nil, newError("QueueDeletedRecently", "You must wait 60 seconds after deleting a queue before you can create another with the same name.")
	}
	if err := s.checkRedrive(name, &config); err != nil {
		return nil, err
	}
	if err := checkTags(tags); err != nil {
		return nil, err
	}
	q = newQueue(s, name, config, now)
	maps.Copy(q.tags, tags)
	s.queues[name] = q
	return q, nil
}

// same refuses attributes that differ from those of the existing queue.
func (q *queue) same(config settings) *apiError {
	has, wants := q.config.values(), config.values()
	for _, name := range slices.Sorted(maps.Keys(queueAttributes)) {
		if has[name] != wants[name] {
			return newError("QueueNameExists", "A queue already exists with the same name and a different value for attribute %s", name)
		}
	}
	return nil
}

// checkRedrive checks what a redrive policy says about another queue.
func (s *Server) checkRedrive(name string, config *settings) *apiError {
	p := config.redrive
	if p == nil {
		return nil
	}
	reason := ""
	target := s.queues[p.target]
	switch {
	case target == nil && p.target != name, p.arn != s.arn(p.target):
		reason = "Dead letter target does not exist."
	case target == nil: // itself
	case target.config.fifo != config.fifo:
		reason = "Dead-letter queue must be same type of queue as the source."
	case !target.config.redriveAllow.allows(s.arn(name)):
		reason = "The RedriveAllowPolicy of the dead-letter queue does not allow it."
	}
	if reason == "" {
		return nil
	}
	return invalidParameter("Value %s for parameter RedrivePolicy is invalid. Reason: %s", getRedrivePolicy(config), reason)
}

func (s *Server) deleteQueue(_ *call, in *queueRequest) (emptyReply, *apiError) {
	s.mu.Lock()
	defer s.mu.Unlock()
	q, now, err := s.find(in.QueueURL)
	if err != nil {
		return emptyReply{}, err
	}
	delete(s.queues, q.name)
	s.dropped[q.name] = now
	q.deleted = true
	for e := q.waiters.Front(); e != nil; e = q.waiters.Front() {
		w := e.Value.(*waiter)
		w.err = queueDoesNotExist()
		q.finish(w)
	}
	q.rearm(now)
	return emptyReply{}, nil
}

func (s *Server) purgeQueue(_ *call, in *queueRequest) (emptyReply, *apiError) {
	s.mu.Lock()
	defer s.mu.Unlock()
	q, now, err := s.find(in.QueueURL)
	if err != nil {
		return emptyReply{}, err
	}
	if s.options.Cooldowns && !q.purged.IsZero() && now.Before(q.purged.Add(cooldown)) {
		return emptyReply{}, newError("PurgeQueueInProgress", "Only one PurgeQueue operation on %s is allowed every 60 seconds.", q.name)
	}
	q.purged = now
	q.purge()
	s.flush(now)
	return emptyReply{}, nil
}

func (s *Server) getQueueAttributes(_ *call, in *getAttributesRequest) (attributesReply, *apiError) {
	s.mu.Lock()
	defer s.mu.Unlock()
	q, now, err := s.find(in.QueueURL)
	if err != nil {
		return attributesReply{}, err
	}
	s.flush(now)
	values := q.values()
	out := map[string]string{}
	for _, name := range in.AttributeNames {
		_, settable := queueAttributes[name]
		switch {
		case name == "All":
			return attributesReply{Attributes: values}, nil
		case !settable && !slices.Contains(computedAttributes, name):
			return attributesReply{}, unknownAttribute(name)
		}
		if v, ok := values[name]; ok {
			out[name] = v
		}
	}
	return attributesReply{Attributes: out}, nil
}

func (s *Server) setQueueAttributes(_ *call, in *setAttributesRequest) (emptyReply, *apiError) {
	s.mu.Lock()
	defer s.mu.Unlock()
	q, now, err := s.find(in.QueueURL)
	if err != nil {
		return emptyReply{}, err
	}
	if len(in.Attributes) == 0 {
		return emptyReply{}, missingParameter("Attributes")
	}
	err = q.set(in.Attributes, now)
	s.flush(now)
	return emptyReply{}, err
}

func (q *queue) set(attributes map[string]string, now time.Time) *apiError {
	config, err := q.config.apply(attributes)
	if err == nil {
		_, changesRedrive := attributes["RedrivePolicy"]
		if changesRedrive {
			err = q.server.checkRedrive(q.name, &config)
		}
	}
	if err != nil {
		return err
	}
	before := q.config.delay
	q.config = config
	q.modified = now
	if q.fifo != nil && config.delay != before {
		// The delay of a FIFO queue also changes for messages that wait already.
		for _, m := range q.bySeq {
			if m.state == Delayed {
				q.move(m, Delayed, m.sent.Add(config.delay), false)
			}
		}
	}
	q.settle(now)
	q.touch()
	return nil
}

// find returns a queue, settled. The caller holds the lock.
func (s *Server) find(queueURL string) (*queue, time.Time, *apiError) {
	now := s.clock.Now()
	q := s.queues[queueOfURL(queueURL)]
	if q == nil {
		return nil, now, queueDoesNotExist()
	}
	q.settle(now)
	return q, now, nil
}

// queueOfURL returns the name in a queue URL. The host and the account are not
// compared: a URL made for another name of this machine must work too.
func queueOfURL(queueURL string) string {
	path := queueURL
	if _, rest, ok := strings.Cut(queueURL, "://"); ok {
		_, path, _ = strings.Cut(rest, "/")
	}
	if i := strings.LastIndexByte(path, '/'); i >= 0 {
		path = path[i+1:]
	}
	return path
}

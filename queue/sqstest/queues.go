package sqstest

import (
	"encoding/base64"
	"maps"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"
)

const (
	maxListed = 1000
	cooldown  = 60 * time.Second
	maxTags   = 50
)

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

func (s *Server) getQueueURL(c *call, in *getQueueURLRequest) (queueURLReply, *apiError) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if in.QueueName == "" {
		return queueURLReply{}, invalidParameter("Value for parameter QueueName is invalid. Reason: Must specify a queue name.")
	}
	q := s.queues[in.QueueName]
	if q == nil {
		return queueURLReply{}, queueDoesNotExist()
	}
	return queueURLReply{QueueURL: s.url(c, q.name)}, nil
}

func (s *Server) listQueues(c *call, in *listQueuesRequest) (listQueuesReply, *apiError) {
	s.mu.Lock()
	defer s.mu.Unlock()
	names, token, err := s.page(in.MaxResults, in.NextToken, func(q *queue) bool {
		return strings.HasPrefix(q.name, in.QueueNamePrefix)
	})
	return listQueuesReply{QueueURLs: s.urls(c, names), NextToken: token}, err
}

func (s *Server) listDeadLetterSourceQueues(c *call, in *listSourcesRequest) (listSourcesReply, *apiError) {
	s.mu.Lock()
	defer s.mu.Unlock()
	target, _, err := s.find(in.QueueURL)
	if err != nil {
		return listSourcesReply{}, err
	}
	names, token, err := s.page(in.MaxResults, in.NextToken, target.deadLettersOf)
	return listSourcesReply{QueueURLs: s.urls(c, names), NextToken: token}, err
}

// deadLettersOf says whether source sends its dead letters here.
func (q *queue) deadLettersOf(source *queue) bool {
	p := source.config.redrive
	return p != nil && p.target == q.name
}

// page returns one page of names in order. As in SQS there is a next page only if
// the request set its size. The token is the last name of the page before.
func (s *Server) page(size *int, token string, match func(*queue) bool) ([]string, string, *apiError) {
	limit := maxListed
	if size != nil {
		if *size < 1 || *size > maxListed {
			return nil, "", invalidParameter("Value %d for parameter MaxResults is invalid. Reason: MaxResults must be an integer between 1 and 1000.", *size)
		}
		limit = *size
	}
	after, err := base64.StdEncoding.DecodeString(token)
	if err != nil {
		return nil, "", invalidParameter("Value for parameter NextToken is invalid. Reason: Invalid or expired next token.")
	}
	var names []string
	for name, q := range s.queues {
		if name > string(after) && match(q) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	next := ""
	if len(names) > limit {
		names = names[:limit]
		if size != nil {
			next = base64.StdEncoding.EncodeToString([]byte(names[limit-1]))
		}
	}
	return names, next, nil
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

func (s *Server) tagQueue(_ *call, in *tagQueueRequest) (emptyReply, *apiError) {
	s.mu.Lock()
	defer s.mu.Unlock()
	q, _, err := s.find(in.QueueURL)
	if err != nil {
		return emptyReply{}, err
	}
	if len(in.Tags) == 0 {
		return emptyReply{}, missingParameter("Tags")
	}
	tags := maps.Clone(q.tags)
	maps.Copy(tags, in.Tags)
	if err := checkTags(tags); err != nil {
		return emptyReply{}, err
	}
	q.tags = tags
	return emptyReply{}, nil
}

func checkTags(tags map[string]string) *apiError {
	if len(tags) > maxTags {
		return invalidParameter("Too many tags added for queue, the maximum is %d.", maxTags)
	}
	for key, value := range tags {
		if key == "" || len(key) > 128 || len(value) > 256 {
			return invalidParameter("Tag keys must be between 1 and 128 characters in length, tag values at most 256.")
		}
	}
	return nil
}

func (s *Server) untagQueue(_ *call, in *untagQueueRequest) (emptyReply, *apiError) {
	s.mu.Lock()
	defer s.mu.Unlock()
	q, _, err := s.find(in.QueueURL)
	if err != nil {
		return emptyReply{}, err
	}
	for _, key := range in.TagKeys {
		delete(q.tags, key)
	}
	return emptyReply{}, nil
}

func (s *Server) listQueueTags(_ *call, in *queueRequest) (tagsReply, *apiError) {
	s.mu.Lock()
	defer s.mu.Unlock()
	q, _, err := s.find(in.QueueURL)
	if err != nil {
		return tagsReply{}, err
	}
	return tagsReply{Tags: maps.Clone(q.tags)}, nil
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

func (s *Server) url(c *call, name string) string {
	return c.baseURL + "/" + url.PathEscape(s.options.AccountID) + "/" + name
}

func (s *Server) urls(c *call, names []string) []string {
	out := make([]string, len(names))
	for i, name := range names {
		out[i] = s.url(c, name)
	}
	return out
}

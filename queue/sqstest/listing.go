package sqstest

import (
	"encoding/base64"
	"net/url"
	"slices"
	"strings"
)

// maxListed is the largest page of a list of queues.
const maxListed = 1000

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

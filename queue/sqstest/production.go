package sqstest

import "fmt"

// Attributes of the queues in production; see the SQS contract of the project.
const (
	productionVisibility  = "300"     // seconds
	productionRetention   = "1209600" // seconds: 14 days
	productionMaxReceives = 3
)

// ApplyProductionQueues makes the queues of production, or gives those that exist
// the attributes of production: messages and retry (left out if its name is
// empty) send what was received three times in vain to deadLetters. Messages that
// are in the queues stay.
func (s *Server) ApplyProductionQueues(messages, retry, deadLetters string) error {
	base := map[string]string{
		"VisibilityTimeout":      productionVisibility,
		"MessageRetentionPeriod": productionRetention,
	}
	source := map[string]string{
		"VisibilityTimeout":      productionVisibility,
		"MessageRetentionPeriod": productionRetention,
		"RedrivePolicy":          fmt.Sprintf(`{"deadLetterTargetArn":%q,"maxReceiveCount":%d}`, s.arn(deadLetters), productionMaxReceives),
	}
	for _, q := range []struct {
		name       string
		attributes map[string]string
	}{{deadLetters, base}, {messages, source}, {retry, source}} {
		if q.name == "" && q.name == retry {
			continue
		}
		if err := s.ensureQueue(q.name, q.attributes); err != nil {
			return fmt.Errorf("sqstest: queue %q: %w", q.name, err)
		}
	}
	return nil
}

func (s *Server) ensureQueue(name string, attributes map[string]string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if q := s.queues[name]; q != nil {
		now := s.clock.Now()
		err := q.set(attributes, now)
		s.flush(now)
		if err != nil {
			return err
		}
		return nil
	}
	if _, err := s.create(name, attributes, nil); err != nil {
		return err
	}
	return nil
}

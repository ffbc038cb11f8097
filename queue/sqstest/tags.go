package sqstest

import "maps"

// maxTags is how many tags a queue may have.
const maxTags = 50

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

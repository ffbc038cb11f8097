package sqstest

// The members of requests and replies, named as on the wire. Numbers of requests
// are pointers where a missing one means something else than zero.

type wireAttribute struct {
	DataType         string   `json:"DataType"`
	StringValue      *string  `json:"StringValue,omitempty"`
	BinaryValue      []byte   `json:"BinaryValue,omitempty"`
	StringListValues []string `json:"StringListValues,omitempty"`
	BinaryListValues [][]byte `json:"BinaryListValues,omitempty"`
}

type emptyReply struct{}

type queueRequest struct {
	QueueURL string `json:"QueueUrl"`
}

type createQueueRequest struct {
	QueueName  string
	Attributes map[string]string
	Tags       map[string]string `json:"tags"`
}

type queueURLReply struct {
	QueueURL string `json:"QueueUrl"`
}

type getQueueURLRequest struct {
	QueueName string
}

type listQueuesRequest struct {
	QueueNamePrefix string
	MaxResults      *int
	NextToken       string
}

type listQueuesReply struct {
	QueueURLs []string `json:"QueueUrls,omitempty"`
	NextToken string   `json:",omitempty"`
}

type listSourcesRequest struct {
	QueueURL   string `json:"QueueUrl"`
	MaxResults *int
	NextToken  string
}

// listSourcesReply has a lower case member: the service model says so.
type listSourcesReply struct {
	QueueURLs []string `json:"queueUrls"`
	NextToken string   `json:",omitempty"`
}

type getAttributesRequest struct {
	QueueURL       string `json:"QueueUrl"`
	AttributeNames []string
}

type attributesReply struct {
	Attributes map[string]string `json:",omitempty"`
}

type setAttributesRequest struct {
	QueueURL   string `json:"QueueUrl"`
	Attributes map[string]string
}

type tagQueueRequest struct {
	QueueURL string `json:"QueueUrl"`
	Tags     map[string]string
}

type untagQueueRequest struct {
	QueueURL string `json:"QueueUrl"`
	TagKeys  []string
}

type tagsReply struct {
	Tags map[string]string `json:",omitempty"`
}

type sendEntry struct {
	ID                      string `json:"Id"`
	MessageBody             string
	DelaySeconds            *int
	MessageAttributes       map[string]wireAttribute
	MessageSystemAttributes map[string]wireAttribute
	MessageGroupID          *string `json:"MessageGroupId"`
	MessageDeduplicationID  *string `json:"MessageDeduplicationId"`
}

type sendRequest struct {
	QueueURL string `json:"QueueUrl"`
	sendEntry
}

type sendBatchRequest struct {
	QueueURL string `json:"QueueUrl"`
	Entries  []sendEntry
}

// sent is the reply to SendMessage and an entry of the reply to a batch.
type sent struct {
	ID                           string `json:"Id,omitempty"`
	MessageID                    string `json:"MessageId"`
	MD5OfMessageBody             string
	MD5OfMessageAttributes       string `json:",omitempty"`
	MD5OfMessageSystemAttributes string `json:",omitempty"`
	SequenceNumber               string `json:",omitempty"`
}

type entryID struct {
	ID string `json:"Id"`
}

type entryError struct {
	ID          string `json:"Id"`
	Code        string
	Message     string
	SenderFault bool
}

// batchReply leaves out an empty list, as SQS does.
type batchReply[T any] struct {
	Successful []T          `json:",omitempty"`
	Failed     []entryError `json:",omitempty"`
}

func (b *batchReply[T]) fail(id string, err *apiError) {
	b.Failed = append(b.Failed, entryError{ID: id, Code: err.code, Message: err.message, SenderFault: err.senderFault()})
}

type receiveRequest struct {
	QueueURL                    string `json:"QueueUrl"`
	AttributeNames              []string
	MessageSystemAttributeNames []string
	MessageAttributeNames       []string
	MaxNumberOfMessages         *int
	VisibilityTimeout           *int
	WaitTimeSeconds             *int
}

type deleteEntry struct {
	ID            string `json:"Id"`
	ReceiptHandle string
}

type deleteRequest struct {
	QueueURL string `json:"QueueUrl"`
	deleteEntry
}

type deleteBatchRequest struct {
	QueueURL string `json:"QueueUrl"`
	Entries  []deleteEntry
}

type visibilityEntry struct {
	ID                string `json:"Id"`
	ReceiptHandle     string
	VisibilityTimeout *int
}

type visibilityRequest struct {
	QueueURL string `json:"QueueUrl"`
	visibilityEntry
}

type visibilityBatchRequest struct {
	QueueURL string `json:"QueueUrl"`
	Entries  []visibilityEntry
}

type startMoveRequest struct {
	SourceArn                    string
	DestinationArn               string
	MaxNumberOfMessagesPerSecond *int
}

type listMovesRequest struct {
	SourceArn  string
	MaxResults *int
}

type taskRequest struct {
	TaskHandle string
}

type taskReply struct {
	TaskHandle string
}

type cancelMoveReply struct {
	ApproximateNumberOfMessagesMoved int64
}

type moveTaskEntry struct {
	TaskHandle                        string `json:",omitempty"`
	Status                            string
	SourceArn                         string
	DestinationArn                    string `json:",omitempty"`
	MaxNumberOfMessagesPerSecond      int    `json:",omitempty"`
	ApproximateNumberOfMessagesMoved  int64
	ApproximateNumberOfMessagesToMove int64
	FailureReason                     string `json:",omitempty"`
	StartedTimestamp                  int64
}

type listMovesReply struct {
	Results []moveTaskEntry
}

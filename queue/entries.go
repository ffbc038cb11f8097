package queue

import (
	"context"
	"errors"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
	"github.com/aws/smithy-go"
)

// How often an entry of a batch call is tried, and how long the waits between are.
const (
	entryTries = 4
	entryFirst = 100 * time.Millisecond
	entryMost  = 2 * time.Second
)

// failures are the entries of a batch call that failed. Their ids are the index of the entry in the call: ids
// made of message ids would not be distinct when one message comes twice.
type failures []types.BatchResultErrorEntry

// unsettled is an entry that failed for good.
type unsettled[T any] struct {
	entry T
	err   error
}

// inBatch makes a batch call of up to ten entries and repeats it for those that failed, unless what was asked is
// at fault. A call that is refused as a whole, for what one of its entries holds, is made for each on its own.
// It returns the entries that failed for good.
func inBatch[T any](ctx context.Context, clock Clock, entries []T, call func(context.Context, []T) (failures, error)) (left []unsettled[T]) {
	var last error
	for try := 0; len(entries) > 0; try++ {
		if try > 0 {
			select {
			case <-clock.After(backoff(entryFirst, entryMost, try-1)):
			case <-ctx.Done():
				last = ctx.Err()
			}
		}
		if try == entryTries || ctx.Err() != nil {
			return append(left, allUnsettled(entries, errors.Join(last, ctx.Err()))...)
		}
		callCtx, cancel := context.WithTimeout(ctx, callTimeout)
		failed, err := call(callCtx, entries)
		cancel()
		switch {
		case err == nil:
			entries, left, last = sortFailed(entries, failed, left)
		case refusedForContents(err) && len(entries) > 1:
			for i := range entries {
				left = append(left, inBatch(ctx, clock, entries[i:i+1], call)...)
			}
			return left
		case isRefusal(err):
			return append(left, allUnsettled(entries, err)...)
		default:
			last = err
		}
	}
	return left
}

func allUnsettled[T any](entries []T, err error) (all []unsettled[T]) {
	for _, entry := range entries {
		all = append(all, unsettled[T]{entry, err})
	}
	return all
}

// sortFailed parts the failed entries of a call into those to try again and those that failed for good.
func sortFailed[T any](entries []T, failed failures, left []unsettled[T]) (again []T, _ []unsettled[T], last error) {
	for _, f := range failed {
		index, err := strconv.Atoi(aws.ToString(f.Id))
		if err != nil || index < 0 || index >= len(entries) {
			continue
		}
		last = &entryError{code: aws.ToString(f.Code), message: aws.ToString(f.Message), senderFault: f.SenderFault}
		if f.SenderFault {
			left = append(left, unsettled[T]{entries[index], last})
		} else {
			again = append(again, entries[index])
		}
	}
	return again, left, last
}

// entryError is why one entry of a batch call failed.
type entryError struct {
	code, message string
	senderFault   bool
}

func (e *entryError) Error() string { return e.code + ": " + e.message }

// refused says whether what was asked is at fault, so that to ask again is useless.
func refused(err error) bool {
	var entry *entryError
	if errors.As(err, &entry) {
		return entry.senderFault
	}
	return isRefusal(err)
}

// refusedForContents says whether a batch call was refused for what an entry holds, which says nothing about
// the other entries.
func refusedForContents(err error) bool {
	var refusal smithy.APIError
	if !isRefusal(err) || !errors.As(err, &refusal) {
		return false
	}
	for _, code := range []string{"BatchRequestTooLong", "InvalidMessageContents", "InvalidParameterValue", "InvalidAttributeValue"} {
		if strings.HasSuffix(refusal.ErrorCode(), code) {
			return true
		}
	}
	return false
}

// entryID is the id of the entry with that index.
func entryID(index int) *string { return aws.String(strconv.Itoa(index)) }

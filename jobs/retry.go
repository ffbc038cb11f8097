package jobs

import (
	"math/rand/v2"
	"time"

	"github.com/riverqueue/river/rivertype"
)

// RetryPolicy spaces the runs of a job that failed, which means that the database did not answer: 1 s, doubling
// to 30 s, with a quarter of jitter. What a message waits for is never a job's retry.
type RetryPolicy struct{}

const longestRetry = 30 * time.Second

// NextRetry implements river.ClientRetryPolicy.
func (RetryPolicy) NextRetry(job *rivertype.JobRow) time.Time {
	pause := min(time.Second<<min(len(job.Errors), 5), longestRetry)
	return time.Now().Add(pause + time.Duration(rand.Int64N(int64(pause/4))))
}

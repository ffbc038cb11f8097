// Package e2e holds the tests of the promises that only whole processes can keep or break: real `huntaze worker`
// and `huntaze api` processes, a real Postgres, an SQS server, a gateway and language models over HTTP, and faults by signal.
//
// A test puts messages on the queue, kills, stops and restarts what it likes, waits until nothing is under way, and
// leaves the verdict to a checker that was not there: it reads the gateway's arrival log from disk and dumps the
// database, and compares both with what was put in. It believes no counter of the processes under test.
//
// The processes are built once for each run of the tests (with the race detector if the tests have it), listen on
// free ports, and are ended by their pid. Their logs are kept and named when a test fails.
//
//	go test ./e2e/...                 every promise, small numbers
//	CHAOS=light go test ./e2e/...     more faults, for CI
//	CHAOS=1 SEED=7 go test ./e2e/...  the full numbers; the seed repeats the draws of a run, not its timing
package e2e

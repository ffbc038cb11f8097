// Package examples holds programs, in several languages, that put messages on the queue, each short enough to copy.
// README.md tells how to run them. There is nothing to import: the package is here for its tests, which run each of
// them against an SQS server in process.
package examples

package pool

import (
	"sync/atomic"
	"time"
)

// Outcome is what a request to a server came to, as far as it says something about the server.
type Outcome uint8

// The outcomes.
const (
	Unknown Outcome = iota // nothing: the client left, or the request was at fault
	Good
	Errored // an answer with a status from 500 on, but for the next
	Gateway // 502, 503 or 504: the server says of itself that it cannot serve
	Broken  // no connection, no answer, or none that can be read
	Outrun  // another server was asked too, and answered first: it would have taken longer than it had
)

// OutcomeOf is that of an answer.
func OutcomeOf(status int) Outcome {
	switch {
	case status < 500:
		return Good
	case status >= 502 && status <= 504:
		return Gateway
	}
	return Errored
}

// tally is what requests to a server came to. Loops add to it for every request; it lies beside the server's count of requests in flight, which they
// change too.
type tally struct {
	failures atomic.Int32 // in a row: Gateway and Broken
	// Since the server is there: requests with an outcome but Outrun; those of them that are not Good; of the Good and Outrun ones those that were timed, and
	// the time until their answers' heads in microseconds.
	ended, failed, timed, waited atomic.Int64
}

// add returns how many failures in a row there are with this one; 0 for none.
func (t *tally) add(o Outcome, took time.Duration) (failures int) {
	if o == Unknown {
		return 0
	}
	if o == Outrun {
		t.timed.Add(1)
		t.waited.Add(took.Microseconds())
		return 0
	}
	t.ended.Add(1)
	switch {
	case o != Good:
		t.failed.Add(1)
	case took > 0:
		t.timed.Add(1)
		t.waited.Add(took.Microseconds())
	}
	switch {
	case o >= Gateway:
		return int(t.failures.Add(1))
	case t.failures.Load() != 0:
		t.failures.Store(0)
	}
	return 0
}

package load

import (
	"fmt"
	"sync"
	"testing"
	"time"
)

const (
	// flowClients are the connections of a flow; each has a request every flowEvery.
	flowClients = 32
	flowEvery   = 40 * time.Millisecond
	// soon is how long an answer may take from when its request was due, to count as good.
	soon = 100 * time.Millisecond
	// slice is the time over which good answers are counted, and perSlice how many requests are due in it, whether they could be sent yet or not; window
	// is how many slices tell whether the flow is well.
	slice    = 100 * time.Millisecond
	perSlice = flowClients * int(slice) / int(flowEvery)
	window   = 10
	// well is the share of a window's requests that have a good answer.
	well = 0.99
)

// flow is a steady load of small GETs by a few clients. Each is due at its time, however the one before fared.
type flow struct {
	begun   time.Time
	ended   chan struct{}
	once    sync.Once
	clients sync.WaitGroup
	mu      sync.Mutex // guards all below
	asked   int
	good    []int // answers to what was due in each slice
	faults  []error
}

func startFlow(addr string) *flow {
	l := &flow{begun: time.Now(), ended: make(chan struct{})}
	for i := range flowClients {
		l.clients.Go(func() { l.ask(&client{addr: addr}, i) })
	}
	return l
}

func (l *flow) ask(c *client, number int) {
	defer c.close()
	due := l.begun.Add(time.Duration(number) * flowEvery / flowClients)
	for id := number << 32; ; id++ {
		select {
		case <-l.ended:
			return
		case <-time.After(time.Until(due)):
		}
		o := c.do(&request{id: id, method: "GET", answer: 500})
		if o.fault == nil && o.status != 200 {
			o.fault = fmt.Errorf("status %d", o.status)
		}
		l.count(due, o.fault, o.fault == nil && !o.cut && time.Since(due) <= soon)
		due = due.Add(flowEvery)
	}
}

func (l *flow) count(due time.Time, fault error, good bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.asked++
	if fault != nil {
		l.faults = append(l.faults, fmt.Errorf("%v: %w", due.Sub(l.begun).Round(time.Millisecond), fault))
	}
	at := int(due.Sub(l.begun) / slice)
	for len(l.good) <= at {
		l.good = append(l.good, 0)
	}
	if good {
		l.good[at]++
	}
}

// wellAfter is how long after a moment the flow was well again: from the first window on in which it was; ok: there is one.
func (l *flow) wellAfter(at time.Time) (d time.Duration, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for i := int(at.Sub(l.begun) / slice); i+window <= len(l.good); i++ {
		if share(l.good[i:i+window]) >= well {
			return max(0, l.begun.Add(time.Duration(i)*slice).Sub(at)), true
		}
	}
	return 0, false
}

// worst is the least share of good answers in a slice between two moments.
func (l *flow) worst(from, to time.Time) float64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	least := 1.0
	for i := int(from.Sub(l.begun) / slice); i < min(len(l.good), int(to.Sub(l.begun)/slice)); i++ {
		least = min(least, share(l.good[i:i+1]))
	}
	return least
}

func share(good []int) float64 {
	all := 0
	for _, n := range good {
		all += n
	}
	return float64(all) / float64(len(good)*perSlice)
}

// stop ends the flow, and tells how many requests there were; none of them may have failed.
func (l *flow) stop(t *testing.T) (asked int) {
	t.Helper()
	l.once.Do(func() { close(l.ended) })
	l.clients.Wait()
	for _, err := range l.faults {
		t.Errorf("a request failed: %v", err)
	}
	return l.asked
}

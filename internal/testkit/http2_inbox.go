package testkit

import (
	"os"
	"sync"
	"time"
)

// inbox is text that has come and waits to be read.
type inbox struct {
	read func(n int) // is told of what was read of a body

	mu       sync.Mutex // guards the fields below
	came     *sync.Cond
	parts    []part
	err      error // what follows the parts
	deadline time.Time
}

// part is text, and how much of a stream's window it takes until it is read.
type part struct {
	text string
	cost int
}

func (x *inbox) init(read func(n int)) {
	x.read = read
	x.came = sync.NewCond(&x.mu)
}

func (x *inbox) put(text string, cost int) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.parts = append(x.parts, part{text, cost})
	x.came.Broadcast()
}

// close says what is read behind what has come. The first word counts.
func (x *inbox) close(err error) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.err == nil {
		x.err = err
	}
	x.came.Broadcast()
}

func (x *inbox) Read(b []byte) (n int, err error) {
	if len(b) == 0 {
		return 0, nil
	}
	x.mu.Lock()
	for len(x.parts) == 0 {
		if err := x.err; err != nil {
			x.mu.Unlock()
			return 0, err
		}
		if !x.deadline.IsZero() && !time.Now().Before(x.deadline) {
			x.mu.Unlock()
			return 0, os.ErrDeadlineExceeded
		}
		x.came.Wait()
	}
	read := 0
	for n < len(b) && len(x.parts) > 0 {
		p := &x.parts[0]
		k := copy(b[n:], p.text)
		n += k
		if p.text = p.text[k:]; p.text == "" {
			read += p.cost
			x.parts = x.parts[1:]
		}
	}
	x.mu.Unlock()
	if read > 0 {
		x.read(read)
	}
	return n, nil
}

// readBy sets the time after which a wait for more fails; zero: none.
func (x *inbox) readBy(t time.Time) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.deadline = t
	broadcastAt(x.came, t)
	x.came.Broadcast()
}

// broadcastAt wakes who waits for c when a time has come; zero: never.
func broadcastAt(c *sync.Cond, t time.Time) {
	if t.IsZero() {
		return
	}
	time.AfterFunc(time.Until(t), func() {
		c.L.Lock() // so that nobody is between looking at the time and waiting
		defer c.L.Unlock()
		c.Broadcast()
	})
}

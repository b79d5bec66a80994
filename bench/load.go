package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"sync/atomic"
	"time"

	"poise/internal/clock"
	"poise/internal/fiber"
	"poise/internal/sys"
)

// loadSpec is what the load child is asked for, as JSON on its command line.
type loadSpec struct {
	To       string
	Scenario string
	WarmUp   time.Duration
	Duration time.Duration
	// Rate, in requests a second, makes the load an open loop: requests begin when they are due, whether earlier ones are over or not. 0: each connection sends
	// its next request when the last one is over.
	Rate float64 `json:",omitempty"`
	// Idle, if not 0, is how many connections are opened, do one request each, and lie idle until they are told to do another one.
	Idle int `json:",omitempty"`
}

// loadEvent is a line that the load child prints.
type loadEvent struct {
	Event    string   // "begin", "end" of the measured time, "over" when no request is left, "idle", or "failed"
	Requests int64    // since begin; of "over": all
	Seconds  float64  // likewise
	Error    string   `json:",omitempty"`
	Latency  *latency `json:",omitempty"`
}

// patience is how long one answer may take before the run has failed.
const patience = 20 * time.Second

// generator sends a scenario's requests from one loop.
type generator struct {
	spec       loadSpec
	scenario   scenario
	loop       *fiber.Loop
	addr       sys.Addr
	head, body []byte

	schedule *schedule // of an open loop
	timing   *timing   // likewise
	done     int64     // requests that are over
	stop     bool
	working  atomic.Int64
	failed   chan error // the first failure
	over     chan struct{}
}

// load is the child that sends requests. It ends with its standard input, so that it never outlives its parent.
func load(argument string, out io.Writer, in io.Reader) error {
	g := &generator{failed: make(chan error, 1), over: make(chan struct{})}
	if err := json.Unmarshal([]byte(argument), &g.spec); err != nil {
		return err
	}
	var ok bool
	if g.scenario, ok = scenarioNamed(g.spec.Scenario); !ok {
		return fmt.Errorf("no scenario is called %q", g.spec.Scenario)
	}
	var err error
	if g.addr, err = sys.ParseAddr(g.spec.To); err != nil {
		return err
	}
	runtime.GOMAXPROCS(loopProcs)
	if g.loop, _, err = fiber.Start(0, fiber.Config{}); err != nil {
		return err
	}
	defer g.loop.Stop()
	g.head, g.body = g.scenario.request(g.spec.To)
	lines := newLines(in)
	tell := func(e loadEvent) { _ = json.NewEncoder(out).Encode(e) } // a parent that is gone ends us by the end of our input
	if g.spec.Idle > 0 {
		err = g.idle(lines, tell)
	} else {
		err = g.send(lines, tell)
	}
	if err != nil {
		tell(loadEvent{Event: "failed", Error: err.Error()})
	}
	for range lines { // the parent still looks at what we have used
	}
	return nil
}

// send keeps the connections busy for the warm-up and the measured time.
func (g *generator) send(parent <-chan string, tell func(loadEvent)) error {
	g.loop.Call(g.begin)
	if err := g.wait(parent, g.spec.WarmUp); err != nil {
		return err
	}
	var before, after int64
	var began, ended clock.Instant
	g.loop.Call(func() { before, began = g.done, clock.Now() })
	tell(loadEvent{Event: "begin"})
	if err := g.wait(parent, g.spec.Duration); err != nil {
		return err
	}
	g.loop.Call(func() { after, ended, g.stop = g.done, clock.Now(), true })
	e := loadEvent{Event: "end", Requests: after - before, Seconds: ended.Sub(began).Seconds()}
	tell(e)
	// What was due in the measured time is waited for: the slowest are among it.
	select {
	case err := <-g.failed:
		return err
	case <-parent:
		return errors.New("interrupted")
	case <-g.over:
	}
	e = loadEvent{Event: "over", Requests: g.done}
	if g.timing != nil {
		e.Latency = g.timing.latency()
	}
	tell(e)
	return nil
}

// wait lets the load go on for d.
func (g *generator) wait(parent <-chan string, d time.Duration) error {
	select {
	case err := <-g.failed:
		return err
	case <-parent:
		return errors.New("interrupted")
	case <-time.After(d):
		return nil
	}
}

// begin starts a fiber for each connection.
func (g *generator) begin() {
	work := g.closedLoop
	if g.spec.Rate > 0 {
		sleepExactly()
		now := clock.Now()
		g.schedule = newSchedule(g.spec.Rate, now, g.spec.WarmUp+g.spec.Duration)
		g.timing = newTiming(now.Add(g.spec.WarmUp))
		work = g.openLoop
	}
	for range g.scenario.Connections {
		g.working.Add(1)
		g.loop.Go(func() { g.fiber(work) })
	}
}

// fiber is one client.
func (g *generator) fiber(work func(*client) error) {
	c := &client{generator: g}
	if err := work(c); err != nil {
		g.fail(err)
	}
	if c.conn != nil {
		_ = c.conn.Close()
	}
	if g.working.Add(-1) == 0 {
		close(g.over)
	}
}

// fail ends the load: a figure beside wrong answers would be worth nothing.
func (g *generator) fail(err error) {
	g.stop = true
	select {
	case g.failed <- err:
	default: // another client failed before
	}
}

func (g *generator) closedLoop(c *client) error {
	for !g.stop {
		if err := c.do(); err != nil {
			return err
		}
		g.done++
	}
	return nil
}

// openLoop takes the next request that is due, waits for its instant unless that has passed, and times it from there.
func (g *generator) openLoop(c *client) error {
	for {
		due, ok := g.schedule.next()
		if !ok || errored(g.failed) {
			return nil
		}
		if wait := due.Sub(clock.Now()); wait > 0 {
			g.loop.Sleep(wait)
			g.timing.woke(due, clock.Now())
		}
		if err := c.do(); err != nil {
			return err
		}
		g.timing.done(due, clock.Now())
		g.done++
	}
}

func errored(failed chan error) bool { return len(failed) > 0 }

// sleepExactly asks the kernel not to make the calling thread's sleeps longer, by 50 µs at most, to save wake-ups. Where it refuses, requests start
// that much late,
// and the latency's lateness shows it.
func sleepExactly() {
	thread, err := os.Readlink("/proc/thread-self") // PID/task/TID
	if err != nil {
		return
	}
	_ = os.WriteFile(filepath.Join("/proc", filepath.Base(thread), "timerslack_ns"), []byte("1"), 0)
}

// client is one connection at a time.
type client struct {
	*generator
	conn *fiber.Conn
}

// do is one request and its answer.
func (c *client) do() error {
	by := c.loop.Now().Add(patience)
	if c.conn == nil {
		conn, err := c.loop.Dial(c.addr, by, nil)
		if err != nil {
			return fmt.Errorf("connect: %w", err)
		}
		c.conn = conn
		if c.scenario.answer.length >= 64*kib {
			conn.Receive(fiber.Bodies)
		}
	}
	c.conn.ReadBy(by)
	c.conn.WriteBy(by)
	if err := c.conn.Send(c.head, c.body); err != nil {
		return fmt.Errorf("send a request: %w", err)
	}
	if err := c.answer(); err != nil {
		return fmt.Errorf("read an answer: %w", err)
	}
	if c.scenario.Fresh {
		return c.closed()
	}
	return nil
}

var fine = []byte("HTTP/1.1 200 ")

// answer reads one answer, which must be the one that the servers have given.
func (c *client) answer() error {
	head, err := readHead(c.conn)
	if err != nil {
		return err
	}
	want := c.scenario.answer.length
	if !bytes.HasPrefix(head, fine) || lengthOf(head) != want {
		return fmt.Errorf("want status 200 and length %d, got %.500q", want, head)
	}
	c.conn.Discard(len(head))
	if err := readBody(c.conn, want); err != nil {
		return err
	}
	if n := c.conn.Unread(); n > 0 {
		return fmt.Errorf("%d bytes more than the answer: %.200q", n, c.conn.Buffered())
	}
	return nil
}

// closed waits for the balancer's close.
func (c *client) closed() error {
	err := c.conn.Next()
	_ = c.conn.Close()
	c.conn = nil
	switch {
	case err == nil:
		return errors.New("more bytes after an answer with Connection: close")
	case errors.Is(err, io.EOF):
		return nil
	}
	return fmt.Errorf("wait for the connection's end: %w", err)
}

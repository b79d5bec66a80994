package main

import (
	"bytes"
	"cmp"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"sync/atomic"
	"time"

	"poise/internal/clock"
	"poise/internal/fiber"
	"poise/internal/secure"
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
	// Steps, if there are any, follow the warm-up instead of Duration: an open loop whose rate changes. Rate is the warm-up's.
	Steps []step `json:",omitempty"`
	// Connections, if not 0, are so many instead of the scenario's.
	Connections int `json:",omitempty"`
	// Idle, if not 0, is how many connections are opened, do one request each, and lie idle until they are told to do another one.
	Idle int `json:",omitempty"`
}

// loadEvent is a line that the load child prints.
type loadEvent struct {
	Event    string   // "begin", "end" of the measured time, "over" when no request is left, "step", "idle", or "failed"
	Requests int64    // since begin; of "over": all
	Seconds  float64  // likewise
	Error    string   `json:",omitempty"`
	Latency  *latency `json:",omitempty"`
	// Of steps: what each came to, and after how many seconds of the last one all was as in the first; negative: never.
	Steps   []stepResult `json:",omitempty"`
	Settled float64      `json:",omitempty"`
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

	message, reply []byte    // of a WebSocket
	schedule       *schedule // of an open loop
	timings        []*timing // likewise: one, or one for each step
	settling       *settling // of steps
	tls            *tls.Config
	secured        secure.Memory
	sessions       int   // TLS handshakes that are over
	done           int64 // requests that are over
	stop           bool
	working        atomic.Int64
	failed         chan error // the first failure
	over           chan struct{}
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
	g.tls = g.scenario.client()
	if g.scenario.Socket {
		g.message, g.reply = frame(g.scenario.upload, true), frame(g.scenario.answer.length, false)
	}
	lines := newLines(in)
	tell := func(e loadEvent) { _ = json.NewEncoder(out).Encode(e) } // a parent that is gone ends us by the end of our input
	switch {
	case g.spec.Idle > 0:
		err = g.idle(lines, tell)
	case len(g.spec.Steps) > 0:
		err = g.climb(lines, tell)
	default:
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
	if err := g.last(parent); err != nil {
		return err
	}
	e = loadEvent{Event: "over", Requests: g.done}
	if g.timings != nil {
		e.Latency = g.timings[0].latency()
	}
	tell(e)
	return nil
}

// last waits for what was due in the measured time: the slowest are among it.
func (g *generator) last(parent <-chan string) error {
	select {
	case err := <-g.failed:
		return err
	case <-parent:
		return errors.New("interrupted")
	case <-g.over:
		return nil
	}
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
		g.plan(clock.Now())
		work = g.openLoop
	}
	for range cmp.Or(g.spec.Connections, g.scenario.Connections) {
		if g.scenario.Streams > 0 {
			g.working.Add(int64(g.scenario.Streams))
			g.loop.Go(func() { g.link(work) })
			continue
		}
		g.working.Add(1)
		g.loop.Go(func() { g.fiber(&client{generator: g}, work) })
	}
}

// plan says when an open loop's requests are due, and in which times each counts.
func (g *generator) plan(now clock.Instant) {
	steps := g.spec.Steps
	if len(steps) == 0 {
		steps = []step{{Rate: g.spec.Rate, For: g.spec.Duration}}
	}
	from := now.Add(g.spec.WarmUp)
	g.settling = newSettling(steps, from)
	for _, s := range steps {
		until := from.Add(s.For)
		g.timings = append(g.timings, newTiming(from, until))
		from = until
	}
	g.schedule = newSchedule(slices.Insert(slices.Clone(steps), 0, step{Rate: g.spec.Rate, For: g.spec.WarmUp}), now)
}

// fiber is one client.
func (g *generator) fiber(c *client, work func(*client) error) {
	if err := work(c); err != nil {
		g.fail(err)
	}
	if c.conn != nil {
		_ = c.conn.Close()
	}
	g.left(1)
}

// left counts clients that have ended.
func (g *generator) left(n int) {
	if g.working.Add(-int64(n)) == 0 {
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
		early := due > clock.Now()
		if early {
			sleepUntil(g.loop, due)
		}
		if now := clock.Now(); early || g.spec.Steps != nil { // steps have connections enough
			for _, t := range g.timings {
				t.woke(due, now)
			}
		}
		err := c.do()
		refused := g.spec.Steps != nil && errors.Is(err, errRefused)
		if err != nil && !refused {
			return err
		}
		now := clock.Now()
		for _, t := range g.timings {
			t.done(due, now, refused)
		}
		g.settling.done(due, now, refused)
		g.done++
	}
}

// sleepUntil is for an exact instant: a loop's Sleep counts from the begin of its turn.
func sleepUntil(l *fiber.Loop, t clock.Instant) { l.Sleep(t.Sub(l.Now())) }

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
	link *link // of HTTP/2: the connection that it shares
}

// dial connects, and speaks TLS if the scenario does.
func (g *generator) dial(by clock.Instant) (*fiber.Conn, error) {
	conn, err := g.loop.Dial(g.addr, by, nil)
	if err != nil {
		return nil, fmt.Errorf("connect: %w", err)
	}
	if g.tls != nil {
		if err := g.handshake(conn, by); err != nil {
			_ = conn.Close()
			return nil, fmt.Errorf("handshake: %w", err)
		}
	}
	return conn, nil
}

// do is one request and its answer.
func (c *client) do() error {
	by := c.loop.Now().Add(patience)
	if c.link != nil {
		return c.link.do(by)
	}
	if c.conn == nil {
		conn, err := c.dial(by)
		if err != nil {
			return err
		}
		c.conn = conn
		if c.scenario.Socket {
			if err := c.upgrade(); err != nil {
				return fmt.Errorf("upgrade: %w", err)
			}
		}
		if c.scenario.answer.length >= 64*kib {
			conn.Receive(fiber.Bodies)
		}
	}
	if c.scenario.Socket {
		return c.talk(by)
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

var fine, refusal = []byte("HTTP/1.1 200 "), []byte("HTTP/1.1 503 ")

// errRefused is a whole answer that says 503; the connection goes on.
var errRefused = errors.New("refused with 503")

// answer reads one answer, which must be the one that the servers have given.
func (c *client) answer() error {
	head, err := readHead(c.conn)
	if err != nil {
		return err
	}
	want := c.scenario.answer.length
	if n := lengthOf(head); bytes.HasPrefix(head, refusal) && n >= 0 && n < kib {
		return c.refused(len(head), n)
	}
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

// refused takes an answer of the balancer's own off the connection.
func (c *client) refused(head, body int) error {
	for c.conn.Unread() < head+body {
		if err := c.conn.Fill(); err != nil {
			return fmt.Errorf("a refusal broke off: %w", err)
		}
	}
	if n := c.conn.Unread() - head - body; n > 0 {
		return fmt.Errorf("%d bytes more than a refusal", n)
	}
	c.conn.Discard(head + body)
	return errRefused
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

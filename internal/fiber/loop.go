package fiber

import (
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"poise/internal/clock"
	"poise/internal/sys"
)

// Config says how loops are made. The zero value is a working one.
type Config struct {
	// Driver is "io_uring", "epoll", "net", or "auto" (default): the first of them that works here.
	Driver string
	// Log gets panics and long turns. Default: slog.Default.
	Log *slog.Logger
	// Offloads bounds the calls of Offload that run at once, over all fibers of a loop. Default 16.
	Offloads int
	// Poison overwrites buffers when they are given back, so that tests see a use after it.
	Poison bool
}

// Counters are what a loop counts, written and read on the loop.
type Counters struct {
	Turns, Panics, LongTurns  uint64
	AcceptPauses              uint64 // accept stopped for want of descriptors
	Conns, Active, Fibers     int    // open connections, fibers at work, fibers made
	HeadBuffers, BodyBuffers  int    // receive buffers in use
	NoBuffers                 uint64 // receives that had to wait for a buffer
	Dialled, Accepted, Closed uint64
}

// Loop is one core's event loop. Unless it says otherwise, a method is called on the loop: in a fiber, or in a function that was
// posted.
type Loop struct {
	Index int

	cfg    Config
	driver driver
	now    clock.Instant

	current   *fiber
	ready     []*fiber
	yielded   []*fiber
	late      bool // among the yielded is one with much work
	back      []standing
	resumed   uint64 // how many fibers went on so far
	idle      []*fiber
	active    int
	conns     []*Conn
	listeners []*Listener
	freed     []func()   // to be told that a socket is closed, once the driver has really closed it
	pipes     []*Pipe    // free ones
	mems      []*sendMem // free ones
	spare     [][]byte   // free memory of what is copied to be sent
	plain     []byte     // memory for opening
	msg       sys.Msg    // of calls that do not wait
	timers    timers
	count     Counters

	offloading int
	offloads   []*offload // waiting for a free place

	mu      sync.Mutex // guards posted and ended
	posted  []func()
	ended   bool
	asleep  atomic.Bool
	turn    atomic.Int64 // when the running turn began, as an Instant; 0 while asleep
	running atomic.Pointer[fiber]
	stop    bool
	rested  clock.Instant // when rest last called the scheduler
	done    chan struct{}
}

// ErrStopped is what calls on a stopped loop return.
var ErrStopped = errors.New("the loop has stopped")

// Start makes a loop and runs it on a thread of its own until Stop. reason says why auto did not take a faster
// driver.
func Start(index int, cfg Config) (l *Loop, reason string, err error) {
	if cfg.Log == nil {
		cfg.Log = slog.Default()
	}
	if cfg.Offloads == 0 {
		cfg.Offloads = 16
	}
	l = &Loop{Index: index, cfg: cfg, done: make(chan struct{})}
	started := make(chan error)
	go func() {
		// Never unlocked: the thread's ring dies with it, and fibers are bound to the lock.
		runtime.LockOSThread()
		var err error
		l.driver, reason, err = newDriver(l, cfg)
		started <- err
		if err == nil {
			l.run()
		}
		close(l.done)
	}()
	if err := <-started; err != nil {
		return nil, reason, fmt.Errorf("start loop %d: %w", index, err)
	}
	return l, reason, nil
}

// DriverName names the driver in use. Safe from any goroutine.
func (l *Loop) DriverName() string { return l.driver.name() }

// Now is the loop's clock, read once a turn.
func (l *Loop) Now() clock.Instant { return l.now }

// Counters returns a copy of what the loop counts.
func (l *Loop) Counters() Counters {
	c := l.count
	c.Conns, c.Active, c.Fibers = len(l.conns), l.active, l.active+len(l.idle)
	c.HeadBuffers, c.BodyBuffers = l.driver.buffersInUse()
	return c
}

// Each calls f for every open connection of the loop. f may close the connection that it is given.
func (l *Loop) Each(f func(*Conn)) {
	for i := len(l.conns) - 1; i >= 0; i-- {
		if i < len(l.conns) {
			f(l.conns[i])
		}
	}
}

func (l *Loop) run() {
	l.now = clock.Now()
	for !l.stop {
		l.step(l.patience())
	}
	l.wind()
}

// step is one turn: wait, then completions, timers, posted functions, fibers.
func (l *Loop) step(patience time.Duration) {
	l.rest()
	l.driver.wait(patience)
	before := l.resumed
	l.count.Turns++
	l.tellFreed()
	// What has come comes before what is late: bytes that made it in time are not overtaken by their deadline.
	l.driver.complete()
	l.timers.expire(l.now)
	l.runReady()
	l.runPosted()
	if l.late {
		l.late = false
		l.driver.flush()
	}
	l.ready = append(l.ready, l.yielded...)
	clear(l.yielded)
	l.yielded = l.yielded[:0]
	l.runReady()
	if len(l.back) > 0 {
		l.letOn(l.resumed == before)
	}
}

// tellFreed follows a wait: what closes there were have been submitted.
func (l *Loop) tellFreed() {
	freed := l.freed
	l.freed = nil
	for _, then := range freed {
		l.runPost(then)
	}
}

// restEvery is less, by more than a usual turn, than what Go's monitor thread (runtime.sysmon) takes for a goroutine that holds on to its
// processor: 10 ms.
const restEvery = 8 * time.Millisecond

// rest goes through Go's scheduler now and then, between two turns. Neither a resumed coroutine nor a system call counts as that: without it the
// monitor takes the loop for stuck, wakes up every 20 µs, takes the processor away in each wait, and interrupts fibers by signals, at a tenth of the
// CPU.
func (l *Loop) rest() {
	if l.now.Sub(l.rested) < restEvery {
		return
	}
	l.rested = l.now
	l.turn.Store(0) // what runs meanwhile is not the loop's
	runtime.Gosched()
}

// patience is how long the next wait may last; negative: until something happens.
func (l *Loop) patience() time.Duration {
	if len(l.yielded) > 0 || len(l.ready) > 0 || len(l.freed) > 0 || len(l.back) > 0 {
		return 0
	}
	when := l.timers.next()
	if when == 0 {
		return -1
	}
	return max(0, when.Sub(l.now))
}

// sleep is called by a driver before a wait that may last: it reports false when something was posted meanwhile. awake follows the wait.
func (l *Loop) sleep() bool {
	l.asleep.Store(true)
	l.mu.Lock()
	n := len(l.posted)
	l.mu.Unlock()
	if n > 0 {
		l.asleep.Store(false)
		return false
	}
	l.turn.Store(0)
	return true
}

// awake reads the clock: a turn begins.
func (l *Loop) awake() {
	if l.asleep.Load() {
		l.asleep.Store(false)
	}
	l.now = clock.Now()
	l.turn.Store(int64(l.now))
}

// Post runs f on the loop, in order with other posts. It is safe from any goroutine, never waits, and wakes only a sleeping
// loop. It reports false, and f will not run, when the loop has ended.
func (l *Loop) Post(f func()) bool {
	l.mu.Lock()
	if l.ended {
		l.mu.Unlock()
		return false
	}
	l.posted = append(l.posted, f)
	l.mu.Unlock()
	if l.asleep.Load() {
		l.driver.wake()
	}
	return true
}

// Call runs f on the loop and waits for it; it is for other goroutines than the loop's. It reports false when the loop has ended.
func (l *Loop) Call(f func()) bool {
	done := make(chan struct{})
	if !l.Post(func() { defer close(done); f() }) {
		return false
	}
	select {
	case <-done:
		return true
	case <-l.done:
		return false
	}
}

func (l *Loop) runPosted() {
	l.mu.Lock()
	fs := l.posted
	l.posted = nil
	l.mu.Unlock()
	for _, f := range fs {
		l.runPost(f)
		l.runReady()
	}
}

// runPost keeps a panic in a posted function from ending the loop.
func (l *Loop) runPost(f func()) {
	defer l.recoverPost()
	f()
}

func (l *Loop) recoverPost() {
	if v := recover(); v != nil {
		l.panicked(nil, v, debug.Stack())
	}
}

func (l *Loop) panicked(f *fiber, v any, stack []byte) {
	l.count.Panics++
	l.cfg.Log.Error("a fiber panicked; its connection is closed, all else goes on", "loop", l.Index, "panic", fmt.Sprint(v), "stack", string(stack))
	if f == nil {
		return
	}
	if c := f.conn.Load(); c != nil {
		c.Abort()
	}
}

// Stop ends the loop: every connection is closed and every parked fiber woken with an error, and given a second to return.
// It is called from another goroutine, and returns when the loop has ended.
func (l *Loop) Stop() {
	l.Post(func() { l.stop = true })
	<-l.done
}

// wind brings the loop to its end.
func (l *Loop) wind() {
	until := clock.Now().Add(time.Second)
	l.unlisten()
	for {
		l.Each(func(c *Conn) { c.End(ErrStopped) })
		l.timers.wakeSleepers()
		l.runReady()
		if (l.active == 0 && len(l.conns) == 0) || l.now > until {
			break
		}
		l.step(10 * time.Millisecond)
	}
	l.Each((*Conn).Abort) // whose fiber hangs: memory goes with the loop
	l.mu.Lock()
	l.ended = true
	l.posted = nil
	l.mu.Unlock()
	for _, f := range l.idle {
		f.exit = true
		f.next()
	}
	l.idle = nil
	for _, p := range l.pipes {
		p.pipe.Close()
	}
	l.pipes = nil
	l.driver.close()
	l.tellFreed()
	l.turn.Store(0)
}

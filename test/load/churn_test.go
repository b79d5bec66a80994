package load

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"hash/maphash"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"poise/internal/testkit"
)

const (
	// churnVariable names the environment variable that says how long a driver is churned.
	churnVariable = "POISE_TEST_CHURN"
	someChurn     = 4 * time.Second
	crowds        = 48
	// strayFiles and strayGoroutines are what a quiet Poise may have more at one moment than at another: probes under way.
	strayFiles, strayGoroutines = 12, 24
	// churnedHeap is how much more memory may be in use after a churn than before it.
	churnedHeap = 48 << 20
	// hung is how long a turn must not last; on a machine that is busy with other things, hiccups times what a thread with little to do was held up
	// in the same minutes.
	hung, hiccups = time.Second, 4
)

// TestChurn lets clients and servers do everything that they should not, together and for a while. Nobody ever reads a byte that is not for him,
// and when they are gone Poise is as it was.
func TestChurn(t *testing.T) {
	length := someChurn
	if s := os.Getenv(churnVariable); s != "" {
		var err error
		if length, err = time.ParseDuration(s); err != nil {
			t.Fatal(err)
		}
	} else if testing.Short() {
		length /= 3
	}
	eachDriver(t, 2, func(t *testing.T, s testkit.Setup) {
		before := take()
		t.Run("run", func(t *testing.T) {
			c := beginChurn(t, s)
			c.run(t, length/4) // what is made once is made now
			start := c.quiet(t)
			heldUp := watchMachine()
			c.run(t, length)
			end := c.quiet(t)
			c.stopAmid(t)
			c.checkEnd(t, start, end, heldUp())
			c.checkLog(t)
		})
		checkLeft(t, before)
	})
}

// churn is one run, and what is known of it.
type churn struct {
	poise   *testkit.Poise
	admin   *adminClient
	servers []*wave
	until   time.Time

	ids                       atomic.Uint32
	clients, asked, good, cut atomic.Int64
	stopping                  atomic.Bool // connecting may be refused
	faults                    faults

	mu       sync.Mutex     // guards statuses
	statuses map[string]int // other than 200, by pool
}

func (c *churn) count(q *ask, status int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.statuses[fmt.Sprintf("%s %d", strings.Split(q.path, "/")[1], status)]++
}

func beginChurn(t *testing.T, s testkit.Setup) *churn {
	c := &churn{statuses: map[string]int{}}
	var addrs [2][]string
	for i := range 6 {
		w := newWave(t, c, i%2 == 1)
		c.servers = append(c.servers, w)
		addrs[i%2] = append(addrs[i%2], w.addr)
	}
	socket := filepath.Join(t.TempDir(), "admin")
	c.poise = testkit.Start(t, s, fmt.Sprintf(`
listeners:
  - address: 127.0.0.1:0
    pool: steady
    routes:
      - { match: { path: "/wild/*" }, pool: wild }
pools:
  steady:
    servers: [%s]
    health: { http: { path: %s }, interval: 100ms, timeout: 500ms }
    affinity: { cookie: { name: poise, secret: 0123456789abcdef } }
  wild:
    servers: [%s]
    health: { http: { path: %[2]s }, interval: 100ms, timeout: 300ms }
timeouts: { request_head: 300ms, idle: 500ms, body_idle: 400ms, write: 500ms, response: 500ms, connect: 500ms, server_idle: 400ms, drain: 200ms }
limits: { idle_per_server: 8 }
admin: { address: "unix:%[4]s" }
`, strings.Join(addrs[0], ", "), probePath, strings.Join(addrs[1], ", "), socket))
	c.admin = newAdminClient(t, socket)
	for _, w := range c.servers {
		if !w.wild {
			awaitState(t, c.poise, w.addr, "up")
		}
	}
	return c
}

// run churns for a while; meanwhile one server after the other is stopped and started.
func (c *churn) run(t *testing.T, length time.Duration) {
	t.Helper()
	c.until = time.Now().Add(length)
	var wg sync.WaitGroup
	for range crowds {
		wg.Go((&crowd{c: c, Rand: random()}).run)
	}
	done := make(chan struct{})
	go func() {
		wg.Wait()
		close(done)
	}()
	tick := time.NewTicker(400 * time.Millisecond)
	defer tick.Stop()
	says := progress(t)
	for i := 0; ; i++ {
		select {
		case <-done:
			return
		case <-tick.C:
		}
		says("%d clients, %d checked requests", c.clients.Load(), c.asked.Load())
		w := c.servers[i%len(c.servers)]
		w.stop(i%3 == 0)
		<-tick.C
		if err := w.start(); err != nil {
			t.Error(err)
		}
	}
}

// quiet waits until nothing is under way, and tells what is in use then.
func (c *churn) quiet(t *testing.T) usage {
	t.Helper()
	var held string
	deadline := time.Now().Add(testkit.Patience)
	for {
		if held = heldBy(t, c.poise, c.admin); held == "" {
			break
		}
		if time.Now().After(deadline) {
			t.Errorf("without clients there is %s", held)
			break
		}
		<-time.After(20 * time.Millisecond)
	}
	<-time.After(500 * time.Millisecond) // until idle connections to servers are closed
	least := take()
	for range 10 { // between probes
		<-time.After(7 * time.Millisecond)
		u := take()
		least.files, least.goroutines, least.heap = min(least.files, u.files), min(least.goroutines, u.goroutines), min(least.heap, u.heap)
	}
	return least
}

// stopAmid ends Poise while everything is under way, perhaps with a drain before.
func (c *churn) stopAmid(t *testing.T) {
	t.Helper()
	if n := c.admin.metrics(t).sum("poise_loop_panics_total"); n != 0 {
		t.Errorf("%d panics", n)
	}
	c.stopping.Store(true)
	var wg sync.WaitGroup
	wg.Go(func() { c.run(t, time.Second) })
	<-time.After(500 * time.Millisecond)
	if c.ids.Load()%2 == 0 {
		t.Logf("the drain cut %d connections", c.poise.App.Drain())
	}
	c.poise.App.Stop()
	wg.Wait()
}

// watchMachine runs a thread that works for a moment now and then. The function that it returns ends that, and tells how long such a moment lasted at most:
// what the machine does to any thread, and so to a loop's.
func watchMachine() (heldUp func() time.Duration) {
	stop, most := make(chan struct{}), make(chan time.Duration)
	go func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		tick := time.NewTicker(5 * time.Millisecond)
		defer tick.Stop()
		longest, work := time.Duration(0), make([]byte, 64<<10)
		for {
			select {
			case <-stop:
				most <- longest
				return
			case due := <-tick.C:
				_ = sha256.Sum256(work)
				longest = max(longest, time.Since(due))
			}
		}
	}()
	return func() time.Duration {
		close(stop)
		return <-most
	}
}

func (c *churn) checkEnd(t *testing.T, start, end usage, heldUp time.Duration) {
	t.Helper()
	t.Logf("%d clients, %d checked requests: %d whole, %d cut, other %v; %+v, %+v", c.clients.Load(), c.asked.Load(), c.good.Load(), c.cut.Load(), c.statuses, start, end)
	c.faults.report(t)
	if good, asked := c.good.Load(), c.asked.Load(); good < asked/3 {
		t.Errorf("%d of %d requests got a whole answer: the churn is no test", good, asked)
	}
	longest, turns := time.Duration(0), 0
	for line := range strings.Lines(c.poise.Log.String()) {
		if strings.Contains(line, "panic") {
			t.Errorf("the log says %.4000s", line)
		}
		if _, after, ok := strings.Cut(line, "takes long: its other connections wait\" "); ok {
			_, after, _ = strings.Cut(after, " for=")
			after, _, _ = strings.Cut(after, " ")
			d, err := time.ParseDuration(after)
			if err != nil {
				t.Errorf("the log says %q: %v", line, err)
			}
			longest = max(longest, d)
			turns++
		}
	}
	if t.Logf("%d long turns, the longest took %v; the machine held a thread up for %v", turns, longest, heldUp); longest > max(hung, hiccups*heldUp) {
		t.Errorf("a turn took %v, want at most %v or %d times %v", longest, hung, hiccups, heldUp)
	}
	if end.files > start.files+strayFiles {
		t.Errorf("%d descriptors are open after the churn, %d before", end.files, start.files)
	}
	if end.goroutines > start.goroutines+strayGoroutines {
		t.Errorf("%d goroutines run after the churn, %d before", end.goroutines, start.goroutines)
	}
	if end.heap > start.heap+churnedHeap {
		t.Errorf("%d MiB are in use after the churn, %d before", end.heap>>20, start.heap>>20)
	}
}

// checkLog reads the access log: its records show what was sent, and no exchange twice.
func (c *churn) checkLog(t *testing.T) {
	t.Helper()
	f, err := os.Open(c.poise.AccessLog)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	seen, seed := map[uint64]bool{}, maphash.MakeSeed() // hashes of the ids: there are millions of them in a long churn
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		line := lines.Bytes()
		var r struct {
			Path, Method, Server string
			RequestID            string `json:"request_id"`
		}
		if err := json.Unmarshal(line, &r); err != nil {
			t.Fatalf("%v in the log record %q", err, line)
		}
		var q ask
		_, err := fmt.Sscanf(strings.TrimPrefix(strings.TrimPrefix(r.Path, "/wild/"), "/steady/"), "%x", &q.id)
		q.wild = strings.HasPrefix(r.Path, "/wild/")
		q.setPath()
		switch {
		case bytes.IndexByte(line, poison) >= 0 || strings.Contains(r.Path, strings.Repeat("\ufffd", 4)): // as the log prints what is no text
			t.Fatalf("freed memory in the log record %q", line)
		case r.Server != "" && (err != nil || q.path != r.Path || q.id > c.ids.Load() || !methods[r.Method]):
			t.Fatalf("a log record of a request that nobody has sent: %s", line)
		case r.RequestID != "" && seen[maphash.String(seed, r.RequestID)]:
			t.Fatalf("a second exchange with the id of another: %s", line)
		}
		seen[maphash.String(seed, r.RequestID)] = true
	}
	if err := lines.Err(); err != nil {
		t.Fatal(err)
	}
	if len(seen) < int(c.good.Load()) {
		t.Errorf("the log has %d records, want at least %d", len(seen), c.good.Load())
	}
}

var methods = map[string]bool{"GET": true, "PUT": true, "POST": true, "HEAD": true, "DELETE": true}

// usage is what the process has at one moment.
type usage struct {
	files, goroutines int
	heap              uint64
}

func take() usage {
	files, _ := os.ReadDir("/proc/self/fd")
	var m runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m)
	return usage{files: len(files), goroutines: runtime.NumGoroutine(), heap: m.HeapAlloc}
}

// checkLeft checks that after Poise's end nothing of it is left.
func checkLeft(t *testing.T, before usage) {
	t.Helper()
	var now usage
	for deadline := time.Now().Add(testkit.Patience); ; <-time.After(20 * time.Millisecond) {
		now = take()
		if now.files <= before.files+2 && now.goroutines <= before.goroutines+2 {
			return
		}
		if time.Now().After(deadline) {
			break
		}
	}
	stacks := make([]byte, 64<<10)
	t.Errorf("after Poise's end there are %d descriptors and %d goroutines, before it %d and %d\n%s", now.files, now.goroutines, before.files, before.goroutines,
		stacks[:runtime.Stack(stacks, true)])
}

package load

import (
	"bufio"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"poise/internal/testkit"
)

const (
	// eventsVariable names the environment variable that says how many events a driver gets.
	eventsVariable = "POISE_TEST_EVENTS"
	someEvents     = 12_000
	eventClients   = 64
	// upsetEvery is how often something happens that no client does: a reload, an order, a change of health.
	upsetEvery = 20 * time.Millisecond
)

// TestAMillionEvents has requests end in all the ways there are, with clients that leave, servers that break off or never answer, tries whose time is over,
// reloads, orders and probes that turn, in pools whose servers are full and whose requests wait. Then nothing is in flight and nobody waits, every slot is
// free, and each request was logged once, as its client saw it.
func TestAMillionEvents(t *testing.T) {
	n := someEvents
	if s := os.Getenv(eventsVariable); s != "" {
		var err error
		if n, err = strconv.Atoi(s); err != nil {
			t.Fatal(err)
		}
	}
	if testing.Short() {
		n = min(n, 5000)
	}
	eachDriver(t, 2, func(t *testing.T, s testkit.Setup) {
		e := beginEvents(t, s, n)
		e.run(t)
		e.checkIdle(t)
		e.checkSlots(t)
		m := e.admin.metrics(t)
		e.poise.App.Stop() // writes the log's last records
		e.checkLog(t, m)
		e.faults.report(t)
	})
}

// events is one run, and what is known of it.
type events struct {
	poise  *testkit.Poise
	admin  *adminClient
	pools  []*eventPool
	seen   []seen // by request
	posts  []atomic.Uint32
	next   atomic.Int64
	upsets atomic.Int64
	faults faults
}

// seen is what a request's client saw.
type seen struct {
	status int16 // 0: nothing
	left   bool  // the client has left before the end, and cannot know
	cut    bool
}

// eventPool is a pool of the test.
type eventPool struct {
	name, settings string
	slots          int // of each server; 0: any number
	connections    int // likewise
	holds          int // requests that the pool can have in flight when all is well
	servers        []*fickle
	deaf           string // a server that takes no connection; "": there is none
}

const eventSettings = `
    retry: { attempts: 3, repeats: 2, per_try: 60ms, budget: 100%, on: [connect, reset, timeout, 503] }
    eject: { time: 100ms, max_time: 200ms, interval: 500ms }
    health: { http: { path: /probe }, interval: 200ms, timeout: 300ms, fall: 2 }
`

func beginEvents(t *testing.T, s testkit.Setup, n int) *events {
	e := &events{seen: make([]seen, n), posts: make([]atomic.Uint32, n)}
	e.pools = []*eventPool{
		{name: "slots", slots: 2, holds: 8, settings: "queue: { length: 10, timeout: 30ms }"},
		{name: "limit", holds: 6, settings: "max_requests: 6\n    queue: { length: 8, timeout: 30ms }"},
		{name: "adaptive", settings: "adaptive: { min: 2, max: 8 }\n    queue: { length: 8, timeout: 30ms }"},
		{name: "tied", slots: 2, settings: "affinity: { hash: { header: X-User } }\n    queue: { length: 10, timeout: 30ms }", deaf: testkit.Deaf(t)},
		{name: "hedged", connections: 2, holds: 8, settings: "hedge: { quantile: 60%, min_delay: 1ms }\n    queue: { length: 10, timeout: 30ms }", deaf: testkit.Deaf(t)},
	}
	for _, p := range e.pools {
		for range 4 {
			p.servers = append(p.servers, startFickle(t, e))
		}
	}
	socket := filepath.Join(t.TempDir(), "admin")
	e.poise = testkit.Start(t, s, e.config(nil)+fmt.Sprintf("admin: { address: \"unix:%s\" }\n", socket))
	e.admin = newAdminClient(t, socket)
	return e
}

// config is the configuration, with all servers, or with some by chance.
func (e *events) config(random *rand.Rand) string {
	var b strings.Builder
	b.WriteString(`
timeouts: { connect: 50ms, response: 150ms, request_head: 1s, idle: 5s, body_idle: 100ms, write: 200ms, server_idle: 1s, drain: 200ms }
listeners:
  - address: 127.0.0.1:0
    routes:
`)
	for _, p := range e.pools {
		fmt.Fprintf(&b, "      - { match: { path: \"/%s/*\" }, pool: %[1]s }\n", p.name)
		fmt.Fprintf(&b, "      - { match: { path: \"/%s/hold\" }, pool: %[1]s, timeouts: { response: 60s } }\n", p.name)
	}
	b.WriteString("pools:\n")
	for _, p := range e.pools {
		fmt.Fprintf(&b, "  %s:\n    %s%s    servers:\n", p.name, p.settings, eventSettings)
		for i, s := range p.servers {
			if random == nil || i == 0 || random.IntN(3) > 0 {
				fmt.Fprintf(&b, "      - { address: %q, max_requests: %d, max_connections: %d }\n", s.addr, p.slots, p.connections)
			}
		}
		if p.deaf != "" && random != nil && random.IntN(2) == 0 {
			fmt.Fprintf(&b, "      - { address: %q, max_requests: %d, max_connections: %d }\n", p.deaf, p.slots, p.connections)
		}
	}
	return b.String()
}

// run has the clients do all requests, and upsets Poise meanwhile; afterwards all servers are there and well.
func (e *events) run(t *testing.T) {
	t.Helper()
	var clients sync.WaitGroup
	for range eventClients {
		clients.Go(func() { e.client() })
	}
	done := make(chan struct{})
	go func() {
		clients.Wait()
		close(done)
	}()
	random, says, tick := random(), progress(t), time.NewTicker(upsetEvery)
	defer tick.Stop()
	for going := true; going; {
		select {
		case <-done:
			going = false
		case <-tick.C:
			e.upset(t, random)
			e.upsets.Add(1)
			says("%d of %d requests begun, %d upsets", min(int(e.next.Load()), len(e.seen)), len(e.seen), e.upsets.Load())
		}
	}
	e.reload(t, nil)
	for _, p := range e.pools {
		for _, s := range p.servers {
			s.ill.Store(false)
			e.admin.orderIn(p.name, s.addr, `{"state":"ready"}`)
		}
	}
	for _, p := range e.pools {
		for _, s := range p.servers {
			awaitState(t, e.poise, s.addr, "up")
		}
	}
}

// upset does one of what comes from elsewhere than clients and their servers' answers.
func (e *events) upset(t *testing.T, random *rand.Rand) {
	t.Helper()
	p := e.pools[random.IntN(len(e.pools))]
	s := p.servers[random.IntN(len(p.servers))]
	switch random.IntN(8) {
	case 0, 1:
		e.reload(t, random)
	case 2:
		s.ill.Store(true)
	case 3, 4:
		s.ill.Store(false)
	default:
		orders := []string{`{"state":"drain"}`, `{"state":"drain","for":"20ms"}`, `{"state":"maint"}`, `{"state":"ready"}`, `{"state":"ready"}`, `{"weight":3}`}
		e.admin.orderIn(p.name, s.addr, orders[random.IntN(len(orders))])
	}
}

func (e *events) reload(t *testing.T, random *rand.Rand) {
	t.Helper()
	e.poise.Reload(t, e.config(random)+"admin: { address: \"unix:"+e.admin.socket+"\" }\n")
}

// checkIdle waits until Poise tells of nothing any more: no connection, no request in flight, nobody that waits, no fiber at work, no buffer.
func (e *events) checkIdle(t *testing.T) {
	t.Helper()
	var held string
	for deadline := time.Now().Add(testkit.Patience); ; <-time.After(20 * time.Millisecond) {
		if held = heldBy(t, e.poise, e.admin); held == "" {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("without clients there is %s", held)
		}
	}
	if n := e.admin.metrics(t).sum("poise_loop_panics_total"); n != 0 {
		t.Errorf("%d panics:\n%.8000s", n, e.poise.Log.String())
	}
}

// checkSlots has as many requests in flight as a pool may have, all at once: no slot was lost, whatever the counters say. It tries again where a server has
// only just come back from an ejection.
func (e *events) checkSlots(t *testing.T) {
	t.Helper()
	for _, p := range e.pools {
		for deadline := time.Now().Add(testkit.Patience); p.holds > 0 && !e.holdAll(t, p); {
			if time.Now().After(deadline) {
				t.Fatalf("%s does not take %d requests at once; Poise tells %+v", p.name, p.holds, e.poise.App.Status().Pools)
			}
		}
	}
	e.checkIdle(t)
}

// holdAll sends a pool as many requests as it can have, and tells whether they are all at its servers within a moment.
func (e *events) holdAll(t *testing.T, p *eventPool) (ok bool) {
	t.Helper()
	var held []*testkit.Client
	for range p.holds {
		c := testkit.Dial(t, e.poise.Addr)
		c.Send("POST /" + p.name + "/hold HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n") // no try follows it
		held = append(held, c)
	}
	for end := time.Now().Add(200 * time.Millisecond); !ok && time.Now().Before(end); <-time.After(2 * time.Millisecond) {
		n := int64(0)
		for _, s := range p.servers {
			n += s.holds.Load()
		}
		ok = n == int64(p.holds)
	}
	for _, c := range held {
		c.ResetConn()
	}
	return ok
}

// checkLog compares the log with what clients saw and what Poise has counted.
func (e *events) checkLog(t *testing.T, m metrics) {
	t.Helper()
	f, err := os.Open(e.poise.AccessLog)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	logged := make([]uint8, len(e.seen))
	sums, ends := map[string]int{}, map[string]int{}
	for lines := bufio.NewScanner(f); lines.Scan(); {
		r := testkit.ParseRecord(t, lines.Text())
		addRecord(sums, r)
		ends[r.End[:2]]++
		pool, rest, _ := strings.Cut(strings.TrimPrefix(r.Path, "/"), "/")
		name, _, _ := strings.Cut(rest, "?")
		if name == "hold" {
			continue
		}
		id, err := strconv.Atoi(name)
		if err != nil || id < 0 || id >= len(logged) || pool != r.Pool {
			t.Fatalf("a log record of a request that nobody has sent: %s", lines.Text())
		}
		logged[id]++
		if s := e.seen[id]; !s.left && (r.Status != int(s.status) || (r.End[1] == 'D') != s.cut) {
			e.faults.add("the client saw %+v; log record %s", s, lines.Text())
		}
	}
	lost := 0
	for id, n := range logged {
		switch {
		case n == 0 && e.seen[id].left:
			lost++ // a reset can overtake the request
		case n != 1:
			e.faults.add("request %d has %d log records, want 1; the client saw %+v", id, n, e.seen[id])
		}
		if n := e.posts[id].Load(); n > 1 {
			e.faults.add("POST %d was executed %d times", id, n)
		}
	}
	if lost > len(logged)/20 {
		t.Errorf("%d of %d requests have no log record", lost, len(logged))
	}
	for name, least := range sums {
		most := least
		if strings.Contains(name, "abort") {
			most += sums[unsure]
		}
		if got := m.sum(name); name != unsure && (got < least || got > most) {
			t.Errorf("%s = %d, by the log's records it is %d to %d", name, got, least, most)
		}
	}
	t.Logf("%d requests, %d of which were not seen by Poise, %d upsets; ends %v", len(logged), lost, e.upsets.Load(), ends)
	for _, end := range []string{"--", "CQ", "CC", "CH", "CD", "SC", "SH", "SD", "sH", "sQ", "PQ"} {
		if ends[end] == 0 && len(logged) >= someEvents {
			t.Errorf("nothing ended by %s: the load is no test", end)
		}
	}
	if all, won := sums["poise_pool_hedges_total"], sums["poise_pool_hedges_won_total"]; (won == 0 || won == all) && len(logged) >= someEvents {
		t.Errorf("of %d hedges %d were won: the load is no test", all, won)
	}
}

// addRecord counts a log record to what the metrics must tell in sum.
func addRecord(sums map[string]int, r testkit.Record) {
	sums["poise_listener_requests_total"]++
	sums["poise_route_requests_total"]++
	sums["poise_pool_requests_total"]++
	sums["poise_pool_retries_total"] += max(0, r.Attempts-1)
	for name, is := range map[string]bool{
		"poise_pool_hedges_total":              r.Hedge != "",
		"poise_pool_hedges_won_total":          r.Hedge == "won",
		"poise_pool_queued_total":              r.Queued > 0,
		"poise_pool_queue_timeouts_total":      r.End[:2] == "sQ",
		"poise_pool_queue_overflows_total":     r.End[:2] == "PQ",
		"poise_listener_client_aborts_total":   r.End[0] == 'C',
		"poise_route_aborted_after_head_total": r.End[1] == 'D',
		// Of Poise's own answers the end tells why they were given, and not whether the client was still there to take them.
		unsure: r.Response < 0 && r.End[0] != 'C',
	} {
		sums[name] += 0
		if is {
			sums[name]++
		}
	}
}

// unsure counts the records that may be among client aborts and answers that broke off.
const unsure = "unsure"

package load

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
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
	// requestsVariable names the environment variable that says how many requests a driver gets.
	requestsVariable = "POISE_TEST_REQUESTS"
	someRequests     = 12_000
	clients          = 32
	servers          = 4
	// killEvery is the time from one server's death to the next one's; the one before is up again by then.
	killEvery = 2 * time.Second
	// maxFaults end the load: after so many there is enough to look at, and each may have taken its time.
	maxFaults = 1000
)

// TestAccounting sends requests through Poise while one server after the other is killed and comes back, and then accounts for each of them: by what
// the client got, what the servers did, what Poise counted and what it logged.
func TestAccounting(t *testing.T) {
	n := wanted(t, someRequests)
	eachDriver(t, 2, func(t *testing.T, s testkit.Setup) { account(t, s, n, false) })
}

// TestAccountingOverTLS is TestAccounting with TLS on both sides.
func TestAccountingOverTLS(t *testing.T) {
	n := wanted(t, someRequests)
	eachDriver(t, 2, func(t *testing.T, s testkit.Setup) {
		s.TLS, s.ServerTLS = true, true
		account(t, s, n, false)
	})
}

// TestAccountingOverHTTP2 is TestAccounting with HTTP/2 on both sides.
func TestAccountingOverHTTP2(t *testing.T) {
	n := wanted(t, someRequests/2)
	eachDriver(t, 2, func(t *testing.T, s testkit.Setup) { account(t, s, n, true) })
}

// TestAccountingOverHTTP2AndTLS has TLS on both sides too.
func TestAccountingOverHTTP2AndTLS(t *testing.T) {
	n := wanted(t, someRequests/2)
	eachDriver(t, 2, func(t *testing.T, s testkit.Setup) {
		s.TLS, s.ServerTLS = true, true
		account(t, s, n, true)
	})
}

// wanted is how many requests a driver gets.
func wanted(t *testing.T, n int) int {
	t.Helper()
	if s := os.Getenv(requestsVariable); s != "" {
		var err error
		if n, err = strconv.Atoi(s); err != nil {
			t.Fatal(err)
		}
	}
	if testing.Short() {
		n = min(n, 4000)
	}
	return n
}

func account(t *testing.T, s testkit.Setup, n int, http2 bool) {
	b := begin(t, s, n, http2)
	b.killServers(t, b.send(b.senders()))
	b.outcomes = b.outcomes[:min(len(b.outcomes), int(b.next.Load()))] // fewer after too many faults
	b.checkOutcomes(t)
	b.checkServers(t)
	b.checkMetrics(t)
	b.poise.App.Stop() // writes the log's last records
	b.checkLog(t)
	t.Log(b.summary())
}

// books is one run of the load, and what is known of it.
type books struct {
	poise    *testkit.Poise
	http2    bool
	admin    *adminClient
	servers  []*server
	outcomes []outcome // by request
	surplus  []error   // by client: what came at the end that nobody has asked for
	killed   []time.Time
	next     atomic.Int64 // the next request
}

func begin(t *testing.T, s testkit.Setup, n int, http2 bool) *books {
	dir := t.TempDir()
	b := &books{http2: http2, outcomes: make([]outcome, n), surplus: make([]error, clients)}
	var addrs []string
	var cert *testkit.Certificate
	var secured string
	if s.ServerTLS {
		cert = testkit.NewCertificate(t, "server.test")
		secured = fmt.Sprintf("server_tls: { server_name: server.test, ca: %q }\n", cert.CertFile)
	}
	for i := range servers {
		srv := startServer(t, dir, i, cert)
		b.servers = append(b.servers, srv)
		addrs = append(addrs, srv.addr)
	}
	if http2 {
		secured += "http_version: 2\n"
	}
	socket := filepath.Join(dir, "admin")
	b.poise = testkit.Start(t, s, fmt.Sprintf(`
listen: 127.0.0.1:0
servers: [%s]
health: { http: { path: %s }, interval: 200ms }
admin: { address: "unix:%s" }
%s`, strings.Join(addrs, ", "), probePath, socket, secured))
	b.admin = newAdminClient(t, socket)
	for _, srv := range b.servers {
		awaitState(t, b.poise, srv.addr, "up")
	}
	return b
}

// killServers kills one server after the other until the clients are done. Every second one stays away until Poise has noticed.
func (b *books) killServers(t *testing.T, done <-chan struct{}) {
	t.Helper()
	tick := time.NewTicker(killEvery)
	defer tick.Stop()
	says := progress(t)
	for {
		select {
		case <-done:
			return
		case <-tick.C:
		}
		says("%d of %d requests begun, %d kills", min(int(b.next.Load()), len(b.outcomes)), len(b.outcomes), len(b.killed))
		s := b.servers[len(b.killed)%len(b.servers)]
		b.killed = append(b.killed, time.Now())
		s.kill()
		if len(b.killed)%2 == 0 {
			awaitState(t, b.poise, s.addr, "down")
		}
		s.restart(t)
		awaitState(t, b.poise, s.addr, "up")
	}
}

// sender sends one request after the other.
type sender interface {
	do(q *request) outcome
	// surplus is what came at the end that nobody has asked for.
	surplus() error
	close()
}

func (b *books) senders() (all []sender) {
	if b.http2 {
		for _, c := range newStreams(b.poise, clients) {
			all = append(all, c)
		}
		return all
	}
	for range clients {
		all = append(all, &client{addr: b.poise.Addr, tls: b.poise.ClientTLS()})
	}
	return all
}

// send lets the clients do all requests, and returns what is closed when they are done.
func (b *books) send(all []sender) <-chan struct{} {
	var wg sync.WaitGroup
	var faults atomic.Int64
	for i, c := range all {
		wg.Go(func() {
			defer c.close()
			for faults.Load() < maxFaults {
				id := int(b.next.Add(1)) - 1
				if id >= len(b.outcomes) {
					break
				}
				begun := time.Now()
				b.outcomes[id] = c.do(newRequest(id))
				b.outcomes[id].begun, b.outcomes[id].ended = begun, time.Now()
				if b.outcomes[id].fault != nil {
					faults.Add(1)
				}
			}
			b.surplus[i] = c.surplus()
		})
	}
	done := make(chan struct{})
	go func() {
		wg.Wait()
		close(done)
	}()
	return done
}

// checkOutcomes looks at what the clients got. A request of which Poise could not know whether it was executed, or which is not at hand any
// more, may get 502, if its server died; every other one, if two did.
func (b *books) checkOutcomes(t *testing.T) {
	if err := errors.Join(b.surplus...); err != nil {
		t.Error(err)
	}
	broken, failed := 0, 0
	for id := range b.outcomes {
		o, q := &b.outcomes[id], newRequest(id)
		var err error
		switch {
		case o.fault != nil:
			err = o.fault
		case o.cut:
			broken++
		case o.status == http.StatusOK:
		case o.status == http.StatusBadGateway && (!b.repeatable(q) || b.killsDuring(o) > 1):
			broken++
		default:
			err = fmt.Errorf("status %d", o.status)
		}
		if err == nil {
			continue
		}
		if failed++; failed <= 20 {
			t.Errorf("%s %d (%d bytes, chunked %v, slow %q, 1.0 %v): %v", q.method, id, q.size, q.chunked, q.slow, q.old, err)
		}
	}
	if failed > 0 {
		t.Errorf("%d of %d requests got what must not be; %d kills", failed, len(b.outcomes), len(b.killed))
	}
	if broken == 0 && len(b.killed) > 3 {
		t.Errorf("%d kills and nothing broke off: the load is no test", len(b.killed))
	}
	if most := len(b.killed) * clients; broken > most {
		t.Errorf("%d requests broke off, want at most %d: what %d clients had under way at %d kills", broken, most, clients, len(b.killed))
	}
}

// repeatable is request's. Over HTTP/2 a body comes in frames of its own, maybe after the request has gone out: then it is passed on as it comes.
func (b *books) repeatable(q *request) bool { return q.repeatable() && (!b.http2 || q.size == 0) }

// killsDuring counts the kills that an exchange can have noticed: those within it, and those just before, of which its loop may not have heard yet. There is
// more than one only where a busy machine makes an exchange last.
func (b *books) killsDuring(o *outcome) (n int) {
	for _, at := range b.killed {
		if at.After(o.begun.Add(-killEvery/4)) && at.Before(o.ended) {
			n++
		}
	}
	return n
}

// checkServers compares what the clients got with what the servers did.
func (b *books) checkServers(t *testing.T) {
	times := make([]uint8, len(b.outcomes))
	where := make([]uint8, len(b.outcomes)) // a bit for each server
	for number, s := range b.servers {
		s.executed(t, func(method string, id int) {
			if id < 0 || id >= len(times) || method != newRequest(id).method {
				t.Errorf("server %s executed %s %d, which nobody has sent", s.name, method, id)
				return
			}
			times[id]++
			where[id] |= 1 << number
		})
	}
	for id := range b.outcomes {
		o, q := &b.outcomes[id], newRequest(id)
		switch n := times[id]; {
		case q.method == "POST" && n > 1:
			t.Errorf("%s %d was executed %d times, want once", q.method, id, n)
		case n > 2:
			t.Errorf("%s %d was executed %d times, want at most twice", q.method, id, n)
		case o.status == http.StatusOK && (o.server < 0 || where[id]&(1<<o.server) == 0):
			t.Errorf("%s %d was answered by server %d, which knows nothing of it", q.method, id, o.server)
		}
	}
}

// count counts the outcomes that ok likes.
func (b *books) count(ok func(o *outcome) bool) (n int) {
	for i := range b.outcomes {
		if ok(&b.outcomes[i]) {
			n++
		}
	}
	return n
}

func (b *books) cuts() int { return b.count(func(o *outcome) bool { return o.cut }) }

// checkMetrics compares what the clients got with what Poise has counted.
func (b *books) checkMetrics(t *testing.T) {
	all := len(b.outcomes)
	var m metrics
	testkit.Eventually(t, fmt.Sprintf("count of %d requests", all), func() bool {
		m = b.admin.metrics(t)
		return m.sum("poise_listener_requests_total") >= all
	})
	failed := b.count(func(o *outcome) bool { return o.status == http.StatusBadGateway })
	for _, c := range []struct {
		metric string
		want   int
	}{
		{"poise_listener_requests_total", all},
		{"poise_route_requests_total", all},
		{"poise_pool_requests_total", all},
		{"poise_route_aborted_after_head_total", b.cuts()},
		{"poise_listener_rejected_requests_total", failed},
		{`poise_listener_requests_total{code="5xx"`, failed},
		{"poise_listener_client_aborts_total", 0},
		{"poise_route_in_flight_requests", 0},
		{"poise_pool_in_flight_requests", 0},
		{"poise_server_in_flight_requests", 0},
		{"poise_pool_unavailable_total", 0},
		{"poise_loop_panics_total", 0},
		{"poise_access_log_dropped_total", 0},
	} {
		if got := m.sum(c.metric); got != c.want {
			t.Errorf("%s = %d, want %d", c.metric, got, c.want)
		}
	}
}

// checkLog finds one record for every request, which tells the same as the client.
func (b *books) checkLog(t *testing.T) {
	f, err := os.Open(b.poise.AccessLog)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	logged := make([]int, len(b.outcomes))
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		var r struct {
			Path, End string
			Status    int
		}
		if err := json.Unmarshal(lines.Bytes(), &r); err != nil {
			t.Fatalf("%v in the log record %s", err, lines.Bytes())
		}
		_, query, _ := strings.Cut(r.Path, "?")
		v, _ := url.ParseQuery(query)
		id, err := strconv.Atoi(v.Get("id"))
		if err != nil || id < 0 || id >= len(logged) {
			t.Fatalf("a log record of a request that nobody has sent: %s", lines.Bytes())
		}
		logged[id]++
		o := &b.outcomes[id]
		if cut := len(r.End) > 1 && r.End[1] == 'D'; r.Status != o.status || cut != o.cut {
			t.Errorf("the client got %d, cut %v; log record %s", o.status, o.cut, lines.Bytes())
		}
		if q := newRequest(id); o.status == http.StatusBadGateway && b.repeatable(q) {
			t.Logf("%v of %v, with %d kills: %s", o.begun.Format(time.TimeOnly), o.ended.Sub(o.begun), b.killsDuring(o), lines.Bytes())
		}
	}
	if err := lines.Err(); err != nil {
		t.Fatal(err)
	}
	for id, n := range logged {
		if n != 1 {
			t.Errorf("request %d has %d log records, want 1", id, n)
		}
	}
}

func (b *books) summary() string {
	failed := b.count(func(o *outcome) bool { return o.status == http.StatusBadGateway })
	return fmt.Sprintf("%d requests, %d kills: %d answers cut, %d times 502", len(b.outcomes), len(b.killed), b.cuts(), failed)
}

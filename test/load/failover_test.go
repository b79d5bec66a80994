package load

import (
	"bufio"
	"fmt"
	"net"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"poise/internal/testkit"
)

const (
	// failoverVariable, if set, has every driver fail over, not only the first one.
	failoverVariable = "POISE_TEST_FAILOVER"
	// noHoleVariable tells why packets cannot be made to vanish here.
	noHoleVariable = "POISE_TEST_NO_BLACK_HOLE"

	// tries is how often a failure may take too long: the machine may be busy at one time.
	tries = 3

	perTry        = 500 * time.Millisecond
	probeInterval = 500 * time.Millisecond
	probeRise     = 2

	wellWithin = 2 * time.Second // of a fault, the flow is as good as before
	outWithin  = 5 * time.Second // of a fault, the server gets no more requests
	// backWithin its end, the server is up again: a probe may have begun just before and wait for its time, then those follow that have to pass, at the
	// faster pace; and the machine may be slow.
	backWithin = probeInterval + probeInterval + probeRise*probeInterval/4 + time.Second
)

// failure is one way in which a server fails.
type failure struct {
	name       string
	begin, end func(t *testing.T, s *server)
	// silent: nothing but time tells that a request has failed, so there must be few: one for each open client connection at most.
	silent bool
	hole   bool // it needs a namespace in which packets vanish
}

func failures() []failure {
	signal := func(sig syscall.Signal) func(*testing.T, *server) {
		return func(t *testing.T, s *server) { s.signal(t, sig) }
	}
	mode := func(m string) func(*testing.T, *server) { return func(t *testing.T, s *server) { s.set(t, m) } }
	return []failure{
		{name: "killed", begin: func(_ *testing.T, s *server) { s.kill() }, end: func(t *testing.T, s *server) { s.restart(t) }},
		{name: "frozen", begin: signal(syscall.SIGSTOP), end: signal(syscall.SIGCONT), silent: true},
		{name: "resetting every connection", begin: mode(resets), end: mode("")},
		{name: "answering 500 at half", begin: mode(halfFail), end: mode("")},
		{name: "black-holed", begin: swallow, end: release, silent: true, hole: true},
	}
}

// TestFailover has one of five servers fail in one way after the other, under a load that the built binary carries: no GET fails, the flow is as before
// within 2 s, the server is out within 5 s, and back soon after it is well. It makes a network namespace, in which packets can be made to vanish.
func TestFailover(t *testing.T) {
	if !namespace() {
		t.Setenv(binaryVar, builtBinary(t))
		if out, err := shellInNamespace(loopbackUp + " && nft add table inet test").CombinedOutput(); err != nil {
			t.Setenv(noHoleVariable, fmt.Sprintf("%v %s", err, out))
		} else {
			rerunInNamespace(t, loopbackUp)
			return
		}
	}
	drivers := testkit.Drivers(t)
	if os.Getenv(failoverVariable) == "" {
		drivers = drivers[:1]
	}
	for _, driver := range drivers {
		t.Run(driver, func(t *testing.T) { failOver(t, driver) })
	}
}

func failOver(t *testing.T, driver string) {
	dir := t.TempDir()
	var servers []*server
	var addrs []string
	for i := range 5 {
		servers = append(servers, startServer(t, dir, i, nil))
		addrs = append(addrs, servers[i].addr)
	}
	p := startBinary(t, builtBinary(t), fmt.Sprintf(`
driver: %s
loops: 2
listen: 127.0.0.1:0
servers: [%s]
health: { http: { path: %s }, interval: %v, timeout: 500ms, fall: 2, rise: %d }
retry: { per_try: %v, on: [connect, reset, timeout, 500] }
`, driver, strings.Join(addrs, ", "), probePath, probeInterval, probeRise, perTry))
	l := startFlow(p.addr)
	defer l.stop(t)
	awaitWell(t, l, time.Now())
	var phases []*phaseOfFailure
	for i, f := range failures() {
		t.Run(f.name, func(t *testing.T) {
			if why := os.Getenv(noHoleVariable); f.hole && why != "" {
				t.Skipf("packets cannot be made to vanish here: %s", why)
			}
			for try := 1; ; try++ {
				ph, late := failOnce(t, p, l, f, servers[i])
				phases = append(phases, ph)
				switch {
				case len(late) == 0:
					return
				case try == tries:
					t.Fatalf("too late %d times: %s", try, strings.Join(late, "; "))
				}
				t.Logf("too late, perhaps since the machine is busy: %s", strings.Join(late, "; "))
			}
		})
	}
	asked := l.stop(t)
	retries := p.metrics(t).sum("poise_pool_retries_total")
	p.stop(t)
	checkFailoverLog(t, p, phases, asked, retries)
}

// phaseOfFailure is the time in which a server failed.
type phaseOfFailure struct {
	failure
	begun, ended time.Time
}

// failOnce lets a server fail and recover, and tells what took too long.
func failOnce(t *testing.T, p *built, l *flow, f failure, s *server) (ph *phaseOfFailure, late []string) {
	within := func(took, want time.Duration, what string) {
		if took > want {
			late = append(late, fmt.Sprintf("%s after %v, want %v", what, took.Round(time.Millisecond), want))
		}
	}
	ph = &phaseOfFailure{failure: f, begun: time.Now()}
	f.begin(t, s)
	out := awaitUp(t, p, s, false, ph.begun)
	within(out, outWithin, "the server was out")
	<-time.After(perTry + 100*time.Millisecond) // until what was under way is over
	before := p.attempts(t, s)
	recovered := awaitWell(t, l, ph.begun)
	within(recovered, wellWithin, "the flow was well")
	if n := p.attempts(t, s) - before; n > 0 {
		t.Errorf("%d requests went to the server when it was out", n)
	}
	f.end(t, s)
	ph.ended = time.Now()
	back := awaitUp(t, p, s, true, ph.ended)
	within(back, backWithin, "the server was back")
	awaitWell(t, l, time.Now())
	t.Logf("out after %v, flow well after %v, its worst slice %.0f %%; back %v after its end", out.Round(time.Millisecond), recovered.Round(time.Millisecond),
		100*l.worst(ph.begun, ph.ended), back.Round(time.Millisecond))
	return ph, late
}

// awaitUp waits until the server is up, or is not, and returns how long after a moment that was.
func awaitUp(t *testing.T, p *built, s *server, up bool, since time.Time) time.Duration {
	t.Helper()
	testkit.Eventually(t, fmt.Sprintf("change of the server's state, up: %v", up), func() bool { return (p.server(t, s.addr).State == "up") == up })
	return time.Since(since)
}

// awaitWell waits for the first window after a moment in which, of the requests due, 99 % had an answer soon. It returns how long after that it began.
func awaitWell(t *testing.T, l *flow, since time.Time) (d time.Duration) {
	t.Helper()
	testkit.Eventually(t, "flow that is well", func() (ok bool) {
		d, ok = l.wellAfter(since)
		return ok
	})
	return d
}

// attempts is how many tries at the server have ended, or are under way.
func (b *built) attempts(t *testing.T, s *server) int {
	t.Helper()
	m := b.metrics(t)
	label := fmt.Sprintf("{pool=%q,server=%q", "default", s.addr)
	return m.sum("poise_server_duration_seconds_count"+label) + m.sum("poise_server_in_flight_requests"+label)
}

// checkFailoverLog finds one record for every request, as many retries as were counted, and for each silent failure at most as many failed attempts as
// there are client connections.
func checkFailoverLog(t *testing.T, p *built, phases []*phaseOfFailure, asked, retries int) {
	t.Helper()
	f, err := os.Open(p.accessLog)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	records, repeated := 0, 0
	failed := make([]map[string]int, len(phases)) // attempts, by client connection
	for lines := bufio.NewScanner(f); lines.Scan(); records++ {
		r := testkit.ParseRecord(t, lines.Text())
		begun, err := time.Parse(time.RFC3339, r.TS)
		if err != nil {
			t.Fatal(err)
		}
		repeated += r.Attempts - 1
		for i, ph := range phases {
			if failed[i] == nil {
				failed[i] = map[string]int{}
			}
			if begun.After(ph.begun.Add(-perTry)) && begun.Before(ph.ended) && r.Attempts > 1 {
				failed[i][r.Client] += r.Attempts - 1
			}
		}
	}
	if records != asked || repeated != retries {
		t.Errorf("the log has %d records and %d attempts after the first; want %d requests, and %d as counted", records, repeated, asked, retries)
	}
	for i, ph := range phases {
		all, most := 0, 0
		for _, n := range failed[i] {
			all, most = all+n, max(most, n)
		}
		t.Logf("%s: %d attempts failed, at most %d of one client", ph.name, all, most)
		if all == 0 {
			t.Errorf("%s: no attempt failed: the load is no test", ph.name)
		}
		if ph.silent && all > flowClients {
			t.Errorf("%s: %d attempts failed, want %d at most, one for each client connection", ph.name, all, flowClients)
		}
	}
}

func (s *server) signal(t *testing.T, sig syscall.Signal) {
	t.Helper()
	if err := s.cmd.Process.Signal(sig); err != nil {
		t.Fatal(err)
	}
}

// swallow has packets from and to the server vanish, those of connections that are there too.
func swallow(t *testing.T, s *server) {
	t.Helper()
	_, port, err := net.SplitHostPort(s.addr)
	if err != nil {
		t.Fatal(err)
	}
	rules := fmt.Sprintf(`table inet hole {
	chain in {
		type filter hook input priority 0
		tcp dport %[1]s drop
		tcp sport %[1]s drop
	}
}`, port)
	nft := exec.Command("nft", "-f", "-")
	nft.Stdin = strings.NewReader(rules)
	if out, err := nft.CombinedOutput(); err != nil {
		t.Fatalf("nft: %v %s", err, out)
	}
}

func release(t *testing.T, _ *server) {
	t.Helper()
	if out, err := exec.Command("nft", "delete", "table", "inet", "hole").CombinedOutput(); err != nil {
		t.Fatalf("nft: %v %s", err, out)
	}
}

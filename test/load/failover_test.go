package load

import (
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"poise/internal/testkit"
)

// TestFailover has one of five servers fail in one way after the other, under load: no request fails that can be sent again, the others' clients go
// on, the server is out within five seconds, and back when it is well.
func TestFailover(t *testing.T) {
	faults := []struct {
		name       string
		begin, end func(t *testing.T, s *server)
	}{
		{"killed", func(_ *testing.T, s *server) { s.kill() }, func(t *testing.T, s *server) { s.restart(t) }},
		{"frozen", func(t *testing.T, s *server) { s.signal(t, syscall.SIGSTOP) }, func(t *testing.T, s *server) { s.signal(t, syscall.SIGCONT) }},
		{"resetting", func(t *testing.T, s *server) { s.set(t, resets) }, func(t *testing.T, s *server) { s.set(t, "") }},
		{"answering 500 at half", func(t *testing.T, s *server) { s.set(t, halfFail) }, func(t *testing.T, s *server) { s.set(t, "") }},
	}
	eachDriver(t, 1, func(t *testing.T, setup testkit.Setup) {
		dir := t.TempDir()
		var servers []*server
		var addrs []string
		for i := range 5 {
			servers = append(servers, startServer(t, dir, i))
			addrs = append(addrs, servers[i].addr)
		}
		p := testkit.Start(t, setup, fmt.Sprintf(`
listen: 127.0.0.1:0
servers: [%s]
health: { http: { path: %s }, interval: 500ms, timeout: 500ms, fall: 2 }
retry: { per_try: 500ms, on: [connect, reset, timeout, 500] }
eject: { time: 3s, interval: 1s, min_requests: 20 }
`, strings.Join(addrs, ", "), probePath))
		awaitState(t, p, addrs[0], "up")
		l := startFlow(p.Addr)
		defer l.stop()
		for _, f := range faults {
			usual := l.during(time.Second)
			begun := time.Now()
			f.begin(t, servers[0])
			out := awaitOther(t, p, addrs[0], "up")
			if out > 5*time.Second {
				t.Errorf("%s: out after %v, want 5 s at most", f.name, out)
			}
			if rest := time.Until(begun.Add(2 * time.Second)); rest > 0 {
				l.during(rest)
			}
			// Tests share a machine: at rest it is 99 % and more.
			after := l.during(time.Second)
			if after < usual/4 {
				t.Errorf("%s: %d requests in the third second, %d in one before, want as many", f.name, after, usual)
			}
			f.end(t, servers[0])
			ended := time.Now()
			awaitState(t, p, addrs[0], "up")
			t.Logf("%s: out after %v, back %v after its end; %d requests a second before, %d in the third second", f.name,
				out.Round(time.Millisecond), time.Since(ended).Round(time.Millisecond), usual, after)
		}
		l.stop()
		for _, err := range l.faults {
			t.Errorf("a request failed: %v", err)
		}
	})
}

func (s *server) signal(t *testing.T, sig syscall.Signal) {
	t.Helper()
	if err := s.cmd.Process.Signal(sig); err != nil {
		t.Fatal(err)
	}
}

// awaitOther waits until a server's state is not the one named, and returns how long that took.
func awaitOther(t *testing.T, p *testkit.Poise, addr, state string) time.Duration {
	t.Helper()
	begun := time.Now()
	testkit.Eventually(t, "change of a server's state", func() bool {
		for _, s := range p.App.Status().Pools[0].Servers {
			if s.Address == addr {
				return s.State != state
			}
		}
		return false
	})
	return time.Since(begun)
}

// flow is a steady load of small GETs by a few clients, which rest between two.
type flow struct {
	done    atomic.Int64
	ended   atomic.Bool
	clients sync.WaitGroup
	mu      sync.Mutex // guards faults
	faults  []error
}

func startFlow(addr string) *flow {
	l := &flow{}
	for i := range 16 {
		l.clients.Go(func() { l.ask(&client{addr: addr}, i) })
	}
	return l
}

func (l *flow) ask(c *client, number int) {
	defer c.close()
	for id := number << 32; !l.ended.Load(); id++ {
		o := c.do(&request{id: id, method: "GET", answer: 500})
		if o.fault == nil && (o.cut || o.status != 200) {
			o.fault = fmt.Errorf("status %d, cut %v", o.status, o.cut)
		}
		if o.fault != nil {
			l.mu.Lock()
			l.faults = append(l.faults, o.fault)
			l.mu.Unlock()
		}
		l.done.Add(1)
		<-time.After(5 * time.Millisecond)
	}
}

// during is how many requests are answered within d from now on.
func (l *flow) during(d time.Duration) int64 {
	before := l.done.Load()
	<-time.After(d)
	return l.done.Load() - before
}

func (l *flow) stop() {
	l.ended.Store(true)
	l.clients.Wait()
}

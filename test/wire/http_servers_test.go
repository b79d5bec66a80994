package wire

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"poise/internal/testkit"
)

// named is a server that answers with its name.
func named(t *testing.T, name string) *testkit.Server {
	return testkit.Serve(t, testkit.Answer(fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", len(name), name)))
}

func TestRefusedConnectGoesToAnotherServer(t *testing.T) {
	t.Parallel()
	testkit.Each(t, func(t *testing.T, s testkit.Setup) {
		server := testkit.Serve(t, testkit.Paths(scripts{"/post": echoBody}))
		p := testkit.Start(t, s, fmt.Sprintf("listen: 127.0.0.1:0\npolicy: round_robin\nservers: [%s, %s, %s]\n",
			testkit.Unusable(t), server.Addr, testkit.Unusable(t)))
		large := strings.Repeat("x", 50<<10)
		for range 3 {
			c := testkit.Dial(t, p.Addr)
			wantResponse(t, "GET", c.Get("/get"), 200, "ok")
			c.Send("POST /post HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc")
			wantResponse(t, "POST", c.Read("POST"), 200, "abc")
			c.Send(fmt.Sprintf("POST /post HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n%s", len(large), large))
			wantResponse(t, "large POST", c.Read("POST"), 200, large)
		}
		several := 0
		for _, rs := range p.Parsed(t, 9) {
			for _, r := range rs {
				if r.Attempts > 1 {
					several++
				}
				if r.Attempts > 3 || r.Server != server.Addr || r.End != "----" {
					t.Errorf("record %+v, want at most 3 attempts, the last at %s", r, server.Addr)
				}
			}
		}
		if several == 0 {
			t.Error("no request was tried at a server that refuses: the test shows nothing")
		}
	})
}

func TestNoServerCanBeReached(t *testing.T) {
	t.Parallel()
	testkit.Each(t, func(t *testing.T, s testkit.Setup) {
		var list []string
		for range 6 {
			list = append(list, testkit.Unusable(t))
		}
		p := testkit.Start(t, s, "listen: 127.0.0.1:0\nservers: ["+strings.Join(list, ", ")+"]\n")
		c := testkit.Dial(t, p.Addr)
		r := c.Get("/get")
		wantResponse(t, "GET", r, 503, "503 Service Unavailable: no server could be reached\n")
		if got := r.Header.Get("Proxy-Status"); got != "poise; error=connection_refused" {
			t.Errorf("Proxy-Status = %q", got)
		}
		c.Send("POST /post HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc")
		wantResponse(t, "POST", c.Read("POST"), 503, "503 Service Unavailable: no server could be reached\n")
		wantResponse(t, "GET", c.Get("/again"), 503, "503 Service Unavailable: no server could be reached\n")
		for path, rs := range p.Parsed(t, 3) {
			if r := rs[0]; r.Attempts != 4 || r.End != "SC--" || r.Connect >= 0 {
				t.Errorf("%s: record %+v, want 4 attempts, SC--", path, r)
			}
		}
		for _, addr := range list {
			if strings.Contains(r.Body, addr) {
				t.Error("the answer gives an inside address away")
			}
		}
	})
}

const fastProbes = "health: { tcp: {}, interval: 20ms, timeout: 200ms, fall: 1, rise: 1 }"

func TestNoServerIsUsable(t *testing.T) {
	t.Parallel()
	testkit.Each(t, func(t *testing.T, s testkit.Setup) {
		// With much patience, so that the first result decides and not its delay: that would count as up at first.
		p := testkit.Start(t, s, "listen: 127.0.0.1:0\nservers: ["+testkit.Unusable(t)+"]\nhealth: { tcp: {}, interval: 20ms, timeout: 10s, fall: 1, rise: 1 }\nfail_open: { enabled: false }\n")
		testkit.Eventually(t, "server that is down", func() bool { return p.App.Status().Pools[0].Servers[0].State == "down" })
		c := testkit.Dial(t, p.Addr)
		r := c.Get("/")
		wantResponse(t, "GET", r, 503, "503 Service Unavailable: no server is usable at present\n")
		if got := r.Header.Get("Proxy-Status"); got != "poise; error=destination_unavailable" {
			t.Errorf("Proxy-Status = %q", got)
		}
		c.Send("HEAD / HTTP/1.1\r\nHost: a\r\n\r\n")
		wantResponse(t, "HEAD", c.Read("HEAD"), 503, "")
		for _, r := range p.Parsed(t, 2)["/"] {
			if r.Attempts != 0 || r.End != "SC--" || r.Server != "" {
				t.Errorf("record %+v, want no attempt", r)
			}
		}
	})
}

func TestBackupServers(t *testing.T) {
	t.Parallel()
	testkit.Each(t, func(t *testing.T, s testkit.Setup) {
		first, second, backup := named(t, "first"), named(t, "second"), named(t, "backup")
		p := testkit.Start(t, s, fmt.Sprintf("listen: 127.0.0.1:0\npolicy: round_robin\nservers: [%s, %s, { address: %q, backup: true }]\n%s\n",
			first.Addr, second.Addr, backup.Addr, fastProbes))
		testkit.Eventually(t, "first round of probes", func() bool {
			for _, server := range p.App.Status().Pools[0].Servers {
				if server.State != "up" {
					return false
				}
			}
			return true
		})
		ask := func() map[string]int {
			got := map[string]int{}
			for range 6 {
				r := testkit.Dial(t, p.Addr).Get("/")
				if r.StatusCode != 200 {
					t.Errorf("GET = %d %q", r.StatusCode, r.Body)
				}
				got[r.Body]++
			}
			return got
		}
		down := func(i int) func() bool {
			return func() bool { return p.App.Status().Pools[0].Servers[i].State == "down" }
		}
		if got := ask(); got["backup"] != 0 || got["first"] == 0 || got["second"] == 0 {
			t.Errorf("requests went to %v, want both primaries and no backup", got)
		}
		first.Stop()
		testkit.Eventually(t, "first server that is down", down(0))
		testkit.Eventually(t, "requests at the second alone", func() bool {
			once, again := ask()["second"], ask()["second"]
			return once == 6 && again == 6
		})
		second.Stop()
		second.CloseConns()
		testkit.Eventually(t, "second server that is down", down(1))
		testkit.Eventually(t, "requests at the backup", func() bool { return ask()["backup"] == 6 })
	})
}

// The backup is also asked when no primary can be reached, before any probe has said so.
func TestBackupAfterRefusedConnects(t *testing.T) {
	t.Parallel()
	testkit.Each(t, func(t *testing.T, s testkit.Setup) {
		backup := named(t, "backup")
		p := testkit.Start(t, s, fmt.Sprintf("listen: 127.0.0.1:0\nservers: [%s, %s, { address: %q, backup: true }]\n",
			testkit.Unusable(t), testkit.Unusable(t), backup.Addr))
		wantResponse(t, "GET", testkit.Dial(t, p.Addr).Get("/"), 200, "backup")
		if r := p.Parsed(t, 1)["/"][0]; r.Attempts != 3 {
			t.Errorf("%d attempts, want 3", r.Attempts)
		}
	})
}

func TestTimeouts(t *testing.T) {
	t.Parallel()
	testkit.Each(t, func(t *testing.T, s testkit.Setup) {
		silent := func(p *testkit.Peer, _ string) bool { _, _ = p.AwaitEnd(); return false }
		half := func(p *testkit.Peer, head string) bool {
			_ = p.Send("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc")
			return silent(p, head)
		}
		trickle := func(p *testkit.Peer, _ string) bool {
			_ = p.Send("HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
			for p.Send("x") == nil {
				<-time.After(20 * time.Millisecond)
			}
			return false
		}
		server := testkit.Serve(t, testkit.Paths(scripts{"/response": silent, "/body": half, "/request": trickle, "/requestsilent": silent}))
		p := testkit.Start(t, s, fmt.Sprintf(`
listeners:
  - name: web
    address: 127.0.0.1:0
    timeouts: { response: 200ms, body_idle: 250ms }
    pool: app
    routes: [{ match: { path: /request }, pool: app, timeouts: { request: 300ms } }, { match: { path: /requestsilent }, pool: app, timeouts: { request: 120ms, response: 10s } }]
pools: { app: { servers: [%s] } }
`, server.Addr))
		tests := []struct {
			path   string
			status int
			least  time.Duration
			end    string
		}{
			{"/response", 504, 200 * time.Millisecond, "sH--"},
			{"/requestsilent", 504, 120 * time.Millisecond, "sH--"},
			{"/body", 200, 250 * time.Millisecond, "sD--"},
			{"/request", 200, 300 * time.Millisecond, "sD--"},
		}
		var clients []*testkit.Client
		begin := time.Now()
		for _, tt := range tests {
			c := testkit.Dial(t, p.Addr)
			c.Send(getOf(tt.path))
			clients = append(clients, c)
		}
		for i, tt := range tests {
			c := clients[i]
			r, err := c.TryRead("GET")
			if err != nil {
				t.Errorf("%s: no response: %v", tt.path, err)
				continue
			}
			if d := time.Since(begin); d < tt.least || d > tt.least+2*time.Second {
				t.Errorf("%s: an end after %v, want %v", tt.path, d, tt.least)
			}
			if r.StatusCode != tt.status || (r.Err != nil) != (tt.status == 200) {
				t.Errorf("%s = %d (%v), want %d, cut only where the answer had begun", tt.path, r.StatusCode, r.Err, tt.status)
			}
			if tt.status == 504 {
				wantOpen(t, c)
			}
		}
		for path, rs := range p.Parsed(t, len(tests)+2) {
			for _, tt := range tests {
				if tt.path == path && (len(rs) != 1 || rs[0].End != tt.end || rs[0].Status != tt.status) {
					t.Errorf("%s: records %+v, want %d, %s", path, rs, tt.status, tt.end)
				}
			}
		}
	})
}

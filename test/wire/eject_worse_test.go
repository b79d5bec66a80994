package wire

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"poise/internal/testkit"
)

// beside starts Poise before a server that is worse than its two fellows, and sends requests until done. It returns how many each server got.
func beside(
	t *testing.T, s testkit.Setup, bad testkit.Script, eject string, done func(p *testkit.Poise, socket string) bool,
) (*testkit.Poise, map[string]int) {
	t.Helper()
	good := testkit.Reply("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
	servers, addrs := map[string]*testkit.Server{}, []string{}
	for name, script := range map[string]testkit.Script{"bad": bad, "one": good, "two": good} {
		servers[name] = testkit.Serve(t, testkit.Paths(scripts{"/": script}))
		addrs = append(addrs, servers[name].Addr)
	}
	socket := filepath.Join(t.TempDir(), "admin")
	p := testkit.Start(t, s, fmt.Sprintf("listen: 127.0.0.1:0\npolicy: round_robin\nretry: { attempts: 1 }\n"+
		"servers: [%s]\neject: { %s }\nadmin: { address: %q }\n", strings.Join(addrs, ", "), eject, "unix:"+socket))
	c := testkit.Dial(t, p.Addr)
	testkit.Eventually(t, "sign of the bad one", func() bool {
		for range 9 {
			c.Get("/")
		}
		return done(p, socket)
	})
	got := map[string]int{}
	for name, server := range servers {
		got[name] = strings.Count(server.Got(), "GET / ")
		want := "up"
		if name == "bad" && !strings.Contains(eject, "report_only") {
			want = "ejected"
		}
		for _, st := range p.App.Status().Pools[0].Servers {
			if st.Name == server.Addr && st.State != want {
				t.Errorf("the server %q is %s, want %s", name, st.State, want)
			}
		}
	}
	return p, got
}

// ejections is what a metric says of the servers together.
func ejections(t *testing.T, p *testkit.Poise, socket, cause string) (n int) {
	t.Helper()
	for _, s := range p.App.Status().Pools[0].Servers {
		n += metric(t, socket, fmt.Sprintf("poise_server_ejections_total{cause=%q,pool=\"default\",server=%q}", cause, s.Name))
	}
	return n
}

var answers500 = testkit.Reply("HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n")

// A server that answers worse than the others, or slower, is left alone, and a metric says for what.
func TestEjectOutliers(t *testing.T) {
	t.Parallel()
	late := func(p *testkit.Peer, _ string) bool {
		time.Sleep(120 * time.Millisecond)
		return p.Send("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n") == nil
	}
	for _, tt := range []struct {
		cause, eject, why string
		bad               testkit.Script
	}{
		{"success_rate", "min_requests: 3, interval: 100ms, latency: 0", "0 % of its answers were good, of the others' 100 %", answers500},
		{"latency", "min_requests: 2, interval: 500ms, success_rate: 0", "its answers took", late},
	} {
		t.Run(tt.cause, func(t *testing.T) {
			t.Parallel()
			testkit.Each(t, func(t *testing.T, s testkit.Setup) {
				p, _ := beside(t, s, tt.bad, tt.eject, func(p *testkit.Poise, socket string) bool { return ejections(t, p, socket, tt.cause) > 0 })
				if log := p.Log.String(); !strings.Contains(log, "server is ejected") || !strings.Contains(log, tt.why) {
					t.Errorf("the log does not tell of the ejection with %q: %s", tt.why, log)
				}
			})
		})
	}
}

// With report_only the log says what would be done, and nothing is.
func TestEjectReportOnly(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		cause, eject, why string
		bad               testkit.Script
	}{
		{"failures", "report_only: true", "requests in a row failed", testkit.Reply("HTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n")},
		{"success_rate", "report_only: true, min_requests: 3, interval: 100ms", "of its answers were good", answers500},
	} {
		t.Run(tt.cause, func(t *testing.T) {
			testkit.Each(t, func(t *testing.T, s testkit.Setup) {
				reported := func(p *testkit.Poise) int { return strings.Count(p.Log.String(), "server would be ejected") }
				rounds, before := 0, 0
				p, got := beside(t, s, tt.bad, tt.eject, func(p *testkit.Poise, socket string) bool {
					if before = ejections(t, p, socket, tt.cause); reported(p) > 0 {
						rounds++
					}
					return rounds > 20
				})
				if n := reported(p); n != 1 || before != 0 || !strings.Contains(p.Log.String(), tt.why) {
					t.Errorf("%d reports, %d ejections, want one and none; the log: %s", n, before, p.Log.String())
				}
				if got["bad"] < got["one"]*9/10 {
					t.Errorf("the servers got %v, want as many each", got)
				}
			})
		})
	}
}

package proxy_test

import (
	"net"
	"net/netip"
	"testing"
	"time"

	"poise/internal/pool"
	"poise/internal/route"
	"poise/internal/stats"
	"poise/internal/testkit"
)

// trap is a policy with a bug: it panics for one client, and for another on its second server.
type trap struct{}

func (trap) Build(servers []*pool.Server, _ int) pool.Picker { return &trapPicker{servers} }

type trapPicker struct{ servers []*pool.Server }

var atOnce, onRetry = netip.MustParseAddr("127.0.0.9"), netip.MustParseAddr("127.0.0.10")

func (p *trapPicker) Pick(q *pool.Query) *pool.Server {
	if q.Client == atOnce || (q.Client == onRetry && q.Tried.Len() > 0) {
		panic("a bug in a policy")
	}
	return p.servers[0]
}

// A panic ends its own connection, is counted, leaves no lease and no request in flight, and touches nobody else.
func TestPanicEndsOneExchange(t *testing.T) {
	for _, d := range testkit.Drivers(t) {
		t.Run(d, func(t *testing.T) {
			server := testkit.Serve(t, func(p *testkit.Peer) {
				for {
					head, err := p.ReadHead()
					if err != nil || head[:5] == "GET /" && head[5] == 'r' { // reset: the exchange asks for another server
						return
					}
					if p.Send(testkit.OK) != nil {
						return
					}
				}
			})
			tm := route.Timeouts{Connect: time.Second, Head: time.Second, Write: time.Second, Response: time.Second, Idle: time.Minute, ServerIdle: time.Minute}
			r := newRigWith(t, d, server.Addr, tm, trap{})
			bystander := testkit.Dial(t, r.addr)
			bystander.Get("/")
			for from, path := range map[netip.Addr]string{atOnce: "/", onRetry: "/reset"} {
				dialer := net.Dialer{LocalAddr: &net.TCPAddr{IP: from.AsSlice()}}
				c, err := dialer.Dial("tcp", r.addr)
				if err != nil {
					t.Fatal(err)
				}
				_ = c.SetDeadline(time.Now().Add(testkit.Patience))
				_, _ = c.Write([]byte("GET " + path + " HTTP/1.1\r\nHost: a\r\n\r\n"))
				if n, err := c.Read(make([]byte, 100)); err == nil {
					t.Errorf("the client whose exchange panicked read %d bytes, want the connection's end", n)
				}
				_ = c.Close()
				if resp := bystander.Get("/"); resp.StatusCode != 200 {
					t.Errorf("the bystander got %d, want 200", resp.StatusCode)
				}
			}
			var panics uint64
			testkit.Eventually(t, "end of all exchanges", func() bool { // the bystander's ends a moment after it was answered
				var s stats.Snapshot
				r.loop.Call(func() { s, panics = r.stats.Snapshot(), r.loop.Counters().Panics })
				return s.Routes[0].InFlight == 0 && r.pool.Servers()[0].InFlight() == 0
			})
			if panics != 2 {
				t.Errorf("%d panics were counted, want 2", panics)
			}
		})
	}
}

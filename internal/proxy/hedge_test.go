package proxy_test

import (
	"testing"
	"time"

	"poise/internal/clock"
	"poise/internal/pool"
	"poise/internal/route"
	"poise/internal/testkit"
)

// inOrder is a policy by which the first server is asked first, and the second one only after it.
type inOrder struct{}

func (inOrder) Build(servers []*pool.Server, _ int) pool.Picker { return inOrderPicker(servers) }

type inOrderPicker []*pool.Server

func (p inOrderPicker) Pick(q *pool.Query) *pool.Server {
	for _, s := range p {
		if !q.Skips(s) {
			return s
		}
	}
	return nil
}

// newHedgeRig has two servers, of which the second is asked too after some milliseconds.
func newHedgeRig(t *testing.T, driver, first, second string) *rig {
	t.Helper()
	tm := route.Timeouts{Connect: 8 * time.Second, Head: 5 * time.Second, Write: 5 * time.Second, Idle: time.Minute, ServerIdle: time.Minute}
	r := newRigWith(t, driver, first, tm, inOrder{})
	r.pool.Configure(clock.Now(), pool.Spec{
		Name: "p", Policy: inOrder{}, Servers: []pool.ServerSpec{{Address: first, Weight: 1}, {Address: second, Weight: 1}},
		Budget: pool.Budget{Share: 20}, Hedge: pool.Hedge{Quantile: 95, Least: 5 * time.Millisecond}, Loops: 1,
	})
	r.loop.Call(func() {
		for range 100 {
			r.pool.Answered(0, time.Millisecond)
		}
	})
	return r
}

// inFlight is how many requests the servers have.
func (r *rig) inFlight() (first, second int) {
	s := r.pool.Servers()
	return s[0].InFlight(), s[1].InFlight()
}

// A client that leaves while only the rival is left is not waited for, whatever the rival waits for.
func TestClientLeavesALoneRival(t *testing.T) {
	one(t, func(t *testing.T, s testkit.Setup) {
		silent := testkit.Serve(t, func(p *testkit.Peer) { _, _ = p.AwaitEnd() })
		for name, second := range map[string]string{"that connects": testkit.Deaf(t), "that awaits an answer": silent.Addr} {
			t.Run(name, func(t *testing.T) {
				fail := make(chan struct{})
				first := testkit.Serve(t, func(p *testkit.Peer) {
					_, _ = p.ReadHead()
					<-fail
				})
				r := newHedgeRig(t, s.Driver, first.Addr, second)
				c := testkit.Dial(t, r.addr)
				c.Send("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
				testkit.Eventually(t, "second try", func() bool { _, n := r.inFlight(); return n == 1 })
				close(fail)
				testkit.Eventually(t, "end of the first try", func() bool { n, _ := r.inFlight(); return n == 0 })
				began := time.Now()
				c.ResetConn()
				testkit.Eventually(t, "end of the exchange", func() bool { _, n := r.inFlight(); return n == 0 })
				if took := time.Since(began); took > 2*time.Second {
					t.Errorf("the exchange ended %v after its client, want at once", took)
				}
			})
		}
	})
}

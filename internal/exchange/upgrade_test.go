package exchange

import (
	"fmt"
	"testing"
	"time"

	"poise/internal/balance"
	"poise/internal/clock"
	"poise/internal/fault"
	"poise/internal/h1"
	"poise/internal/msg"
	"poise/internal/pool"
	"poise/internal/route"
)

// asking is an exchange whose request asks for a WebSocket, with a server chosen.
func asking(t *testing.T, table *route.Table, now clock.Instant) *Exchange {
	t.Helper()
	req := &msg.Request{}
	_, err := h1.ParseRequest(req, []byte("GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: websocket\r\n"+
		"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"), nil)
	if err != nil {
		t.Fatal(err)
	}
	x := &Exchange{}
	x.Begin(&Client{}, req, Times{})
	if step := x.Start(now, table); step.Kind != Forward || string(x.Upgrade()) != "websocket" {
		t.Fatalf("Start: step %d, upgrade %q", step.Kind, x.Upgrade())
	}
	return x
}

func socketTable(t *testing.T, p *pool.Pool) *route.Table {
	t.Helper()
	r := route.Route{Name: "r", Pool: p, Upgrades: [][]byte{[]byte("websocket")}}
	table, _, err := route.Build([]route.Listener{{Name: "l", Routes: []route.Spec{{Route: r}}}})
	if err != nil {
		t.Fatal(err)
	}
	return table
}

// A server learns of an upgraded exchange what its answer says, and nothing of how long the connection was used and how it ended; the slot is held
// all the time.
func TestUpgradeOutcome(t *testing.T) {
	p := pool.New(1, pool.Spec{
		Name: "p", Policy: balance.RoundRobin(), Eject: pool.Eject{Failures: 1, Time: time.Hour, MaxTime: time.Hour, MaxShare: 50},
		Servers: []pool.ServerSpec{{Name: "a", Address: "10.0.0.1:80", Weight: 1}, {Name: "b", Address: "10.0.0.2:80", Weight: 1}},
	})
	x := asking(t, socketTable(t, p), 10)
	s := x.Server()
	if step := x.Responded(20, &msg.Response{Status: 101}); step.Kind != Upgrade || !x.Switched() {
		t.Fatalf("Responded: step %d, switched %v", step.Kind, x.Switched())
	}
	relayed := x.Detached(&msg.Request{}, nil, nil)
	*x = Exchange{} // its memory is another's
	if n := s.InFlight(); n != 1 {
		t.Errorf("%d in flight, want 1", n)
	}
	relayed.Done(clock.Instant(1e12), &fault.Error{Side: fault.Server, Op: fault.Relay, Kind: fault.Reset})
	if n := s.InFlight(); n != 0 {
		t.Errorf("%d in flight afterwards, want 0", n)
	}
	if p.Tick(clock.Instant(2e12)); s.State().String() != "up" {
		t.Errorf("the server is %v: a connection that broke after its upgrade says nothing about it", s.State())
	}
	if end, reason := relayed.End(); fmt.Sprintf("%.2s", end[:]) != "SD" || reason == "" || relayed.Cut || relayed.Status != 101 {
		t.Errorf("end %s %q, cut %v, status %d", end, reason, relayed.Cut, relayed.Status)
	}
}

// Upgraded exchanges are not among those that the retry budget saves up for.
func TestUpgradeLeavesBudget(t *testing.T) {
	p := pool.New(1, pool.Spec{
		Name: "p", Policy: balance.RoundRobin(), Servers: []pool.ServerSpec{{Name: "a", Address: "10.0.0.1:80", Weight: 1}}, Budget: pool.Budget{Share: 100},
	})
	table := socketTable(t, p)
	var all []*Exchange
	for range 50 {
		x := asking(t, table, 10)
		x.Responded(20, &msg.Response{Status: 101})
		all = append(all, x)
	}
	repeats := func() (n int) {
		for p.SpendRepeat(30, 0) {
			n++
		}
		return n
	}
	if n := repeats(); n > 11 {
		t.Errorf("%d repeats were saved up for exchanges that are not repeated, want 10 or so, as always", n)
	}
	for _, x := range all {
		x.Done(40, nil)
	}
	for range 40 {
		asking(t, table, 50)
	}
	if n := repeats(); n < 40 {
		t.Errorf("%d repeats were saved up for 40 exchanges, want as many: those of before have left once each", n)
	}
}

package pool

import (
	"fmt"
	"testing"
)

// dialers are those that wait for a connection to a server, by name.
type dialers struct {
	t    *testing.T
	s    *Server
	wait map[string]*Dialer
	told map[string]bool
}

func newDialers(t *testing.T, most int) (*Pool, *dialers) {
	t.Helper()
	p := New(start, Spec{Name: "app", Policy: &inOrder{}, Servers: connectable(most)})
	return p, &dialers{t: t, s: p.Servers()[0], wait: map[string]*Dialer{}, told: map[string]bool{}}
}

func connectable(most int) []ServerSpec {
	list := specs("a")
	list[0].MaxConnections = most
	return list
}

// ask has somebody open a connection; it tells what comes of that.
func (d *dialers) ask(who string) string {
	if d.s.Opens() {
		return "opens"
	}
	d.wait[who] = &Dialer{}
	d.s.AwaitRoom(d.wait[who], func() { d.told[who] = true })
	return "waits"
}

func (d *dialers) want(what string, got, want any) {
	d.t.Helper()
	if got != want {
		d.t.Errorf("%s: %v, want %v", what, got, want)
	}
}

func (d *dialers) wantCounts(what, want string) {
	d.t.Helper()
	d.want(what, fmt.Sprintf("%d open, %d too many, crowded %t", d.s.Connections(), d.s.Surplus(), d.s.Crowded()), want)
}

func TestConnectionsAreInOrder(t *testing.T) {
	_, d := newDialers(t, 2)
	d.want("the first", d.ask("1"), "opens")
	d.want("the second", d.ask("2"), "opens")
	d.wantCounts("with all that may be", "2 open, 0 too many, crowded false")
	d.want("the third", d.ask("3"), "waits")
	d.want("the fourth", d.ask("4"), "waits")
	d.wantCounts("with two that wait", "2 open, 2 too many, crowded true")
	d.s.Closed()
	d.want("the third is told", d.told["3"], true)
	d.want("the fourth is told", d.told["4"], false)
	d.want("the third is served", d.s.LeaveRoom(d.wait["3"]), true)
	d.want("the fifth, while the fourth waits", d.ask("5"), "waits")
	d.want("the fourth, which gives up, is served", d.s.LeaveRoom(d.wait["4"]), false)
	d.s.Closed()
	d.want("the fifth is served", d.s.LeaveRoom(d.wait["5"]), true)
	d.s.Closed()
	d.s.Closed()
	d.wantCounts("at the end", "0 open, 0 too many, crowded false")
}

// Room that comes after it was refused, and before there is somebody who waits, is not missed.
func TestConnectionsRoomInBetween(t *testing.T) {
	_, d := newDialers(t, 1)
	d.want("the first", d.s.Opens(), true)
	d.want("the second", d.s.Opens(), false)
	d.s.Closed()
	told, w := false, Dialer{}
	d.s.AwaitRoom(&w, func() { told = true })
	d.want("the second is told", told, true)
	d.want("the second is served", d.s.LeaveRoom(&w), true)
	d.wantCounts("then", "1 open, 0 too many, crowded false")
}

// What is open counts from the start, so a limit that comes later holds for it.
func TestConnectionsLimitChanges(t *testing.T) {
	p, d := newDialers(t, 0)
	for range 3 {
		d.want("one without a limit", d.ask("early"), "opens")
	}
	p.Update(start, connectable(2))
	d.wantCounts("with a limit", "3 open, 1 too many, crowded true")
	d.want("one above it", d.ask("1"), "waits")
	d.s.Closed()
	d.want("told while all that may be are open", d.told["1"], false)
	d.want("another", d.ask("2"), "waits")
	p.Update(start, connectable(3))
	d.want("the first is told when one more may be", d.told["1"], true)
	d.want("the second is told then", d.told["2"], false)
	p.Update(start, connectable(0))
	d.want("the second is told without a limit", d.told["2"], true)
	d.wantCounts("without a limit", "4 open, 0 too many, crowded false")
}

func TestConnectionsBoundRequests(t *testing.T) {
	for _, tt := range []struct{ requests, connections, want int }{{0, 0, 0}, {5, 0, 5}, {0, 5, 5}, {5, 7, 5}, {7, 5, 5}} {
		list := connectable(tt.connections)
		list[0].MaxRequests = tt.requests
		s := New(start, Spec{Policy: &inOrder{}, Servers: list}).Servers()[0]
		if got := s.MaxRequests(); got != tt.want {
			t.Errorf("max_requests %d and max_connections %d: %d requests, want %d", tt.requests, tt.connections, got, tt.want)
		}
	}
}

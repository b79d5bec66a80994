package pool

import (
	"testing"
	"time"

	"poise/internal/health"
)

func TestSlowStart(t *testing.T) {
	list := specs("a:2 b")
	list[1].MaxRequests = 50
	p := New(start, Spec{Name: "app", Policy: &inOrder{}, Servers: list, Health: &health.Settings{Fall: 1, Rise: 1}, SlowStart: 10 * time.Second})
	a, b := p.server(t, "a"), p.server(t, "b")
	for _, s := range p.Servers() {
		p.Probed(start, s, ok)
	}
	want := func(what string, at time.Duration, share, most int) {
		t.Helper()
		p.Tick(start.Add(at))
		if got := b.Share(); got != share || int(b.most.Load()) != most {
			t.Errorf("%s: share %d, %d requests at most; want %d, %d", what, got, b.most.Load(), share, most)
		}
	}
	want("at the start of the process", time.Second, 100, 50)
	p.Probed(start.Add(2*time.Second), b, fail)
	p.Probed(start.Add(3*time.Second), b, ok)
	want("as it comes back", 3*time.Second+200*ms, 10, 5)
	want("after a tenth", 4*time.Second, 10, 5)
	want("after half", 8*time.Second, 50, 25)
	want("a moment later, less than a step", 8*time.Second+50*ms, 50, 25)
	want("at the end", 13*time.Second, 100, 50)
	if got := a.Share(); got != 200 {
		t.Errorf("the other's share = %d, want 200", got)
	}
	p.Update(start.Add(20*time.Second), specs("a:2 b c"))
	p.Probed(start.Add(20*time.Second), p.server(t, "c"), ok)
	p.Tick(start.Add(21 * time.Second))
	if got := p.server(t, "c").Share(); got != 10 {
		t.Errorf("the share of one that is added = %d, want 10", got)
	}
}

func TestFailOpen(t *testing.T) {
	for _, tt := range []struct {
		name    string
		share   int
		servers string
		down    int // of them, the first ones
		want    int // how many get requests
		opened  bool
	}{
		{"all are up", 0, "a b c d", 0, 4, false},
		{"one is left", 0, "a b c d", 3, 1, false},
		{"none is left", 0, "a b c d", 4, 4, true},
		{"none is left, never open", -1, "a b c d", 4, 0, false},
		{"more than the share", 50, "a b c d", 1, 3, false},
		{"the share", 50, "a b c d", 2, 4, true},
		{"a server without weight counts as none", 50, "a b c:0 d:0", 1, 2, true},
		{"with all up and a high share", 99, "a b", 0, 2, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p := New(start, Spec{Name: "app", Policy: &inOrder{}, Servers: specs(tt.servers), Health: &health.Settings{Fall: 1, Rise: 1}, FailOpen: tt.share})
			for i, s := range p.Servers() {
				r := ok
				if i < tt.down {
					r = fail
				}
				p.Probed(start, s, r)
			}
			p.Tick(start.Add(time.Second))
			if n := p.Usable(); n != tt.want {
				t.Errorf("servers that get requests = %d, want %d", n, tt.want)
			}
			if got := p.Opened(); got != tt.opened {
				t.Errorf("Opened = %v, want %v", got, tt.opened)
			}
		})
	}
}

// While the first round of probes is not over nothing is known to be wrong with the rest: those that are down get nothing.
func TestFailOpenWaitsForTheFirstRound(t *testing.T) {
	p := New(start, Spec{Name: "app", Policy: &inOrder{}, Servers: specs("a b"), Health: &health.Settings{Fall: 1, Rise: 1}})
	p.Probed(start, p.server(t, "a"), fail)
	if got := pick(p, &Query{}); got != ErrNoServer.Error() {
		t.Errorf("Acquire after the first probe failed = %s, want %v", got, ErrNoServer)
	}
	p.Probed(start, p.server(t, "b"), fail)
	p.Tick(start.Add(time.Second))
	if got := pick(p, &Query{}); got != "a" {
		t.Errorf("Acquire after all failed = %s, want a", got)
	}
	p.Probed(start.Add(2*time.Second), p.server(t, "b"), ok)
	p.Tick(start.Add(3 * time.Second))
	if got := pick(p, &Query{}); got != "b" {
		t.Errorf("Acquire as b is up = %s, want b", got)
	}
}

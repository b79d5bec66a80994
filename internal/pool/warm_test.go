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

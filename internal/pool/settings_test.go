package pool

import (
	"testing"
	"time"

	"poise/internal/clock"
	"poise/internal/health"
)

func TestConfigureKeepsServersAndTakesSettings(t *testing.T) {
	now := clock.Instant(time.Hour)
	spec := Spec{Policy: &inOrder{}, Servers: specs("a b"), Health: &health.Settings{Fall: 1}, Budget: Budget{Share: 20, Floor: 3}, Loops: 1}
	p := New(now, spec)
	a, b := p.Servers()[0], p.Servers()[1]
	p.Probed(now, a, health.Result{OK: true, Duration: 1})
	p.Probed(now, b, health.Result{Reason: "refused", Duration: 1})
	lease, err := p.Acquire(now, &Query{})
	if err != nil {
		t.Fatal(err)
	}

	next := Spec{Policy: &inOrder{}, Servers: specs("a b c"), Health: &health.Settings{Fall: 2, Rise: 2}, Eject: Eject{Failures: 1, MaxShare: 100, Time: time.Second, MaxTime: time.Second}}
	added, removed, events := p.Configure(now, next)
	if len(added) != 1 || added[0].Name != "c" || len(removed) != 0 || len(events) != 0 {
		t.Errorf("Configure = added %v, removed %v, events %v; want c added alone", added, removed, events)
	}
	if p.Servers()[0] != a || a.State() != health.Up || b.State() != health.Down || a.InFlight() != 1 {
		t.Errorf("a is %v with %d in flight, b %v; want them as before: up with 1, down", a.State(), a.InFlight(), b.State())
	}
	if p.MayRepeat(now, 0) {
		t.Error("MayRepeat = true, want false: the pool has no budget any more")
	}
	if _, turned := p.Probed(now, a, health.Result{Reason: "refused", Duration: 1}); turned {
		t.Error("one failed probe changes a's state, want the new settings' two")
	}
	if e, turned := p.Probed(now, a, health.Result{Reason: "refused", Duration: 1}); !turned || e.To != health.Down {
		t.Errorf("the second failed probe: %v, %v; want a down", e.To, turned)
	}

	next.Health, next.Servers = nil, specs("a b")
	_, removed, events = p.Configure(now, next)
	if len(removed) != 1 || len(events) != 2 || a.State() != health.Up || b.State() != health.Up {
		t.Errorf("without health: removed %d, %d events, a %v, b %v; want 1, 2, up, up", len(removed), len(events), a.State(), b.State())
	}
	lease.Tell(Broken, 0) // the new rule holds for leases of before too
	if events := p.Tick(now); len(events) != 1 || events[0].To != health.Ejected {
		t.Errorf("Tick after a failure = %v, want a ejected", events)
	}
	lease.End()
}

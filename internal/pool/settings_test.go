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

// What was not in the file before is not undone by a new one: what a person, the agent and failures brought about, with its time.
func TestConfigureLeavesWhatOthersDid(t *testing.T) {
	probes := &health.Settings{Fall: 1, Rise: 2}
	before := Spec{Policy: &inOrder{}, Servers: specs("a b"), Health: probes, FailOpen: -1}
	otherServers, otherHealth, noHealth := before, before, before
	otherServers.Servers = specs("c b a:3") // in another order, too
	otherHealth.Health = &health.Settings{Fall: 7, Rise: 2, Interval: time.Minute}
	noHealth.Health = nil
	for name, next := range map[string]Spec{"the same": before, "other servers": otherServers, "other probes": otherHealth, "no probes": noHealth} {
		for _, tt := range []struct {
			step, during string // Condition
			share        int    // in hundredths of the weight
			after        string // Condition 30 minutes and one hour after the step
		}{
			{"order:drain", "draining", 100, "maint maint"},
			{"order:maint", "maint", 100, "maint maint"},
			{"drain_20%", "draining", 20, "draining draining"},
			{"maint_20%", "maint", 20, "maint maint"},
			{"down_300%_#disk", "down", 300, "down down"},
			{"0%", "draining", 1, "draining draining"},
			{"eject", "ejected", 100, "ejected up"},
		} {
			t.Run(name+"/"+tt.step, func(t *testing.T) {
				p := New(start, before)
				a, now := p.server(t, "a"), start.Add(time.Second)
				p.Probed(now, a, ok)
				p.Probed(now, p.server(t, "b"), ok)
				p.happens(now, a, tt.step)
				if tt.step == "order:drain" {
					p.Order(now, a, Draining, 20*time.Minute)
				}
				said := p.Agent(a)
				p.Configure(now.Add(10*time.Minute), next)
				if got := a.Condition(); got != tt.during || p.Since(a) != now {
					t.Errorf("it is %s since %v, want %s since %v", got, p.Since(a), tt.during, now)
				}
				if got := a.Share() / a.Weight(); got != tt.share {
					t.Errorf("its share is %d%% of its weight, want %d%%", got, tt.share)
				}
				if got := p.Agent(a); got != said {
					t.Errorf("of its agent is known %v, want %v", got, said)
				}
				p.Tick(now.Add(30 * time.Minute))
				half := a.Condition()
				p.Tick(now.Add(time.Hour))
				if got := half + " " + a.Condition(); got != tt.after {
					t.Errorf("later it is %s, want %s", got, tt.after)
				}
			})
		}
	}
}

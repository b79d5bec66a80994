package pool

import (
	"errors"
	"testing"
	"time"

	"poise/internal/health"
)

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

// trial is a pool whose servers are all down by their probes.
func trial(t *testing.T, words string, spec Spec) *Pool {
	t.Helper()
	spec.Name, spec.Policy, spec.Servers, spec.Health = "app", &inOrder{}, specs(words), probedOnce()
	p := New(start, spec)
	for _, s := range p.Servers() {
		p.Probed(start, s, fail)
	}
	p.Tick(start)
	if !p.Opened() {
		t.Fatal("the pool is not open although all are down")
	}
	return p
}

// acquire takes a lease of the server that it must be.
func acquire(t *testing.T, p *Pool, want string) *Lease {
	t.Helper()
	l, err := p.Acquire(start, &Query{})
	if err != nil || l.Server().Name != want {
		t.Fatalf("Acquire() = %v, %v, want %s", l.Server(), err, want)
	}
	return &l
}

func refused(t *testing.T, p *Pool, what string) {
	t.Helper()
	if l, err := p.Acquire(start, &Query{}); !errors.Is(err, ErrNoServer) {
		t.Errorf("%s: Acquire() = %v, %v, want %v", what, l.Server(), err, ErrNoServer)
	}
}

// Servers that are down have one request at a time, and nobody waits for them, until one has answered. After one that failed they rest.
func TestTrial(t *testing.T) {
	told := 0
	p := trial(t, "a b", Spec{Queue: Queue{Length: 9}, Notify: func() { told++ }})
	at := start
	tick := func(d time.Duration) { at = at.Add(d); p.Tick(at) }
	first, second := acquire(t, p, "a"), acquire(t, p, "b")
	refused(t, p, "while both have one")
	first.Tell(Broken, 100*ms)
	first.End()
	refused(t, p, "just after one has failed")
	tick(RebuildEvery)
	p.Update(at, specs("a b")) // changes nothing
	tick(restTimes*100*ms - ms)
	refused(t, p, "until its rest is over")
	tick(ms)
	first = acquire(t, p, "a")
	refused(t, p, "after the rest")
	if told != 0 {
		t.Errorf("asked for a Tick %d times although nothing is new", told)
	}
	first.Tell(Errored, ms)
	first.End()
	if told != 1 {
		t.Errorf("asked for a Tick %d times, want once, as one has answered", told)
	}
	tick(RebuildEvery)
	leases := []*Lease{acquire(t, p, "a"), acquire(t, p, "a"), acquire(t, p, "a")}
	leases[0].Tell(Unknown, 0)
	leases[0].Tell(Outrun, 0)
	tick(RebuildEvery)
	leases = append(leases, acquire(t, p, "a"))
	leases[1].Tell(Broken, time.Hour) // while it is no trial
	tick(RebuildEvery)
	refused(t, p, "as the one that answered does not any more, with more than one under way")
	for _, l := range leases {
		l.End()
	}
	first = acquire(t, p, "a")
	refused(t, p, "with one each again")
	first.Tell(Broken, time.Hour)
	first.End()
	second.End()
	acquire(t, p, "b")
	tick(RebuildEvery)
	tick(mostRest)
	acquire(t, p, "a")
	refused(t, p, "after the longest rest")
}

// A server that has answered since its probes began to fail is no trial: what probes say is wrong then.
func TestNoTrialOfAServerThatAnswers(t *testing.T) {
	p := New(start, Spec{Name: "app", Policy: &inOrder{}, Servers: specs("a"), Health: &health.Settings{Fall: 2, Rise: 2}})
	a := p.server(t, "a")
	at := start
	probe := func(r health.Result) { at = at.Add(RebuildEvery); p.Probed(at, a, r); p.Tick(at) }
	answer := func() { l := acquire(t, p, "a"); l.Tell(Good, ms); l.End() }
	probe(ok)
	answer()
	probe(fail)
	answer()
	probe(fail)
	if a.State() != health.Down {
		t.Fatalf("state = %v, want down", a.State())
	}
	acquire(t, p, "a")
	acquire(t, p, "a")
	// A passed probe between failing ones begins no new trial.
	probe(ok)
	probe(fail)
	acquire(t, p, "a")
	// Up again, and down without having answered since.
	probe(ok)
	probe(ok)
	probe(fail)
	probe(fail)
	refused(t, p, "with three under way")
}

// Where some are up, those on trial have one request each beside them, and a request that has tried the others does not wait for those.
func TestTrialBesideOthers(t *testing.T) {
	p := New(start, Spec{Name: "app", Policy: &inOrder{}, Servers: specs("a b"), Health: probedOnce(), FailOpen: 50, Queue: Queue{Length: 9}})
	p.Probed(start, p.server(t, "a"), fail)
	p.Probed(start, p.server(t, "b"), ok)
	p.Tick(start.Add(RebuildEvery))
	acquire(t, p, "a")
	acquire(t, p, "b")
	acquire(t, p, "b")
	q := &Query{}
	q.Tried.Add(p.server(t, "b"))
	if _, err := p.Acquire(start, q); !errors.Is(err, ErrNoServer) {
		t.Errorf("Acquire() after b = %v, want %v", err, ErrNoServer)
	}
	p.Probed(start.Add(time.Second), p.server(t, "a"), ok)
	p.Tick(start.Add(2 * time.Second))
	acquire(t, p, "a")
}

// Who waits beside a server that rests has it when its rest is over.
func TestTrialEndsAWait(t *testing.T) {
	list := specs("a b")
	list[1].MaxRequests = 1
	p := New(start, Spec{Name: "app", Policy: &inOrder{}, Servers: list, Health: probedOnce(), FailOpen: 50, Queue: Queue{Length: 9}})
	p.Probed(start, p.server(t, "a"), fail)
	p.Probed(start, p.server(t, "b"), ok)
	p.Tick(start.Add(RebuildEvery))
	failed := acquire(t, p, "a")
	failed.Tell(Broken, 100*ms)
	failed.End()
	acquire(t, p, "b")
	w, q, told := Waiter{}, Query{}, false
	if _, err := p.Acquire(start, &q); !errors.Is(err, ErrFull) {
		t.Fatalf("Acquire() = %v, want %v", err, ErrFull)
	}
	p.Join(&w, &q, func() { told = true })
	at := start.Add(2 * RebuildEvery)
	p.Tick(at)
	p.Tick(at.Add(restTimes*100*ms - ms))
	if told {
		t.Error("it was told something before the rest is over")
	}
	p.Tick(at.Add(restTimes * 100 * ms))
	if lease, got := p.Withdraw(&w); !told || !got || lease.Server().Name != "a" {
		t.Errorf("told %t, lease on %v; want a", told, lease.Server())
	}
}

// An agent's word is no reason for a trial: requests say nothing of what it knows.
func TestNoTrialForAnAgent(t *testing.T) {
	p := New(start, Spec{Name: "app", Policy: &inOrder{}, Servers: specs("a")})
	p.Heard(start, p.server(t, "a"), "down\n")
	p.Tick(start.Add(RebuildEvery))
	acquire(t, p, "a")
	acquire(t, p, "a")
}

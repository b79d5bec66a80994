package pool

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"poise/internal/clock"
	"poise/internal/health"
)

// A server gets requests as far as its probes, its agent and a person's order all allow it, and none of them undoes what another one did.
func TestProbesAgentAndOrdersTogether(t *testing.T) {
	for _, tt := range []struct {
		name   string
		steps  string // one after the other, as happens knows them
		state  string // Condition
		others string // of a new client, and of one that is tied to the server; the server is a, the other one b
	}{
		{"nothing is said", "ok", "up", "a a"},
		{"the agent says up", "ok up_100%", "up", "a a"},
		{"down by the agent", "ok down", "down", "b b"},
		{"down and up by the agent", "ok down up", "up", "a a"},
		{"ready is no up", "ok down ready", "down", "b b"},
		{"up is no ready", "ok drain up", "draining", "b a"},
		{"probes do not undo the agent's down", "ok down fail ok", "down", "b b"},
		{"the agent's up does not undo the probes' down", "ok fail down up", "down", "b b"},
		{"both are needed", "ok fail down up ok", "up", "a a"},
		{"down and no first probe in time", "down", "down", "b b"},
		{"down before the first probe passes", "down ok", "down", "b b"},
		{"an ejected one is down", "ok eject down", "down", "b b"},
		{"and ejected again once the agent says up", "ok eject down up", "ejected", "b b"},
		{"drain by the agent", "ok drain", "draining", "b a"},
		{"drain and ready by the agent", "ok drain ready", "up", "a a"},
		{"a share of nothing drains", "ok 0%", "draining", "b a"},
		{"ready does not undo it", "ok 0% ready", "draining", "b a"},
		{"a share does", "ok 0% 1%", "up", "a a"},
		{"maint by the agent", "ok maint", "maint", "b b"},
		{"maint and ready by the agent", "ok maint ready", "up", "a a"},
		{"the agent does not undo a person's order", "ok order:maint ready_up", "maint", "b b"},
		{"a person does not undo the agent's", "ok drain order:ready", "draining", "b a"},
		{"the stricter one counts", "ok order:drain maint", "maint", "b b"},
		{"also when it is the person's", "ok drain order:maint", "maint", "b b"},
		{"and the other one is left when it ends", "ok drain order:maint order:ready", "draining", "b a"},
		{"what nobody knows", "ok drain hello", "draining", "b a"},
		{"nothing at all", "ok drain _", "draining", "b a"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p, _ := newPool("a b", &health.Settings{Fall: 1, Rise: 1})
			a, now := p.server(t, "a"), start
			p.Probed(now, p.server(t, "b"), ok)
			for step := range strings.FieldsSeq(tt.steps) {
				now = now.Add(time.Second)
				p.happens(now, a, step)
			}
			p.Tick(now.Add(time.Second))
			if got := a.Condition(); got != tt.state {
				t.Errorf("it is %s, want %s", got, tt.state)
			}
			if got := pick(p, &Query{}) + " " + pick(p, &Query{Prefer: a}); got != tt.others {
				t.Errorf("a new client and a tied one get %s, want %s", got, tt.others)
			}
		})
	}
}

// happens has a step come to s: ok and fail are probes, eject, order:…, anything else is what the agent answers, with _ for a space.
func (p *Pool) happens(now clock.Instant, s *Server, step string) {
	switch word, order, _ := strings.Cut(step, ":"); word {
	case "ok":
		p.Probed(now, s, ok)
	case "fail":
		p.Probed(now, s, fail)
	case "eject":
		p.mu.Lock()
		defer p.mu.Unlock()
		e, _ := s.machine.Eject(now, health.Ejection{Time: time.Hour, MaxTime: time.Hour}, "they fail")
		p.turned(now, s, e)
	case "order":
		p.Order(now, s, map[string]Order{"ready": Ready, "drain": Draining, "maint": Maint}[order], 0)
	default:
		p.Heard(now, s, strings.ReplaceAll(step, "_", " "))
	}
}

// A condition begins when it begins to show, whoever brings it about, and goes on when another one wants the same.
func TestSince(t *testing.T) {
	p, _ := newPool("a b", &health.Settings{Fall: 1, Rise: 1})
	a, now, began := p.server(t, "a"), start, start
	if got := p.Since(a); got != start || a.Condition() != "checking" {
		t.Errorf("at first it is %s since %v, want checking since %v", a.Condition(), got, start)
	}
	for _, s := range []struct {
		step, condition string
		begins          bool
	}{
		{"ok", "up", true},
		{"ok", "up", false},
		{"100%", "up", false},
		{"drain", "draining", true},
		{"0%", "draining", false},
		{"ok", "draining", false},
		{"order:drain", "draining", false},
		{"ready_100%", "draining", false}, // of a person
		{"fail", "draining", false},       // what it is besides does not show
		{"order:ready", "down", true},
		{"down", "down", false},
		{"ok", "down", false}, // of the agent
		{"order:maint", "maint", true},
		{"maint", "maint", false},
		{"up_ready", "maint", false},
		{"order:ready", "up", true},
		{"down", "down", true},
		{"up", "up", true},
		{"eject", "ejected", true},
		{"down", "down", true},
		{"up", "ejected", true},
		{"ok", "up", true},
	} {
		now = now.Add(time.Second)
		p.happens(now, a, s.step)
		if s.begins {
			began = now
		}
		if got := p.Since(a); got != began || a.Condition() != s.condition {
			t.Errorf("after %s at %v it is %s since %v, want %s since %v", s.step, now, a.Condition(), got, s.condition, began)
		}
	}
	p.Order(now, a, Draining, time.Minute)
	p.Tick(now.Add(61 * time.Second))
	if got, want := p.Since(a), now.Add(61*time.Second); got != want || a.Condition() != "maint" {
		t.Errorf("its time to drain is over: it is %s since %v, want maint since %v", a.Condition(), got, want)
	}
}

func TestAgentsEvents(t *testing.T) {
	p, _ := newPool("a b", &health.Settings{Fall: 1, Rise: 1})
	a := p.server(t, "a")
	p.Probed(start, a, ok)
	for _, step := range []struct{ answer, want, unknown string }{
		{"down #disk full", "up-down ready-ready its agent says so: disk full", ""},
		{"down #disk very full", "", ""},
		{"drain up 40%", "down-up ready-ready its agent says so, up-up ready-draining its agent says so", ""},
		{"50% hello you", "", "hello you"},
		{"50% hello you", "", ""},
		{"60% hello you", "", ""},
		{"hello", "", "hello"},
		{"", "", ""},
		{"hello ready", "up-up draining-ready its agent says so", "hello"},
	} {
		events, unknown := p.Heard(start, a, step.answer)
		var got []string
		for _, e := range events {
			got = append(got, fmt.Sprintf("%v-%v %v-%v %s", e.From, e.To, e.Was, e.Order, e.Reason))
		}
		if text := strings.Join(got, ", "); text != step.want || strings.Join(unknown, " ") != step.unknown {
			t.Errorf("after %q: %q, unknown %q; want %q, %q", step.answer, text, unknown, step.want, step.unknown)
		}
	}
	p.Heard(start, a, "down")
	p.Probed(start, a, fail)
	if e, _ := p.Probed(start, a, ok); e.Reason != "probes succeed; its agent keeps it down" {
		t.Errorf("the reason of a change without effect = %q", e.Reason)
	}
	p.Update(start, specs("b"))
	if events, unknown := p.Heard(start, a, "up hello"); len(events)+len(unknown) > 0 {
		t.Errorf("of a server that was removed: %v, %v; want nothing", events, unknown)
	}
}

func TestForgetUndoesWhatAgentsDid(t *testing.T) {
	p, _ := newPool("a b c", nil)
	p.Heard(start, p.server(t, "a"), "down maint 10% maxconn:1")
	p.Heard(start, p.server(t, "b"), "drain")
	p.Tick(start.Add(time.Second))
	if s := p.server(t, "a"); s.Share() != 10 || s.most.Load() != 1 {
		t.Errorf("as its agent says a's share = %d, its limit %d; want 10 and 1", s.Share(), s.most.Load())
	}
	events := p.Forget(start.Add(time.Second))
	if len(events) != 3 || !slices.Equal(p.usableNow(), []string{"a", "b", "c"}) || p.Agent(p.server(t, "a")) != (health.Agent{}) {
		t.Errorf("%d events, usable %v, a's agent %v; want 3, all, nothing", len(events), p.usableNow(), p.Agent(p.server(t, "a")))
	}
	if s := p.server(t, "a"); s.Share() != 100 || s.most.Load() != 0 {
		t.Errorf("a's share = %d, its limit %d; want 100 and none", s.Share(), s.most.Load())
	}
}

// An agent that is asked again after a while is heard as if it were new.
func TestForgetAlsoWhatMeantNothing(t *testing.T) {
	p, _ := newPool("a b", nil)
	for range 2 {
		if _, unknown := p.Heard(start, p.server(t, "a"), "hello"); len(unknown) != 1 {
			t.Errorf("unknown = %q, want hello", unknown)
		}
		p.Forget(start)
	}
}

func (p *Pool) usableNow() (list []string) {
	for _, l := range p.view.Load().levels {
		for _, s := range l.servers {
			list = append(list, s.Name)
		}
	}
	return list
}

// What an agent changes shows at once, or with the next rebuild: never sooner than RebuildEvery after the one before.
func TestAgentsCannotHurry(t *testing.T) {
	p, policy := newPool("a b", nil)
	now, before := start.Add(time.Second), policy.builds
	for i := range 100 {
		p.Heard(now.Add(time.Duration(i)*ms), p.server(t, "a"), fmt.Sprintf("%d%%", i+1))
	}
	p.Tick(now.Add(100 * ms))
	if rebuilds := (policy.builds - before) / 2; rebuilds != 2 { // two loops
		t.Errorf("100 answers within 100 ms led to %d rebuilds, want 2", rebuilds)
	}
	if got := p.server(t, "a").Share(); got != 100 {
		t.Errorf("share = %d, want 100", got)
	}
}

func TestAgentsNumbers(t *testing.T) {
	for _, tt := range []struct {
		name      string
		weight    int
		limit     int
		answer    string
		age       time.Duration // since its slow start of 10 s
		share     int
		inFlight  int // at most
		unlimited bool
	}{
		{"nothing", 2, 20, "up", time.Hour, 200, 20, false},
		{"half", 2, 20, "50%", time.Hour, 100, 20, false},
		{"twice", 2, 20, "200%", time.Hour, 400, 20, false},
		{"more than a server may weigh", 2, 20, "9999999%", time.Hour, 256 * 100, 20, false},
		{"half, and half warm", 2, 20, "50%", 5 * time.Second, 50, 10, false},
		{"hardly anything", 2, 20, "1%", time.Second, 2, 2, false},
		{"nothing, for those who are tied to it", 2, 20, "0%", time.Hour, 2, 20, false},
		{"a lower limit", 1, 20, "maxconn:5", time.Hour, 100, 5, false},
		{"a higher limit", 1, 20, "maxconn:50", time.Hour, 100, 20, false},
		{"a limit where none is configured", 1, 0, "maxconn:50", time.Hour, 100, 50, false},
		{"no limit", 1, 0, "maxconn:0", time.Hour, 100, 0, true},
		{"a lower limit, half warm", 1, 20, "maxconn:10", 5 * time.Second, 100 / 2, 5, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			list := []ServerSpec{{Address: "a", Weight: tt.weight, MaxRequests: tt.limit}}
			p := New(start, Spec{Name: "app", Policy: &inOrder{}, Servers: list, Health: &health.Settings{Fall: 1, Rise: 1}, SlowStart: 10 * time.Second})
			a, back := p.server(t, "a"), start.Add(time.Minute)
			p.Probed(start, a, ok)
			p.Probed(start, a, fail)
			p.Probed(back, a, ok)
			p.Heard(back, a, tt.answer)
			p.Tick(back.Add(tt.age))
			if got := a.Share(); got != tt.share {
				t.Errorf("share = %d, want %d", got, tt.share)
			}
			if got := int(a.most.Load()); got != tt.inFlight {
				t.Errorf("requests in flight at most = %d, want %d", got, tt.inFlight)
			}
			tied := Query{Prefer: a}
			for range tt.inFlight {
				if _, err := p.Acquire(start, &tied); err != nil {
					t.Fatal(err)
				}
			}
			if _, err := p.Acquire(start, &tied); (err == nil) != tt.unlimited {
				t.Errorf("one more: %v, want unlimited %v", err, tt.unlimited)
			}
		})
	}
}

// Servers that agents take down are like those that probes took down: when none is left, all get requests.
func TestFailOpenWithAgents(t *testing.T) {
	p := New(start, Spec{Name: "app", Policy: &inOrder{}, Servers: specs("a b c")})
	p.Heard(start, p.server(t, "a"), "down")
	p.Heard(start, p.server(t, "b"), "down")
	p.Heard(start, p.server(t, "c"), "maint")
	p.Tick(start.Add(time.Second))
	if got := p.usableNow(); !slices.Equal(got, []string{"a", "b"}) {
		t.Errorf("usable = %v, want a and b: c is out by order", got)
	}
}

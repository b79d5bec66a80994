package health

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"poise/internal/clock"
)

const second = clock.Instant(time.Second)

// step is one event in a machine's life, half a second after the one before, and what it shall lead to.
type step struct {
	event string // ok, fail, hang (a failure that took the whole timeout), expire
	state State
	why   string // the change's reason; empty: no change
}

func TestMachine(t *testing.T) {
	tests := []struct {
		name     string
		settings Settings
		atStart  bool
		steps    []step
	}{
		{"first success decides at start", Settings{Rise: 5}, true, []step{
			{"ok", Up, "first probe succeeded"}, {"ok", Up, ""},
		}},
		{"first failure decides at start", Settings{Fall: 5}, true, []step{
			{"fail", Down, "refused"}, {"fail", Down, ""},
		}},
		{"first success decides for a later server", Settings{Rise: 5}, false, []step{
			{"ok", Up, "first probe succeeded"},
		}},
		{"fall and rise count in a row", Settings{Fall: 3, Rise: 2}, true, []step{
			{"ok", Up, "first probe succeeded"},
			{"fail", Up, ""},
			{"fail", Up, ""},
			{"ok", Up, ""},
			{"fail", Up, ""},
			{"fail", Up, ""},
			{"fail", Down, "refused"},
			{"fail", Down, ""},
			{"ok", Down, ""},
			{"fail", Down, ""},
			{"ok", Down, ""},
			{"ok", Up, "probes succeed"},
		}},
		{"defaults are fall 3, rise 2", Settings{}, true, []step{
			{"ok", Up, "first probe succeeded"},
			{"fail", Up, ""},
			{"fail", Up, ""},
			{"fail", Down, "refused"},
			{"ok", Down, ""},
			{"ok", Up, "probes succeed"},
		}},
		{"no result in time is up at start", Settings{Timeout: time.Second}, true, []step{
			{"expire", Checking, ""}, {"expire", Up, "no probe result within 1s"}, {"expire", Up, ""},
		}},
		{"no result in time is down later", Settings{Timeout: time.Second}, false, []step{
			{"expire", Checking, ""}, {"expire", Down, "no probe result within 1s"},
		}},
		{"a late first failure still decides", Settings{Timeout: time.Second, Fall: 3}, true, []step{
			{"expire", Checking, ""}, {"expire", Up, "no probe result within 1s"}, {"fail", Down, "refused"},
		}},
		{"a late first success still decides", Settings{Timeout: time.Second, Rise: 3}, false, []step{
			{"expire", Checking, ""}, {"expire", Down, "no probe result within 1s"}, {"ok", Up, "first probe succeeded"},
		}},
		{"a hanging first probe is no result at start", Settings{Timeout: time.Second, Fall: 3}, true, []step{
			{"hang", Up, "timed out"}, {"expire", Up, ""}, {"fail", Up, ""}, {"fail", Down, "refused"},
		}},
		{"a hanging first probe is no result later", Settings{Timeout: time.Second, Rise: 2}, false, []step{
			{"hang", Down, "timed out"}, {"ok", Down, ""}, {"ok", Up, "probes succeed"},
		}},
		{"a hanging first probe after its time was up", Settings{Timeout: time.Second, Fall: 2}, true, []step{
			{"expire", Checking, ""}, {"expire", Up, "no probe result within 1s"}, {"hang", Up, ""}, {"hang", Down, "timed out"},
		}},
		{"a result in time leaves nothing to expire", Settings{Timeout: time.Second}, false, []step{
			{"ok", Up, "first probe succeeded"}, {"expire", Up, ""}, {"expire", Up, ""},
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			now := 10 * second
			m := New(now, &tt.settings, tt.atStart)
			if m.State() != Checking || m.Known() || m.Usable() {
				t.Fatalf("new machine is %v, want checking", m.State())
			}
			for i, s := range tt.steps {
				now = now.Add(500 * time.Millisecond)
				from := m.State()
				got, changed := apply(&m, now, s.event)
				want := Event{}
				if s.why != "" {
					want = Event{At: now, From: from, To: s.state, Reason: s.why}
				}
				if m.State() != s.state || changed != (s.why != "") || got != want {
					t.Fatalf("step %d, %s: state %v, event %+v; want %v, %+v", i, s.event, m.State(), got, s.state, want)
				}
				if m.Usable() != (s.state == Up) || m.Known() != (s.state != Checking) {
					t.Errorf("step %d: Usable = %v, Known = %v in state %v", i, m.Usable(), m.Known(), s.state)
				}
			}
		})
	}
}

func apply(m *Machine, now clock.Instant, event string) (Event, bool) {
	switch event {
	case "ok":
		return m.Probed(now, Result{OK: true, Reason: "status 200", Duration: time.Millisecond})
	case "fail":
		return m.Probed(now, Result{Reason: "refused", Duration: time.Millisecond})
	case "hang":
		return m.Probed(now, Result{Reason: "timed out", Duration: time.Second})
	case "expire":
		return m.Expire(now)
	}
	panic("unknown event " + event)
}

func TestMachineWithoutSettingsIsUp(t *testing.T) {
	m := New(second, nil, false)
	if _, changed := m.Expire(100 * second); changed || m.State() != Up || !m.Known() {
		t.Errorf("machine without settings: state %v, changed %v; want up, false", m.State(), changed)
	}
}

func TestDeadline(t *testing.T) {
	m := New(5*second, &Settings{Timeout: 2 * time.Second}, true)
	overdue := m
	if _, changed := overdue.Expire(7*second - 1); changed {
		t.Error("Expire before the deadline changes the state")
	}
	if _, changed := overdue.Expire(7 * second); !changed {
		t.Error("Expire at the deadline changes nothing")
	}
	if _, probed := m.Last(); probed {
		t.Error("Last() before the first result reports one")
	}
	r := Result{OK: true, Reason: "connected", Duration: 3}
	m.Probed(6*second, r)
	if _, changed := m.Expire(100 * second); changed {
		t.Error("Expire after a result changes the state")
	}
	if got, probed := m.Last(); !probed || got != r {
		t.Errorf("Last() = %+v, %v, want %+v", got, probed, r)
	}
}

// TestPace: a row that has begun, in either direction, and an ejection make it fast.
func TestPace(t *testing.T) {
	const slow, fast = 8 * time.Second, 2 * time.Second
	type step struct {
		event string
		state State
		pace  time.Duration
	}
	for name, steps := range map[string][]step{
		"falls and rises": {
			{"ok", Up, slow},
			{"fail", Up, fast},
			{"ok", Up, slow}, // the row is over
			{"fail", Up, fast},
			{"fail", Up, fast},
			{"fail", Down, slow},
			{"fail", Down, slow},
			{"ok", Down, fast},
			{"fail", Down, slow},
			{"ok", Down, fast},
			{"ok", Up, slow},
		},
		"starts with a failure":          {{"fail", Down, slow}, {"ok", Down, fast}, {"ok", Up, slow}},
		"starts with a probe that hangs": {{"hang", Up, fast}, {"ok", Up, slow}},
		"is ejected": {
			{"ok", Up, slow},
			{"eject", Ejected, fast},
			{"fail", Ejected, fast},
			{"ok", Ejected, fast},
			{"ok", Up, slow},
			{"eject", Ejected, fast},
			{"fail", Ejected, fast},
			{"fail", Ejected, fast},
			{"fail", Down, slow},
		},
	} {
		t.Run(name, func(t *testing.T) {
			now := 10 * second
			m := New(now, &Settings{Interval: slow, FastInterval: fast, Timeout: time.Second}, true)
			if m.Pace() != slow {
				t.Errorf("Pace at first = %v, want %v", m.Pace(), slow)
			}
			for i, s := range steps {
				now += second
				if s.event == "eject" {
					m.Eject(now, Ejection{Time: time.Hour, MaxTime: time.Hour}, "")
				} else {
					apply(&m, now, s.event)
				}
				if m.State() != s.state || m.Pace() != s.pace {
					t.Errorf("step %d, %s: %v, pace %v, want %v, %v", i, s.event, m.State(), m.Pace(), s.state, s.pace)
				}
			}
		})
	}
}

// TestPaceWhileDown: a server that is down and stays so has a pace of its own; one that begins to rise does not, unless that is the shorter one.
func TestPaceWhileDown(t *testing.T) {
	const slow, fast = 8 * time.Second, 2 * time.Second
	for name, tt := range map[string]struct{ down, stays, rises time.Duration }{
		"not set": {0, slow, fast},
		"longer":  {time.Minute, time.Minute, fast},
		"shorter": {4 * time.Second, 4 * time.Second, fast},
		"fastest": {time.Second, time.Second, time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			now := 10 * second
			m := New(now, &Settings{Interval: slow, FastInterval: fast, DownInterval: tt.down, Timeout: time.Second, Fall: 2}, true)
			for i, s := range []struct {
				event string
				state State
				pace  time.Duration
			}{
				{"ok", Up, slow},
				{"fail", Up, fast},
				{"fail", Down, tt.stays},
				{"fail", Down, tt.stays},
				{"ok", Down, tt.rises},
				{"fail", Down, tt.stays},
				{"ok", Down, tt.rises},
				{"ok", Up, slow},
			} {
				now += second
				apply(&m, now, s.event)
				if m.State() != s.state || m.Pace() != s.pace {
					t.Errorf("step %d, %s: %v, pace %v, want %v, %v", i, s.event, m.State(), m.Pace(), s.state, s.pace)
				}
			}
		})
	}
}

func TestWithDefaults(t *testing.T) {
	want := Settings{Interval: 2 * time.Second, FastInterval: 500 * time.Millisecond, DownInterval: 2 * time.Second, Timeout: time.Second, Fall: 3, Rise: 2}
	if diff := cmp.Diff(want, Settings{}.WithDefaults()); diff != "" {
		t.Errorf("Settings{}.WithDefaults() (-want +got):\n%s", diff)
	}
	full := Settings{Interval: 2, FastInterval: 1, DownInterval: 3, Timeout: 2, Fall: 4, Rise: 5}
	if got := full.WithDefaults(); got != full {
		t.Errorf("%+v.WithDefaults() = %+v, want it unchanged", full, got)
	}
	const ms = time.Millisecond
	for _, tt := range []struct{ interval, set, want time.Duration }{
		{time.Minute, 0, 15 * time.Second},
		{200 * ms, 0, 100 * ms}, // the least
		{20 * ms, 0, 20 * ms},   // never longer than the interval
		{time.Second, 2 * time.Second, time.Second},
		{time.Second, 20 * ms, 20 * ms},
	} {
		if got := (Settings{Interval: tt.interval, FastInterval: tt.set}).WithDefaults().FastInterval; got != tt.want {
			t.Errorf("interval %v with a fast one of %v: %v, want %v", tt.interval, tt.set, got, tt.want)
		}
	}
}

func TestStateNames(t *testing.T) {
	for s, want := range map[State]string{Checking: "checking", Up: "up", Down: "down", Ejected: "ejected", Ejected + 1: "unknown"} {
		if got := s.String(); got != want {
			t.Errorf("State(%d).String() = %q, want %q", s, got, want)
		}
	}
}

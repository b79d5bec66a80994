package health

import (
	"time"

	"poise/internal/clock"
)

// Machine is the health of one server.
//
//	              first result OK, or none in time at start
//	           ┌─────────────────────────────────────────────► Up ◄──┐
//	Checking ──┤                                   Fall failures │   │ Rise successes
//	           └─────────────────────────────────────────────► Down ─┘
//	              first result failed, or none in time when added later
//
//	Up ── Eject ──► Ejected ── its time is over, or Rise probes succeed ──► Up
//	                   └────── Fall failures ──► Down, which ends it
//
// The first result decides alone, whatever Fall and Rise say, also when it comes after the time was up and the state was
// assumed. A first probe that got no answer is no result: the state is assumed as if the time was up, and the probe counts as
// one failure. Without settings a machine is Up for good.
//
// The zero Machine is of no use: take one from New.
type Machine struct {
	settings Settings
	atStart  bool // made when the process started, not added to a pool that serves already
	probed   bool // some result came
	state    State
	deadline clock.Instant // until when the first result may come; 0: no longer waiting
	fails    int           // failures in a row
	oks      int           // successes in a row
	last     Result
	out      ejection
}

// ejection is the time for which a server gets no requests because those before failed. Each one lasts longer than the one before, as long as they
// follow each other closely.
type ejection struct {
	until clock.Instant // 0: there is none
	ended clock.Instant // the last one
	times int           // in a row
	oks   int           // successful probes in a row since
}

// Ejection says how long a server that is ejected gets no requests.
type Ejection struct {
	Time    time.Duration // the first time; the second lasts twice as long, the third three times [Envoy, base_ejection_time]
	MaxTime time.Duration // at most; a server that had as long without one begins anew
}

// Eject takes a server that is up out for a while.
func (m *Machine) Eject(now clock.Instant, e Ejection, reason string) (Event, bool) {
	if m.State() != Up {
		return Event{}, false
	}
	if m.out.times > 0 && now.Sub(m.out.ended) > e.MaxTime {
		m.out.times = 0
	}
	times := m.out.times + 1
	d := e.MaxTime
	if e.Time <= e.MaxTime/time.Duration(times) {
		d = e.Time * time.Duration(times)
	}
	m.out = ejection{until: now.Add(d), times: times}
	return Event{At: now, From: Up, To: Ejected, Reason: reason + "; for " + d.String()}, true
}

// readmit ends an ejection.
func (m *Machine) readmit(now clock.Instant, reason string) (Event, bool) {
	m.out.until, m.out.ended = 0, now
	return Event{At: now, From: Ejected, To: Up, Reason: reason}, true
}

// New returns the machine of a server that begins to be probed now. Without settings there are no probes.
// atStart: the process starts with this server, so that an unknown state shall not turn clients away.
func New(now clock.Instant, settings *Settings, atStart bool) Machine {
	if settings == nil {
		return Machine{state: Up}
	}
	s := settings.WithDefaults()
	return Machine{settings: s, atStart: atStart, deadline: now.Add(s.Timeout)}
}

// Configure has the machine go on with other settings. Its state stays, except that without settings a server is up; results count anew, and Fall or Rise
// of them change it. A server about which nothing is known yet is waited for once more.
func (m *Machine) Configure(now clock.Instant, settings *Settings) (Event, bool) {
	m.fails, m.oks, m.out.oks = 0, 0, 0
	if settings == nil {
		m.settings, m.probed, m.last, m.deadline = Settings{}, false, Result{}, 0
		if m.out.until != 0 {
			m.state = Up // and stays ejected until its time is over
			return Event{}, false
		}
		return m.turn(now, Up, "it is not probed any more")
	}
	m.settings = settings.WithDefaults()
	m.probed = m.Known()
	if !m.probed {
		m.deadline = now.Add(m.settings.Timeout)
	}
	return Event{}, false
}

// Probed takes a probe's result, and returns the change that follows from it, if any.
func (m *Machine) Probed(now clock.Instant, r Result) (Event, bool) {
	first := !m.probed
	m.probed, m.last = true, r
	if r.OK {
		m.oks, m.fails = m.oks+1, 0
	} else {
		m.oks, m.fails = 0, m.fails+1
	}
	if first {
		m.deadline = 0
		switch unanswered := !r.OK && r.Duration >= m.settings.Timeout; {
		case r.OK:
			return m.turn(now, Up, "first probe succeeded")
		case unanswered && m.state == Checking:
			return m.turn(now, m.assumed(), r.Reason)
		case !unanswered:
			return m.turn(now, Down, r.Reason)
		}
		return Event{}, false
	}
	if m.out.oks++; !r.OK {
		m.out.oks = 0
	}
	switch {
	case m.state == Up && m.fails >= m.settings.Fall:
		return m.turn(now, Down, r.Reason)
	case m.out.oks >= m.settings.Rise && m.State() == Ejected:
		return m.readmit(now, "probes succeed")
	case m.state == Down && m.oks >= m.settings.Rise:
		return m.turn(now, Up, "probes succeed")
	}
	return Event{}, false
}

// Expire assumes a state once the first result is overdue, and ends an ejection whose time is over.
func (m *Machine) Expire(now clock.Instant) (Event, bool) {
	if m.out.until != 0 && now >= m.out.until {
		return m.readmit(now, "its time is over")
	}
	if m.deadline == 0 || now < m.deadline {
		return Event{}, false
	}
	m.deadline = 0
	return m.turn(now, m.assumed(), "no probe result within "+m.settings.Timeout.String())
}

// assumed is the state of a server about which nothing could be learnt.
func (m *Machine) assumed() State {
	if m.atStart {
		return Up
	}
	return Down
}

func (m *Machine) turn(now clock.Instant, to State, reason string) (Event, bool) {
	if m.state == to {
		return Event{}, false
	}
	e := Event{At: now, From: m.State(), To: to, Reason: reason}
	m.state = to
	if m.out.until != 0 {
		m.out.until, m.out.ended = 0, now
	}
	return e, true
}

// State returns the state.
func (m *Machine) State() State {
	if m.out.until != 0 {
		return Ejected
	}
	return m.state
}

// Pace is the time from the start of the last probe to that of the next. It is short while a row of results has begun that may end in another state,
// and while the server is ejected: what is soon over shall not be waited for. A row never makes the probes of a server that is down rarer.
func (m *Machine) Pace() time.Duration {
	switch s := m.State(); {
	case s == Down && m.oks > 0:
		return min(m.settings.FastInterval, m.settings.DownInterval)
	case s == Down:
		return m.settings.DownInterval
	case s == Ejected, s == Up && m.fails > 0:
		return m.settings.FastInterval
	}
	return m.settings.Interval
}

// Usable tells whether the server may get requests.
func (m *Machine) Usable() bool { return m.State() == Up }

// Failing is how many probes in a row have failed.
func (m *Machine) Failing() int { return m.fails }

// Known tells whether the first round is over: the state is no longer Checking.
func (m *Machine) Known() bool { return m.state != Checking }

// Last is the latest probe's result, and whether there was one.
func (m *Machine) Last() (Result, bool) { return m.last, m.probed && m.last != (Result{}) }

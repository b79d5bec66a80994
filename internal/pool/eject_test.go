package pool

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"poise/internal/clock"
	"poise/internal/health"
)

var usualEject = Eject{
	Failures: 5, SuccessRate: 1.9, Latency: 3, Interval: 2 * time.Second, MinRequests: 50, Time: 30 * time.Second, MaxTime: 300 * time.Second, MaxShare: 50,
}

// ejecting is a pool under test with its clock.
type ejecting struct {
	*Pool
	t   *testing.T
	now clock.Instant
}

func newEjecting(t *testing.T, servers string, e Eject, h *health.Settings) *ejecting {
	return &ejecting{New(start, Spec{Name: "app", Policy: &inOrder{}, Servers: specs(servers), FailOpen: -1, Eject: e, Health: h}), t, start}
}

// asked lets n requests to a server come to an outcome.
func (x *ejecting) asked(name string, n int, o Outcome, took time.Duration) {
	l := Lease{server: x.server(x.t, name)}
	for range n {
		l.Tell(o, took)
	}
}

// after lets time pass, and returns what changes as "server state", with the cause of an ejection.
func (x *ejecting) after(d time.Duration) string {
	x.now = x.now.Add(d)
	var list []string
	for _, e := range x.Tick(x.now) {
		text := fmt.Sprintf("%s %v", e.Server.Name, e.To)
		if e.Cause != NoCause {
			text += " " + e.Cause.String()
		}
		if e.ReportOnly {
			text += " report"
		}
		list = append(list, text)
	}
	return strings.Join(list, ", ")
}

func (x *ejecting) want(what, got, want string) {
	x.t.Helper()
	if got != want {
		x.t.Errorf("%s: %q, want %q", what, got, want)
	}
}

func TestEjectAfterFailuresInARow(t *testing.T) {
	x := newEjecting(t, "a b c", usualEject, nil)
	x.asked("a", 4, Broken, 0)
	x.asked("a", 1, Good, 0)
	x.asked("a", 4, Gateway, 0)
	x.asked("b", 100, Errored, 0) // 500: the request's fault as likely as the server's
	x.want("four in a row, twice", x.after(50*ms), "")
	x.asked("a", 1, Broken, 0)
	x.want("five in a row", x.after(50*ms), "a ejected failures")
	x.want("who is chosen", pick(x.Pool, &Query{}), "b")
	x.want("before its time is over", x.after(29*time.Second), "")
	x.want("after that", x.after(time.Second), "a up")
	x.want("who is chosen then", pick(x.Pool, &Query{}), "a")
}

// Each time follows the one before, longer and longer; a server that was good for long begins anew.
func TestEjectLongerEachTime(t *testing.T) {
	e := usualEject
	e.MaxTime = 80 * time.Second
	x := newEjecting(t, "a b", e, nil)
	for i, d := range []time.Duration{30 * time.Second, 60 * time.Second, 80 * time.Second, 80 * time.Second} {
		x.asked("a", 5, Broken, 0)
		x.want("failures", x.after(50*ms), "a ejected failures")
		x.want(fmt.Sprintf("before %v, time %d", d, i+1), x.after(d-ms), "")
		x.want(fmt.Sprintf("after %v, time %d", d, i+1), x.after(ms), "a up")
	}
	x.after(81 * time.Second)
	x.asked("a", 5, Broken, 0)
	x.after(50 * ms)
	x.want("after a long time without", x.after(30*time.Second), "a up")
}

func TestEjectOutliers(t *testing.T) {
	for _, test := range []struct {
		name string
		do   func(x *ejecting)
		want string
	}{
		{"one server answers every other request with 500", func(x *ejecting) {
			x.asked("a", 50, Good, ms)
			x.asked("a", 50, Errored, 0)
			for _, s := range []string{"b", "c", "d"} {
				x.asked(s, 100, Good, ms)
			}
		}, "a ejected success_rate"},
		{"all fail alike", func(x *ejecting) {
			for i, s := range []string{"a", "b", "c", "d"} {
				x.asked(s, 50+i, Errored, 0)
				x.asked(s, 50-i, Good, ms)
			}
		}, ""},
		{"too few requests", func(x *ejecting) {
			x.asked("a", 49, Errored, 0)
			for _, s := range []string{"b", "c", "d"} {
				x.asked(s, 100, Good, ms)
			}
		}, ""},
		{"too few servers with requests", func(x *ejecting) {
			x.asked("a", 100, Errored, 0)
			x.asked("b", 100, Good, ms)
		}, ""},
		{"one in fifty fails", func(x *ejecting) {
			x.asked("a", 98, Good, ms)
			x.asked("a", 2, Errored, 0)
			for _, s := range []string{"b", "c", "d"} {
				x.asked(s, 100, Good, ms)
			}
		}, ""},
		{"one is slow", func(x *ejecting) {
			x.asked("a", 100, Good, 200*ms)
			for _, s := range []string{"b", "c", "d"} {
				x.asked(s, 100, Good, 20*ms)
			}
		}, "a ejected latency"},
		{"one is slower by little", func(x *ejecting) {
			x.asked("a", 100, Good, 90*ms)
			for _, s := range []string{"b", "c", "d"} {
				x.asked(s, 100, Good, ms)
			}
		}, ""},
		{"what was not timed does not count", func(x *ejecting) {
			x.asked("a", 100, Good, 0)
			x.asked("a", 49, Good, time.Second)
			for _, s := range []string{"b", "c", "d"} {
				x.asked(s, 100, Good, ms)
			}
		}, ""},
		{"slow failures do not count as slow", func(x *ejecting) {
			x.asked("a", 96, Good, ms)
			x.asked("a", 4, Broken, time.Minute)
			for _, s := range []string{"b", "c", "d"} {
				x.asked(s, 100, Good, ms)
			}
		}, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			x := newEjecting(t, "a b c d", usualEject, nil)
			test.do(x)
			x.want("before the interval is over", x.after(1900*ms), "")
			x.want("then", x.after(100*ms), test.want)
			x.want("after another", x.after(2*time.Second), "") // nothing has come since
		})
	}
}

// One can be ejected in any case, the last one never, and no more than the share.
func TestEjectAShareAtMost(t *testing.T) {
	all := func(x *ejecting, servers string) {
		for _, s := range strings.Fields(servers) {
			x.asked(s, 5, Broken, 0)
		}
	}
	x := newEjecting(t, "a b c d e", usualEject, nil)
	all(x, "a b c d e")
	x.want("half of five", x.after(50*ms), "a ejected failures, b ejected failures")
	none := usualEject
	none.MaxShare = 0
	x = newEjecting(t, "a b c d e", none, nil)
	all(x, "a b c d e")
	x.want("one in any case", x.after(50*ms), "a ejected failures")
	whole := usualEject
	whole.MaxShare = 100
	x = newEjecting(t, "a b", whole, nil)
	all(x, "a b")
	x.want("all but one", x.after(50*ms), "a ejected failures")
	x = newEjecting(t, "a", whole, nil)
	all(x, "a")
	x.want("not the only one", x.after(50*ms), "")
}

// A server that was ejected is better than none: when the last other one goes down, it serves.
func TestEjectedServeWhenNoOtherIsLeft(t *testing.T) {
	x := newEjecting(t, "a b", usualEject, &health.Settings{Fall: 1, Rise: 1})
	for _, s := range []string{"a", "b"} {
		x.Probed(x.now, x.server(t, s), health.Result{OK: true})
	}
	x.asked("a", 5, Broken, 0)
	x.want("failures", x.after(50*ms), "a ejected failures")
	x.Probed(x.now, x.server(t, "b"), health.Result{Reason: "refused"})
	x.after(200 * ms)
	x.want("who is chosen", pick(x.Pool, &Query{}), "a")
}

// Probes that pass bring back who was ejected, as many as Rise in a row since.
func TestEjectedComeBackByProbes(t *testing.T) {
	x := newEjecting(t, "a b", usualEject, &health.Settings{Rise: 2})
	a := x.server(t, "a")
	for range 5 {
		for _, s := range []string{"a", "b"} {
			x.Probed(x.now, x.server(t, s), health.Result{OK: true})
		}
	}
	x.asked("a", 5, Broken, 0)
	x.after(50 * ms)
	for i, r := range []struct {
		ok   bool
		want string
	}{{true, "ejected"}, {false, "ejected"}, {true, "ejected"}, {true, "up"}} {
		x.Probed(x.now, a, health.Result{OK: r.ok, Reason: "refused"})
		x.want(fmt.Sprintf("after probe %d", i+1), a.State().String(), r.want)
	}
}

// Who asks for a Tick is told once, when a server has failed as often as it may.
func TestEjectAsksForATick(t *testing.T) {
	asked := 0
	p := New(start, Spec{Name: "app", Policy: &inOrder{}, Servers: specs("a b"), Eject: usualEject, Notify: func() { asked++ }})
	x := &ejecting{p, t, start}
	x.asked("a", 4, Broken, 0)
	if asked != 0 {
		t.Error("a Tick was asked for after four failures, want five")
	}
	x.asked("a", 100, Broken, 0)
	if asked != 1 {
		t.Errorf("a Tick was asked for %d times, want once", asked)
	}
}

// Requests that fail while a server is out, such as those that were running, do not count against it when it is back.
func TestEjectForgetsWhatFailedMeanwhile(t *testing.T) {
	x := newEjecting(t, "a b", usualEject, nil)
	x.asked("a", 5, Broken, 0)
	x.want("failures", x.after(50*ms), "a ejected failures")
	x.asked("a", 50, Broken, 0)
	x.want("its time is over", x.after(30*time.Second), "a up")
	x.want("then", x.after(50*ms), "")
}

// What failed before an ejection does not count in the sweep after it.
func TestEjectOutliersForgetWhatWasBefore(t *testing.T) {
	e := usualEject
	e.Time = 500 * ms
	x := newEjecting(t, "a b c", e, nil)
	x.asked("a", 60, Broken, 0)
	x.want("failures", x.after(50*ms), "a ejected failures")
	x.want("its time is over", x.after(500*ms), "a up")
	for _, s := range []string{"a", "b", "c"} {
		x.asked(s, 100, Good, ms)
	}
	x.want("the sweep", x.after(2*time.Second), "")
}

// A server that is ejected and goes down then gets no requests, not even when it is the last.
func TestEjectedThatGoDownGetNothing(t *testing.T) {
	x := newEjecting(t, "a b", usualEject, &health.Settings{Fall: 1, Rise: 1})
	for _, s := range []string{"a", "b"} {
		x.Probed(x.now, x.server(t, s), health.Result{OK: true})
	}
	x.asked("a", 5, Broken, 0)
	x.after(50 * ms)
	for _, s := range []string{"b", "a"} {
		x.Probed(x.now, x.server(t, s), health.Result{Reason: "refused"})
		x.after(200 * ms)
	}
	x.want("who is chosen", pick(x.Pool, &Query{}), ErrNoServer.Error())
}

func TestEjectReportOnly(t *testing.T) {
	e := usualEject
	e.ReportOnly = true
	x := newEjecting(t, "a b", e, nil)
	x.asked("a", 5, Broken, 0)
	x.want("failures", x.after(50*ms), "a ejected failures report")
	x.want("its state", x.server(t, "a").State().String(), "up")
	x.asked("a", 50, Broken, 0)
	x.want("once", x.after(29*time.Second), "")
	x.want("and again", x.after(time.Second), "a ejected failures report")
}

func TestEjectNothing(t *testing.T) {
	x := newEjecting(t, "a b c", Eject{}, nil)
	x.asked("a", 1000, Broken, 0)
	x.want("failures", x.after(time.Hour), "")
}

package app

import (
	"maps"
	"slices"
	"time"

	"poise/internal/stats"
)

// stages are how long before its end a certificate is warned of. Most are renewed a month before (ACME clients), so at the first one something went wrong.
var stages = [...]struct {
	left time.Duration
	text string
}{
	{14 * day, "a certificate expires within 14 days"},
	{7 * day, "a certificate expires within 7 days"},
	{day, "a certificate expires within a day"},
	{0, "a certificate has expired: clients refuse it"},
}

const day = 24 * time.Hour

// stageOf is the number of stages that a certificate has reached.
func stageOf(left time.Duration) int {
	n := 0
	for n < len(stages) && left <= stages[n].left {
		n++
	}
	return n
}

// expiries remembers which certificates were warned of. One that is exchanged has another end, and so is another one.
type expiries map[stats.Expiry]warned

type warned struct {
	stage int
	at    time.Time
}

// due returns what is to be warned of now: a certificate that has reached another stage, and once a day one that has reached any. It forgets certificates
// that are not there any more.
func (e expiries) due(now time.Time, all []stats.Expiry) (due []stats.Expiry) {
	maps.DeleteFunc(e, func(x stats.Expiry, _ warned) bool { return !slices.Contains(all, x) })
	for _, x := range all {
		stage := stageOf(x.NotAfter.Sub(now))
		if was := e[x]; stage > was.stage || stage > 0 && now.Sub(was.at) >= day {
			e[x] = warned{stage, now}
			due = append(due, x)
		}
	}
	return due
}

// watchExpiries tells metrics when the certificates that are shown now expire, and the log where that is soon. It runs on reloadAll's goroutine, and before.
func (a *App) watchExpiries(now time.Time) {
	all := []stats.Expiry{}
	for i, s := range a.now.Load().secured {
		if s == nil {
			continue
		}
		for _, f := range s.files {
			x := stats.Expiry{Listener: a.o.Config.Listeners[i].Name, Certificate: f.of.Cert, NotAfter: f.cert.Leaf.NotAfter}
			if !slices.ContainsFunc(all, func(o stats.Expiry) bool { return o.Listener == x.Listener && o.Certificate == x.Certificate }) {
				all = append(all, x)
			}
		}
	}
	a.renewals.expire.Store(&all)
	due := a.renewals.warned.due(now, all)
	slices.SortStableFunc(due, func(a, b stats.Expiry) int { return a.NotAfter.Compare(b.NotAfter) })
	for _, x := range due {
		stage := stages[stageOf(x.NotAfter.Sub(now))-1]
		a.o.Log.Warn(stage.text, "listener", x.Listener, "cert", x.Certificate, "not_after", x.NotAfter)
	}
}

package app

import (
	"errors"
	"fmt"
	"sync"
	"time"

	"poise/internal/clock"
	"poise/internal/config"
	"poise/internal/pool"
	"poise/internal/stats"
)

// Rejected is the error of a reload that changed nothing.
type Rejected struct{ Problems config.Problems }

func (r *Rejected) Error() string {
	n := 0
	for _, p := range r.Problems {
		if p.Severity == config.Error {
			n++
		}
	}
	if n == 1 {
		return "the configuration has a mistake"
	}
	return fmt.Sprintf("the configuration has %d mistakes", n)
}

// Why there is no reload at all.
var (
	ErrNoFile   = errors.New("there is no file to read again: this Poise was started without one")
	ErrStopping = errors.New("the program is stopping")
)

// reloads has one reload at a time. Who asks meanwhile shares the next one.
//
//	idle ── ask ──► waiting ── taken ──► running ── ended ──► idle
//	                              └── ask ──► running, with one more waiting
type reloads struct {
	wake chan struct{} // has room for one

	mu      sync.Mutex // guards all below
	waiting *round     // nil: nobody asks
	counts  stats.Reloads
}

// round is a reload that somebody asked for. problems and err are there once done is closed.
type round struct {
	done     chan struct{}
	problems config.Problems
	err      error
}

// ask returns the round that begins next.
func (r *reloads) ask() *round {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.waiting == nil {
		r.waiting = &round{done: make(chan struct{})}
		select {
		case r.wake <- struct{}{}:
		default:
		}
	}
	return r.waiting
}

func (r *reloads) take() *round {
	r.mu.Lock()
	defer r.mu.Unlock()
	next := r.waiting
	r.waiting = nil
	return next
}

// count counts a reload that ended.
func (r *reloads) count(err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.counts.OK = err == nil; r.counts.OK {
		r.counts.Succeeded++
		r.counts.Last = time.Now()
	} else {
		r.counts.Failed++
	}
}

func (r *reloads) snapshot() stats.Reloads {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.counts
}

// ReloadSoon has the configuration read again, and does not wait for it: the log tells how it went.
func (a *App) ReloadSoon() { a.reloads.ask() }

// Reload reads the configuration again, checks it in full, and puts it in the place of the present one; with any mistake all stays as it was. problems
// are mistakes and warnings alike, also where there is no error. It returns when requests go as the new configuration says.
func (a *App) Reload() (problems config.Problems, err error) {
	r := a.reloads.ask()
	select {
	case <-r.done:
		return r.problems, r.err
	case <-a.quit:
		return nil, ErrStopping
	}
}

// reloadAll is the goroutine that reloads: the configuration, and certificates alone.
func (a *App) reloadAll() {
	defer a.tended.Done()
	defer a.renewals.close()
	if err := a.renewals.open(); err != nil {
		a.o.Log.Warn("files cannot be watched; certificates are looked at once a minute", "error", err)
	}
	a.renewals.soon()
	for {
		select {
		case <-a.quit:
			return
		case <-a.renewals.events:
			a.renewals.soon()
			continue
		case err := <-a.renewals.errors: // some events were lost, most likely
			a.o.Log.Debug("changes of files", "error", err)
			a.renewals.soon()
			continue
		case <-a.renewals.due.C:
			a.renew()
			continue
		case <-a.reloads.wake:
		}
		r := a.reloads.take()
		r.problems, r.err = a.reload()
		a.watchExpiries(time.Now())
		if r.err != ErrNoFile { // else nothing that runs differs from a file
			a.reloads.count(r.err)
		}
		if len(r.problems) > 0 && a.o.Report != nil {
			a.o.Report(r.problems)
		}
		if r.err != nil {
			a.o.Log.Error("the configuration was not reloaded; all is as it was", "reason", r.err.Error())
		}
		a.renewals.soon() // there may be other files
		close(r.done)
	}
}

func (a *App) reload() (config.Problems, error) {
	switch {
	case a.o.Load == nil:
		return nil, ErrNoFile
	case a.draining.Load():
		return nil, ErrStopping
	}
	c, problems := a.o.Load()
	if c == nil {
		return problems, &Rejected{problems}
	}
	before := a.now.Load()
	n, unknown, err := a.lookUp(c, before.names)
	if err != nil {
		return problems, err
	}
	problems = append(problems, unknown...)
	var next *running
	if !problems.HasErrors() {
		next, err = a.build(c, n, before)
	}
	if next == nil {
		if n != before.names {
			n.close()
		}
		if err == nil {
			err = &Rejected{problems}
		}
		return problems, err
	}
	problems = append(problems, a.fixed(c)...)
	problems.Sort()
	a.warmUp(next, before)
	a.install(next)
	a.o.Log.Info("the configuration was reloaded", changes(before.config, c)...)
	return problems, nil
}

// warmUp has servers probed that would get requests before anything is known of them: those of new pools, and those of pools that keep no server which is up
// now; such a pool has its old servers beside them meanwhile. It returns when each had its first probe, or after some seconds.
func (a *App) warmUp(next, before *running) {
	var cold []*poolState
	for _, p := range next.pools {
		was := before.pool(p.cfg.Name)
		switch {
		case was == nil:
			p.probers.Set(p.pool.Servers())
			cold = append(cold, p)
		case was.probers != nil && p.exchanged(next.names):
			a.changing.Lock()
			both := append(serversOf(was.cfg, before.names), serversOf(p.cfg, next.names)...)
			added, removed := p.pool.Update(clock.Now(), both)
			a.follow(was, added, removed)
			a.changing.Unlock()
			cold = append(cold, was)
		}
	}
	deadline := clock.Now().Add(readyAfter)
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for a.unknown(cold) && clock.Now() < deadline {
		select {
		case <-tick.C:
		case <-a.quit:
			return
		}
	}
}

// exchanged tells whether the pool gets servers, and keeps none that takes new clients now.
func (p *poolState) exchanged(n *names) bool {
	up := map[[2]string]bool{}
	for _, s := range p.pool.Servers() {
		up[[2]string{s.Name, s.Address}] = s.Up() && s.Order() == pool.Ready
	}
	specs := serversOf(p.cfg, n)
	for _, s := range specs {
		if s.Weight > 0 && up[[2]string{s.Name, s.Address}] {
			return false
		}
	}
	return len(specs) > 0
}

// unknown has the pools decide, and tells whether one waits for a first probe.
func (a *App) unknown(pools []*poolState) bool {
	some := false
	for _, p := range pools {
		a.decide(p)
		some = some || !p.pool.FirstRound()
	}
	return some
}

package app

import (
	"net/http"
	"strconv"
	"strings"
	"time"

	"poise/internal/clock"
	"poise/internal/fiber"
	"poise/internal/health"
	"poise/internal/pool"
	"poise/internal/stats"
)

// readyAfter is when the program counts as ready although a pool has not had its first round of probes.
const readyAfter = 5 * time.Second

// Ready tells whether requests should be sent here, and if not why.
func (a *App) Ready() (ok bool, reasons []string) {
	if a.draining.Load() {
		return false, []string{"draining"}
	}
	if clock.Now().Sub(a.since) < readyAfter {
		for _, p := range a.now.Load().pools {
			if !p.pool.FirstRound() {
				reasons = append(reasons, "pool "+p.cfg.Name+": the first round of probes is not over")
			}
		}
	}
	return len(reasons) == 0, reasons
}

// Driver names what the loops wait with, and why it is none of the faster ones, where those were tried.
func (a *App) Driver() (name, reason string) {
	return a.loops[0].fiber.DriverName(), a.reason
}

// snapshotPatience is how long a loop may take to copy its counters; one that hangs is left out.
const snapshotPatience = time.Second

func (a *App) snapshots() []stats.Snapshot {
	var all []stats.Snapshot
	for _, l := range a.loops {
		got := make(chan stats.Snapshot, 1)
		if !l.fiber.Post(func() {
			s := l.stats.Snapshot()
			c := l.fiber.Counters()
			s.Panics, s.LongTurns = c.Panics, c.LongTurns
			s.AcceptPauses += c.AcceptPauses // beside the proxy's own, at the connection limit
			got <- s
		}) {
			continue // the loop has ended
		}
		select {
		case s := <-got:
			all = append(all, s)
		case <-time.After(snapshotPatience):
		}
	}
	return all
}

// Loops returns what each loop counts. It waits for the loops.
func (a *App) Loops() []fiber.Counters {
	all := make([]fiber.Counters, len(a.loops))
	for i, l := range a.loops {
		l.fiber.Call(func() { all[i] = l.fiber.Counters() })
	}
	return all
}

func (a *App) metrics() http.Handler {
	s := stats.Source{Snapshots: a.snapshots, Names: a.statNames, Reloads: a.reloads.snapshot, Renewals: a.renewals.snapshot, Version: a.o.Version}
	if a.accessLog != nil {
		s.LogDropped, s.LogWriteErrors = a.accessLog.Dropped, a.accessLog.WriteErrors
	}
	return stats.Handler(s)
}

func (a *App) statNames() stats.Names {
	var n stats.Names
	for i, l := range a.o.Config.Listeners {
		n.Listeners = append(n.Listeners, stats.Name{ID: i, Name: l.Name})
	}
	now := a.now.Load()
	n.Routes = now.routes
	for _, p := range now.pools {
		pn := stats.PoolNow{ID: p.pool.ID, Name: p.cfg.Name, Waiting: p.pool.Waiting(), Limit: p.pool.Limit(), Opened: p.pool.Opened()}
		for _, l := range levelsOf(p.pool) {
			pn.Levels = append(pn.Levels, stats.Level{Tier: l.Name(), Zone: l.Zone(), Share: float64(l.Share) / 100})
		}
		n.Pools = append(n.Pools, pn)
		for _, s := range p.pool.Servers() {
			now := stats.ServerNow{
				ID: s.ID, Pool: s.Pool, Server: s.Name, State: s.Condition(), Weight: float64(s.Share()) / 100, InFlight: s.InFlight(),
				MaxConnections: s.MaxConnections(),
			}
			for _, c := range pool.Causes() {
				now.Ejections = append(now.Ejections, stats.Count{Name: c.String(), N: s.Ejections(c)})
			}
			now.ProbesPassed, now.ProbesFailed = p.probers.Counts(s)
			if p.agents != nil {
				now.Agent = agentNow(p, s)
			}
			n.Servers = append(n.Servers, now)
		}
	}
	return n
}

// levelsOf is a pool's levels if it has several.
func levelsOf(p *pool.Pool) []pool.Level {
	if list := p.Levels(); len(list) > 1 {
		return list
	}
	return nil
}

// Status tells how things are.
func (a *App) Status() Status {
	var sum stats.Snapshot
	for _, s := range a.snapshots() {
		sum.Add(&s)
	}
	driver, _ := a.Driver()
	ready, _ := a.Ready()
	st := Status{Version: a.o.Version, Started: a.started, Driver: driver, Loops: len(a.loops), Draining: a.draining.Load(), Ready: ready}
	now := a.now.Load()
	for i, l := range a.o.Config.Listeners {
		ls := ListenerStatus{Name: l.Name, Addresses: a.bound[i]}
		if s := now.secured[i]; s != nil {
			ls.TLS, ls.SelfSigned = true, s.selfSigned()
		}
		if i < len(sum.Listeners) {
			ls.Connections = sum.Listeners[i].Connections
			ls.Requests = total(sum.Listeners[i].Codes)
		}
		st.Listeners = append(st.Listeners, ls)
	}
	for _, p := range now.pools {
		ps := PoolStatus{Name: p.cfg.Name, Policy: p.cfg.Policy.Name, Waiting: p.pool.Waiting()}
		for _, l := range levelsOf(p.pool) {
			ps.Levels = append(ps.Levels, LevelStatus{Tier: l.Name(), Zone: l.Zone(), Share: l.Share})
		}
		for _, s := range p.pool.Servers() {
			m := p.pool.Health(s)
			ss := ServerStatus{
				Name: s.Name, Address: s.Address, State: s.Condition(), Health: m.State().String(), Weight: s.Weight(), Backup: s.Backup(), Tier: s.Tier(),
				Zone: s.Zone(), InFlight: s.InFlight(), Since: clock.Now().Sub(p.pool.Since(s)).Seconds(), LastProbe: lastProbe(m),
				Agent: agentInWords(p, s),
			}
			if s.ID < len(sum.Servers) {
				ss.Requests = total(sum.Servers[s.ID].Codes)
				for _, n := range sum.Servers[s.ID].Failures {
					ss.Failures += n
				}
			}
			ps.Servers = append(ps.Servers, ss)
		}
		st.Pools = append(st.Pools, ps)
	}
	return st
}

func total(codes stats.Codes) (n uint64) {
	for _, c := range codes {
		n += c
	}
	return n
}

// agentNow is what is known of a server's agent.
func agentNow(p *poolState, s *pool.Server) *stats.AgentNow {
	n := stats.AgentNow{Share: 1}
	n.Answered, n.Failed = p.agents.Counts(s)
	if agent := p.pool.Agent(s); agent.Weighs {
		n.Share = float64(agent.Share) / 100
	}
	return &n
}

// agentInWords is what a server's agent has brought about, and why it does not answer, if so.
func agentInWords(p *poolState, s *pool.Server) string {
	r, asked := p.agents.Last(s)
	if !asked {
		return ""
	}
	parts := []string{p.pool.Agent(s).String()}
	if parts[0] == "" {
		parts[0] = "ready" // it has done nothing, or undone it
	}
	if !r.OK {
		parts = append(parts, r.Reason)
	}
	return strings.Join(parts, "; ")
}

func lastProbe(m health.Machine) string {
	r, ok := m.Last()
	switch {
	case !ok:
		return ""
	case r.OK:
		return "passed in " + strconv.FormatFloat(r.Duration.Seconds()*1000, 'f', 1, 64) + " ms"
	}
	return r.Reason
}

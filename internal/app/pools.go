package app

import (
	"crypto/rand"
	"encoding/binary"
	"fmt"
	"reflect"
	"strings"
	"time"

	"poise/internal/affinity"
	"poise/internal/balance"
	"poise/internal/clock"
	"poise/internal/config"
	"poise/internal/health"
	"poise/internal/pool"
	"poise/internal/probe"
	"poise/internal/upstream"
)

// poolState is a pool with what belongs to it.
type poolState struct {
	cfg      *config.Pool
	zone     string // that Poise is in
	pool     *pool.Pool
	affinity affinity.Kind  // nil: none
	tls      *serverTLS     // nil: clear text
	probers  *probe.Probers // nil: none
	agents   *probe.Probers // what asks the servers' agents; nil: none
}

// newPool makes a pool and what belongs to it. was is the one of the same name that runs; its pool is taken over as it is, and goes on being probed where
// that does not change. Nothing new is probed yet.
func (a *App) newPool(c *config.Pool, zone string, n *names, was *poolState) (*poolState, error) {
	p := &poolState{cfg: c, zone: zone}
	if was != nil {
		p.pool = was.pool
	} else {
		p.pool = pool.New(clock.Now(), a.specOfPool(p, n))
	}
	var before *serverTLS
	if was != nil {
		before = was.tls
	}
	var err error
	if p.tls, err = serverTLSOf(c.ServerTLS, httpOf(c), before); err != nil {
		return nil, fmt.Errorf("pool %s: server_tls: %w", c.Name, err)
	}
	switch {
	case was != nil && reflect.DeepEqual(c.Affinity, was.cfg.Affinity):
		p.affinity = was.affinity // with what it remembers of clients
	default:
		p.affinity, err = affinityOf(c, p.pool, a.secret)
	}
	if err != nil {
		return nil, err
	}
	switch {
	case c.Health == nil:
	case was != nil && sameHealth(c.Health, was.cfg.Health) && p.tls == was.tls && c.HTTPVersion == was.cfg.HTTPVersion:
		p.probers = was.probers
	default:
		p.probers, err = a.probe(p)
	}
	switch {
	case c.Agent == nil:
	case was != nil && was.agents != nil && *c.Agent == *was.cfg.Agent:
		p.agents = was.agents
	default:
		p.agents = a.ask(p)
	}
	return p, err
}

func (a *App) specOfPool(p *poolState, n *names) pool.Spec {
	c := p.cfg
	spec := pool.Spec{
		Name: c.Name, ID: a.poolIDs.number(c.Name), Policy: policyFor(c, a.secret), Servers: serversOf(c, n), Loops: max(1, len(a.loops)),
		Budget: budgetOf(&c.Retry), Eject: ejectOf(&c.Eject), Hedge: hedgeOf(c.Hedge), Notify: a.tendSoon, MaxRequests: c.MaxRequests, Queue: pool.Queue(c.Queue),
		Adapt: adaptOf(c.Adaptive), SlowStart: c.SlowStart, FailOpen: failOpenOf(&c.FailOpen), Zone: p.zone,
		NextID: func(s pool.ServerSpec) int { return a.serverIDs.number(c.Name, s.Name, s.Address) },
	}
	if c.Health != nil {
		s := healthOf(c.Health)
		spec.Health = &s
	}
	return spec
}

func (a *App) probe(p *poolState) (*probe.Probers, error) {
	s, err := probesOf(p.cfg.Health, p.tls, httpOf(p.cfg) == upstream.HTTP2, a.slots)
	if err != nil {
		return nil, fmt.Errorf("pool %s: health: %w", p.cfg.Name, err)
	}
	s.Pace = func(server *pool.Server) time.Duration {
		m := p.pool.Health(server)
		return m.Pace()
	}
	return probe.New(s, func(server *pool.Server, r health.Result) {
		if e, changed := p.pool.Probed(clock.Now(), server, r); changed {
			a.logChange(e)
		}
	})
}

// ask returns what asks a pool's agents.
func (a *App) ask(p *poolState) *probe.Probers {
	c := p.cfg.Agent
	s := probe.Agent{Port: c.Port, Interval: c.Interval, Timeout: min(c.Timeout, c.Interval), Send: c.Send, Slots: a.askSlots}
	return probe.NewAgents(s, func(server *pool.Server, answer string) {
		events, unknown := p.pool.Heard(clock.Now(), server, answer)
		for _, e := range events {
			a.logChange(e)
		}
		if len(unknown) > 0 {
			words := health.Printable(strings.Join(unknown, " "))
			a.o.Log.Warn("the server's agent says what means nothing; it is ignored", "pool", server.Pool, "server", server.Name, "words", words)
		}
	})
}

// sameAgent tells whether the agents that a and b ask are the same ones, however often they do. Then what those brought about stays.
func sameAgent(a, b *config.Agent) bool {
	return a == nil && b == nil || a != nil && b != nil && a.Port == b.Port && a.Send == b.Send
}

func (a *App) logChange(e pool.Event) {
	if s := e.Spill; s != nil {
		if s.Levels == "" {
			a.o.Log.Info("pool spills no more", "pool", s.Pool)
		} else {
			a.o.Log.Warn("pool spills", "pool", s.Pool, "to", s.Levels)
		}
		return
	}
	if e.Order != e.Was {
		a.o.Log.Info("server is "+e.Order.String(), "pool", e.Server.Pool, "server", e.Server.Name, "was", e.Was.String(), "reason", e.Reason)
		return
	}
	level, what := a.o.Log.Info, "server is "+e.To.String()
	if e.To == health.Down || e.To == health.Ejected {
		level = a.o.Log.Warn
	}
	if e.ReportOnly {
		what = "server would be " + e.To.String()
	}
	level(what, "pool", e.Server.Pool, "server", e.Server.Name, "was", e.From.String(), "reason", e.Reason)
}

// serversOf lists a pool's servers; a name stands for each of its addresses.
func serversOf(c *config.Pool, n *names) []pool.ServerSpec {
	var specs []pool.ServerSpec
	for _, s := range c.Servers {
		spec := pool.ServerSpec{
			Name: string(s.Address), Address: string(s.Address), Weight: s.Weight, Backup: s.Backup, Tier: s.Tier, Zone: s.Zone,
			MaxRequests: s.MaxRequests, MaxConnections: s.MaxConnections,
		}
		if !isName(s.Address) {
			specs = append(specs, spec)
			continue
		}
		for _, addr := range n.of(string(s.Address)) {
			spec.Name, spec.Address = string(s.Address)+"/"+addr.Addr().String(), addr.String()
			specs = append(specs, spec)
		}
	}
	return specs
}

func policyOf(p config.Policy) pool.Policy {
	if p.Name == config.LeastRequests {
		return balance.LeastRequests(p.Choices, randomUint64())
	}
	policy, ok := balance.ByName(p.Name)
	if !ok {
		panic("app: no policy is called " + p.Name) // the configuration was checked
	}
	return policy
}

func ejectOf(e *config.Eject) pool.Eject {
	if !e.Enabled {
		return pool.Eject{}
	}
	return pool.Eject{
		Failures: e.ConsecutiveFailures, SuccessRate: float64(e.SuccessRate), Latency: float64(e.Latency), Interval: e.Interval, MinRequests: e.MinRequests,
		Time: e.Time, MaxTime: e.MaxTime, MaxShare: int(e.MaxShare), ReportOnly: e.ReportOnly,
	}
}

func hedgeOf(h *config.Hedge) pool.Hedge {
	if h == nil {
		return pool.Hedge{}
	}
	return pool.Hedge{Quantile: int(h.Quantile), Least: h.MinDelay}
}

func adaptOf(a *config.Adaptive) pool.Adapt {
	if a == nil {
		return pool.Adapt{}
	}
	return pool.Adapt{Min: a.Min, Max: a.Max, Tolerance: float64(a.Tolerance)}
}

// failOpenOf is the share of servers in hundredths; below zero: never.
func failOpenOf(f *config.FailOpen) int {
	if !f.Enabled {
		return -1
	}
	return int(f.Share)
}

func budgetOf(r *config.Retry) pool.Budget {
	return pool.Budget{Share: int(r.Budget), Floor: r.BudgetFloor}
}

func healthOf(h *config.Health) health.Settings {
	return health.Settings{
		Interval: h.Interval, FastInterval: h.FastInterval, DownInterval: h.DownInterval, Timeout: h.Timeout, Fall: h.Fall, Rise: h.Rise,
	}
}

func randomBytes() []byte {
	b := make([]byte, 32)
	_, _ = rand.Read(b) // never fails: it would end the program
	return b
}

func randomUint64() uint64 { return binary.NativeEndian.Uint64(randomBytes()) }

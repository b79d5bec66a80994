package app

import (
	"crypto/rand"
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"

	"poise/internal/affinity"
	"poise/internal/balance"
	"poise/internal/clock"
	"poise/internal/config"
	"poise/internal/discover"
	"poise/internal/health"
	"poise/internal/pool"
	"poise/internal/probe"
)

// poolState is a pool with what belongs to it.
type poolState struct {
	cfg      *config.Pool
	pool     *pool.Pool
	affinity affinity.Kind  // nil: none
	probers  *probe.Probers // nil: none
}

// address is one address of a server's name.
type address = netip.AddrPort

// buildPools resolves names, makes the pools and begins to probe.
func (a *App) buildPools(loops int) error {
	if err := a.resolve(); err != nil {
		return err
	}
	secret := randomBytes()
	for i, c := range a.o.Config.Pools {
		p, err := a.newPool(i, c, loops, secret)
		if err != nil {
			return err
		}
		a.mu.Lock()
		a.pools = append(a.pools, p)
		a.mu.Unlock()
		a.update(p) // a name may have changed meanwhile
	}
	return nil
}

// newPool makes a pool and what belongs to it. Nothing is probed yet.
func (a *App) newPool(id int, c *config.Pool, loops int, secret []byte) (*poolState, error) {
	spec := pool.Spec{
		Name: c.Name, ID: id, Policy: policyFor(c, secret), Servers: a.serversOf(c), Loops: loops, Budget: budgetOf(&c.Retry), Eject: ejectOf(&c.Eject),
		Notify: a.tendSoon,
	}
	spec.NextID = func(s pool.ServerSpec) int { return a.serverID(c.Name, s) }
	if c.Health != nil {
		s := healthOf(c.Health)
		spec.Health = &s
	}
	p := &poolState{cfg: c, pool: pool.New(clock.Now(), spec)}
	var err error
	if p.affinity, err = affinityOf(c, p.pool, secret); err != nil {
		return nil, err
	}
	if c.Health != nil {
		p.probers, err = a.probe(p)
	}
	return p, err
}

// serverID numbers servers over all pools. One that leaves and comes back, as addresses of a name do, has its number again: what loops keep by number
// does not grow.
func (a *App) serverID(pool string, s pool.ServerSpec) int {
	a.idMu.Lock()
	defer a.idMu.Unlock()
	if a.ids == nil {
		a.ids = map[[3]string]int{}
	}
	key := [3]string{pool, s.Name, s.Address}
	id, ok := a.ids[key]
	if !ok {
		id = len(a.ids)
		a.ids[key] = id
	}
	return id
}

func (a *App) probe(p *poolState) (*probe.Probers, error) {
	s := probe.Settings{Health: healthOf(p.cfg.Health), Port: p.cfg.Health.Port, Slots: a.slots}
	if h := p.cfg.Health.HTTP; h != nil {
		s.HTTP = &probe.HTTP{Method: h.Method, Path: h.Path, Host: h.Host}
		for _, f := range h.Headers {
			s.HTTP.Fields = append(s.HTTP.Fields, probe.Field{Name: f.Name, Value: f.Value})
		}
		for _, r := range h.Status {
			s.HTTP.Status = append(s.HTTP.Status, probe.Status{From: r.First, To: r.Last})
		}
	}
	return probe.New(s, func(server *pool.Server, r health.Result) {
		if e, changed := p.pool.Probed(clock.Now(), server, r); changed {
			a.logChange(e)
		}
	})
}

func (a *App) logChange(e pool.Event) {
	level, what := a.o.Log.Info, "server is "+e.To.String()
	if e.To == health.Down || e.To == health.Ejected {
		level = a.o.Log.Warn
	}
	if e.ReportOnly {
		what = "server would be " + e.To.String()
	}
	level(what, "pool", e.Server.Pool, "server", e.Server.Name, "was", e.From.String(), "reason", e.Reason)
}

// resolve looks up the servers that are given by name, now and from time to time.
func (a *App) resolve() error {
	var names []string
	seen := map[string]bool{}
	for _, p := range a.o.Config.Pools {
		for _, s := range p.Servers {
			if n := string(s.Address); isName(s.Address) && !seen[n] {
				seen[n] = true
				names = append(names, n)
			}
		}
	}
	a.resolved = map[string][]address{}
	if len(names) == 0 {
		return nil
	}
	var err error
	a.names, err = discover.Start(discover.Settings{
		Names: names, Lookup: discover.System(&net.Resolver{PreferGo: true}), Changed: a.nameChanged,
		Failed: func(name string, err error) {
			a.o.Log.Warn("a server's name cannot be resolved; its last addresses are kept", "name", name, "error", err)
		},
	})
	if err != nil {
		return fmt.Errorf("resolve servers' names: %w", err)
	}
	return nil
}

func isName(a config.Address) bool {
	if _, unix := a.Unix(); unix {
		return false
	}
	host, _ := a.HostPort()
	_, err := netip.ParseAddr(host)
	return err != nil
}

// nameChanged brings a name's new addresses into the pools that use it.
func (a *App) nameChanged(name string, addresses []netip.AddrPort) {
	a.mu.Lock()
	a.resolved[name] = addresses
	pools := append([]*poolState(nil), a.pools...)
	a.mu.Unlock()
	for _, p := range pools {
		if uses(p.cfg, name) {
			a.update(p)
		}
	}
}

// update brings the present addresses of names into a pool, and probes its servers.
func (a *App) update(p *poolState) {
	a.updating.Lock()
	defer a.updating.Unlock()
	added, removed := p.pool.Update(clock.Now(), a.serversOf(p.cfg))
	for _, s := range added {
		a.o.Log.Info("server added", "pool", s.Pool, "server", s.Name)
	}
	for _, s := range removed {
		a.o.Log.Info("server removed", "pool", s.Pool, "server", s.Name)
		for _, l := range a.loops {
			l.fiber.Post(func() { l.proxy.Upstream().CloseIdle(s.ID) })
		}
	}
	if p.probers != nil {
		p.probers.Set(p.pool.Servers())
	}
}

func uses(c *config.Pool, name string) bool {
	for _, s := range c.Servers {
		if string(s.Address) == name {
			return true
		}
	}
	return false
}

// serversOf lists a pool's servers; a name stands for each of its addresses.
func (a *App) serversOf(c *config.Pool) []pool.ServerSpec {
	a.mu.Lock()
	defer a.mu.Unlock()
	var specs []pool.ServerSpec
	for _, s := range c.Servers {
		spec := pool.ServerSpec{Name: string(s.Address), Address: string(s.Address), Weight: s.Weight, Backup: s.Backup}
		if !isName(s.Address) {
			specs = append(specs, spec)
			continue
		}
		for _, addr := range a.resolved[string(s.Address)] {
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

func budgetOf(r *config.Retry) pool.Budget {
	return pool.Budget{Share: int(r.Budget), Floor: r.BudgetFloor}
}

func healthOf(h *config.Health) health.Settings {
	return health.Settings{Interval: h.Interval, Timeout: h.Timeout, Fall: h.Fall, Rise: h.Rise}
}

func randomBytes() []byte {
	b := make([]byte, 32)
	_, _ = rand.Read(b) // never fails: it would end the program
	return b
}

func randomUint64() uint64 { return binary.NativeEndian.Uint64(randomBytes()) }

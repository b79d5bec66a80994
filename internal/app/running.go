package app

import (
	"fmt"
	"reflect"
	"slices"
	"sync"
	"time"

	"poise/internal/clock"
	"poise/internal/config"
	"poise/internal/pool"
	"poise/internal/proxy"
	"poise/internal/route"
	"poise/internal/stats"
)

// running is what a configuration was made into. It never changes: a reload makes another one of it and of the new configuration, and puts that in
// its place. What stays by its name is in both.
type running struct {
	config    *config.Config
	listeners []*proxy.Listener // at the places of those that run
	secured   []*secured        // likewise; nil for one without TLS
	names     *names
	pools     []*poolState
	table     *route.Table
	routes    []stats.RouteName
	kept      map[string]*kept // of routes, by their names
}

func (r *running) keeps() map[string]*kept {
	if r == nil {
		return nil
	}
	return r.kept
}

// pool returns the pool of that name, or nil.
func (r *running) pool(name string) *poolState {
	if r == nil {
		return nil
	}
	if i := slices.IndexFunc(r.pools, func(p *poolState) bool { return p.cfg.Name == name }); i >= 0 {
		return r.pools[i]
	}
	return nil
}

// tlsOf returns what the listener at a place shows in handshakes, or nil.
func (r *running) tlsOf(i int) *secured {
	if r == nil {
		return nil
	}
	return r.secured[i]
}

// numbers gives keys numbers from 0 on. A key that comes back has its number again: what loops keep by number does not grow, and counts on.
type numbers struct {
	mu sync.Mutex // guards of
	of map[[3]string]int
}

func (n *numbers) number(key ...string) int {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.of == nil {
		n.of = map[[3]string]int{}
	}
	var k [3]string
	copy(k[:], key)
	id, ok := n.of[k]
	if !ok {
		id = len(n.of)
		n.of[k] = id
	}
	return id
}

// build makes what c describes, with the pools of before where their names stay. Nothing that serves changes by it: that is install's. before is nil at
// the start.
func (a *App) build(c *config.Config, n *names, before *running) (*running, error) {
	next := &running{config: c, names: n}
	for _, pc := range c.Pools {
		p, err := a.newPool(pc, next.config.Zone, n, before.pool(pc.Name))
		if err != nil {
			return nil, err
		}
		next.pools = append(next.pools, p)
	}
	listeners := a.listeners(c)
	for i, l := range listeners {
		s, err := securedOf(l, before.tlsOf(i), a.own)
		if err != nil {
			return nil, fmt.Errorf("listener %s: %w", l.Name, err)
		}
		next.secured = append(next.secured, s)
		served := listenerOf(i, l, s)
		if served.Pages, err = pagesOf(l); err != nil {
			return nil, fmt.Errorf("listener %s: %w", l.Name, err)
		}
		next.listeners = append(next.listeners, served)
	}
	t, err := a.tableOf(c, listeners, next.pools, before.keeps())
	if err != nil {
		return nil, err
	}
	next.table, next.routes, next.kept = t.Table, t.names, t.kept
	return next, nil
}

// install puts next in the place of what runs. Pools that go are drained: they get no new leases, and what runs there runs on.
func (a *App) install(next *running) {
	before := a.now.Load()
	a.changing.Lock()
	a.speak(next.pools)
	for _, p := range next.pools {
		a.configure(p, next.names, before.pool(p.cfg.Name))
	}
	a.table.Store(next.table)
	a.now.Store(next)
	a.changing.Unlock()
	if before == nil {
		return
	}
	if before.names != next.names {
		before.names.close()
	}
	a.changeListeners(next.listeners)
	a.passTurn() // an exchange takes its route and its first lease in one turn: none looks for a server in the old pools from here on
	for _, p := range before.pools {
		if next.pool(p.cfg.Name) == nil {
			a.retire(p)
		}
	}
}

// configure gives a pool that stays its new settings, and has the servers probed by them. changing is held.
func (a *App) configure(p *poolState, n *names, was *poolState) {
	if was == nil {
		a.update(p, n) // a name may have changed since it was built
		return
	}
	if was.probers != p.probers {
		was.probers.Close()
	}
	if was.agents != p.agents {
		was.agents.Close()
	}
	added, removed, events := p.pool.Configure(clock.Now(), a.specOfPool(p, n))
	if !sameAgent(was.cfg.Agent, p.cfg.Agent) {
		events = append(events, p.pool.Forget(clock.Now())...)
	}
	for _, e := range events {
		a.logChange(e)
	}
	a.follow(p, added, removed)
}

// expectedFor is how long a pool stays for requests that wait for something else before they come to it, such as forward authentication.
const expectedFor = 30 * time.Second

// retire ends a pool that no route leads to any more, once nobody waits in its queue, or is expected.
func (a *App) retire(p *poolState) {
	deadline := clock.Now().Add(max(p.pool.Patience(), expectedFor))
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for p.pool.Waiting()+p.pool.Expected() > 0 && clock.Now() < deadline {
		select {
		case <-tick.C:
		case <-a.quit:
			return
		}
	}
	p.probers.Close()
	p.agents.Close()
	_, removed := p.pool.Update(clock.Now(), nil)
	a.closeIdle(removed)
}

// update brings the present addresses of names into a pool. changing is held.
func (a *App) update(p *poolState, n *names) {
	added, removed := p.pool.Update(clock.Now(), serversOf(p.cfg, n))
	a.follow(p, added, removed)
}

// follow does what a new list of servers asks for.
func (a *App) follow(p *poolState, added, removed []*pool.Server) {
	for _, s := range added {
		a.o.Log.Info("server added", "pool", s.Pool, "server", s.Name)
	}
	for _, s := range removed {
		a.o.Log.Info("server removed", "pool", s.Pool, "server", s.Name)
	}
	a.closeIdle(removed)
	a.closeSurplus(p.pool.Servers())
	p.probers.Set(p.pool.Servers())
	p.agents.Set(p.pool.Servers())
}

// closeSurplus closes idle connections to servers that have more than they may have now.
func (a *App) closeSurplus(servers []*pool.Server) {
	for _, s := range servers {
		if s.Surplus() > 0 {
			l := a.loops[0]
			l.fiber.Post(func() { l.proxy.Upstream().CloseSurplus(s) })
		}
	}
}

// closeIdle closes the kept connections of servers that are gone.
func (a *App) closeIdle(removed []*pool.Server) {
	for _, s := range removed {
		for _, l := range a.loops {
			l.fiber.Post(func() { l.proxy.Upstream().CloseIdle(s.ID) })
		}
	}
}

// passTurn returns when each loop has ended the turn that it was in.
func (a *App) passTurn() {
	for _, l := range a.loops {
		l.fiber.Call(func() {})
	}
}

// sameHealth tells whether a pool's servers go on being probed as before.
func sameHealth(a, b *config.Health) bool { return reflect.DeepEqual(a, b) }

package app

import (
	"poise/internal/clock"
	"poise/internal/config"
	"poise/internal/pool"
	"poise/internal/route"
)

func (a *App) buildTable() error {
	t, _, err := tableOf(a.o.Config, a.pools)
	if err != nil {
		return err
	}
	a.table.Store(t)
	return nil
}

// tableOf builds the routes; each listener's pool is its last route. The configuration's route of a table's route is at the same place; nil for a
// listener's pool.
func tableOf(c *config.Config, pools []*poolState) (*route.Table, *routeIndex, error) {
	byName := map[string]*poolState{}
	for _, p := range pools {
		byName[p.cfg.Name] = p
	}
	var listeners []route.Listener
	index := &routeIndex{}
	for _, l := range c.Listeners {
		rl := route.Listener{Name: l.Name}
		for _, r := range l.Routes {
			rl.Routes = append(rl.Routes, specOf(r, c, l, byName[r.Pool]))
			index.routes = append(index.routes, r)
		}
		if p := byName[l.Pool]; p != nil {
			t := timeoutsOf(&l.Timeouts.RouteTimeouts, c, l)
			rl.Routes = append(rl.Routes, route.Spec{Route: route.Route{Name: l.Name, Pool: p.pool, Affinity: p.cookie, Timeouts: t, Retry: retryOf(&p.cfg.Retry)}})
			index.routes = append(index.routes, nil)
		}
		listeners = append(listeners, rl)
	}
	t, warnings, err := route.Build(listeners)
	index.warnings = warnings
	return t, index, err
}

// routeIndex leads from a table's routes back to the configuration.
type routeIndex struct {
	routes   []*config.Route
	warnings []route.Warning
}

func specOf(r *config.Route, c *config.Config, l *config.Listener, p *poolState) route.Spec {
	m := route.Match{Host: r.Match.Host, Path: r.Match.Path, Methods: r.Match.Methods}
	for _, h := range r.Match.Headers {
		m.Headers = append(m.Headers, route.NameValue(h))
	}
	for _, q := range r.Match.Query {
		m.Query = append(m.Query, route.NameValue(q))
	}
	return route.Spec{Match: m, Route: route.Route{
		Name: r.Name, Pool: p.pool, Affinity: p.cookie, Timeouts: timeoutsOf(&r.Timeouts, c, l), Retry: retryOf(&p.cfg.Retry),
	}}
}

func retryOf(r *config.Retry) route.Retry {
	to := route.Retry{
		Attempts: r.Attempts, Repeats: r.Repeats, PerTry: r.PerTry,
		Connect: r.On.Has(config.OnConnect), Reset: r.On.Has(config.OnReset), Timeout: r.On.Has(config.OnTimeout),
	}
	for _, c := range r.On {
		if c.Name == "" {
			to.Statuses = append(to.Statuses, route.Statuses{From: c.Status.First, To: c.Status.Last})
		}
	}
	return to
}

func timeoutsOf(t *config.RouteTimeouts, c *config.Config, l *config.Listener) route.Timeouts {
	return route.Timeouts{
		Connect: t.Connect, Response: t.Response, Request: t.Request, BodyIdle: t.BodyIdle, BodyRate: int(t.BodyRate), Write: t.Write,
		Head: l.Timeouts.RequestHead, Idle: l.Timeouts.Idle, ServerIdle: c.Timeouts.ServerIdle,
	}
}

func listenerTimeouts(l *config.Listener) route.Timeouts {
	return route.Timeouts{Head: l.Timeouts.RequestHead, Idle: l.Timeouts.Idle, Write: l.Timeouts.Write}
}

// Check finds what only the building shows: routes that can never match, and files of certificates that cannot be used.
func Check(c *config.Config) config.Problems {
	var pools []*poolState
	for i, p := range c.Pools {
		pools = append(pools, &poolState{cfg: p, pool: pool.New(clock.Now(), pool.Spec{Name: p.Name, ID: i, Policy: policyOf(p.Policy)})})
	}
	_, index, err := tableOf(c, pools)
	problems := checkProbes(c)
	if err != nil {
		problems = append(problems, c.Problem(c, config.Error, err.Error(), ""))
	}
	for _, w := range index.warnings {
		if r := index.routes[w.Route.Index]; r != nil {
			problems = append(problems, c.Problem(r, config.Warning, "route "+w.Route.Name+" can never match: "+w.Reason, ""))
		}
	}
	problems.Sort()
	return problems
}

package app

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"poise/internal/clock"
	"poise/internal/config"
	"poise/internal/pool"
	"poise/internal/proxy"
	"poise/internal/route"
	"poise/internal/stats"
)

// built is a table with what belongs to it.
type built struct {
	*route.Table
	names    []stats.RouteName
	routes   []*config.Route // the configuration's, at the same place as the table's; nil for a listener's pool
	warnings []route.Warning
	kept     map[string]*kept // of routes, by their names
}

// tableOf builds the routes of listeners, which are c's or stand for them; each listener's pool is its last route.
//
// was is what the routes of before have that lasts.
func (a *App) tableOf(c *config.Config, from []*config.Listener, pools []*poolState, was map[string]*kept) (*built, error) {
	byName := map[string]*poolState{}
	for _, p := range pools {
		byName[p.cfg.Name] = p
	}
	var listeners []route.Listener
	b := &built{kept: map[string]*kept{}}
	for _, l := range from {
		rl := route.Listener{Name: l.Name}
		add := func(s route.Spec, of *config.Route) {
			s.Route.ID = a.routeIDs.number(l.Name, s.Route.Name)
			rl.Routes = append(rl.Routes, s)
			b.routes = append(b.routes, of)
			b.names = append(b.names, stats.RouteName{ID: s.Route.ID, Listener: l.Name, Route: s.Route.Name})
		}
		for _, r := range l.Routes {
			actions, err := actionsOf(r)
			if err != nil {
				return b, fmt.Errorf("route %s: %w", r.Name, err)
			}
			k, err := keptOf(r, was[r.Name], a.secret)
			if err != nil {
				return b, fmt.Errorf("route %s: %w", r.Name, err)
			}
			k.act(actions, a.secret)
			b.kept[r.Name] = k
			add(specOf(r, actions, k, c, l, byName), r)
		}
		last := route.Route{Name: l.Name, Timeouts: timeoutsOf(&l.Timeouts.RouteTimeouts, c, l), Upgrades: upgradesOf(l.Upgrades), HSTS: hstsOf(l)}
		if p := byName[l.Pool]; p != nil {
			p.takes(&last, nil)
			add(route.Spec{Route: last}, nil)
		} else if l.RedirectToHTTPS != 0 {
			last.Actions = &route.Actions{Redirect: &route.Redirect{
				Status: 308, Scheme: "https", Port: l.RedirectToHTTPS, Query: &route.Template{{Fact: route.Query}},
			}}
			add(route.Spec{Route: last}, nil)
		}
		listeners = append(listeners, rl)
	}
	var err error
	b.Table, b.warnings, err = route.Build(listeners)
	return b, err
}

func specOf(r *config.Route, actions *route.Actions, k *kept, c *config.Config, l *config.Listener, pools map[string]*poolState) route.Spec {
	to := route.Route{Name: r.Name, Timeouts: timeoutsOf(&r.Timeouts, c, l), Upgrades: upgradesOf(r.Upgrades), HSTS: hstsOf(l)}
	if x := r.ForwardAuth; x != nil {
		actions.Ask = askOf(x, pools[x.Pool].beside(to, x.Timeout))
	}
	if x := r.Mirror; x != nil {
		actions.Mirror = &route.Mirror{
			Route: pools[x.Pool].beside(to, x.Timeout), Share: float64(x.Share) / 100, MaxBody: int(x.MaxBody), InFlight: k.mirror,
		}
		actions.Mirror.Route.Timeouts.Request = x.Timeout
	}
	if len(r.Split) > 0 {
		actions.Split = &route.Split{}
		for _, share := range r.Split {
			way := to
			pools[share.Pool].takes(&way, r.Retry)
			actions.Split.Ways = append(actions.Split.Ways, route.Way{Route: &way, Weight: share.Weight})
		}
	} else if p := pools[r.Pool]; p != nil {
		p.takes(&to, r.Retry)
	}
	if *actions != (route.Actions{}) {
		to.Actions = actions
	}
	return route.Spec{Matches: matchesOf(r.Match), Route: to}
}

// askOf is who is asked whether the requests of a route may go on.
func askOf(x *config.ForwardAuth, to *route.Route) *route.Ask {
	path, query, asks := strings.Cut(x.Path, "?")
	a := &route.Ask{Route: to, Path: []byte(path), Copy: lower(x.Copy), CopyToClient: lower(x.CopyToClient)}
	if asks {
		a.Query = []byte("?" + query)
	}
	to.Timeouts.Response = x.Timeout
	return a
}

// beside sends what a route asks or tells this pool beside its requests, none of which takes longer than most.
func (p *poolState) beside(like route.Route, most time.Duration) *route.Route {
	p.takes(&like, nil)
	like.Affinity, like.GRPCWeb, like.Upgrades = nil, false, nil
	like.Timeouts.Connect = min(like.Timeouts.Connect, most)
	return &like
}

func lower(names []string) []string {
	var list []string
	for _, n := range names {
		list = append(list, strings.ToLower(n))
	}
	return list
}

// takes sends a route's requests to the pool. retry is the route's own; nil: the pool's holds.
func (p *poolState) takes(r *route.Route, retry *config.RouteRetry) {
	if retry == nil {
		retry = &p.cfg.Retry.RouteRetry
	}
	r.Pool, r.Affinity, r.Retry, r.GRPCWeb = p.pool, p.affinity, retryOf(retry), p.cfg.GRPCWeb
}

// hstsOf is a value of Strict-Transport-Security; empty: none.
func hstsOf(l *config.Listener) []byte {
	if l.TLS == nil || l.TLS.HSTS == nil {
		return nil
	}
	h := l.TLS.HSTS
	value := fmt.Appendf(nil, "max-age=%d", h.MaxAge/time.Second)
	if h.IncludeSubdomains {
		value = append(value, "; includeSubDomains"...)
	}
	if h.Preload {
		value = append(value, "; preload"...)
	}
	return value
}

func upgradesOf(names []string) [][]byte {
	var list [][]byte
	for _, name := range names {
		list = append(list, []byte(name))
	}
	return list
}

func retryOf(r *config.RouteRetry) route.Retry {
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
		Connect: t.Connect, Response: t.Response, Request: t.Request, BodyIdle: t.BodyIdle, BodyRate: int(t.BodyRate), Write: t.Write, RelayIdle: t.RelayIdle,
		Head: l.Timeouts.RequestHead, Idle: l.Timeouts.Idle, ServerIdle: c.Timeouts.ServerIdle,
	}
}

func listenerTimeouts(l *config.Listener) route.Timeouts {
	return route.Timeouts{
		Handshake: l.Timeouts.TLSHandshake, Head: l.Timeouts.RequestHead, Idle: l.Timeouts.Idle, Write: l.Timeouts.Write,
	}
}

// listenerOf is what a listener's connections have in common.
func listenerOf(index int, l *config.Listener, s *secured) *proxy.Listener {
	return &proxy.Listener{Index: index, Name: l.Name, Trust: l.TrustedProxies, TLS: s.tls(), Clients: s.asks(), HTTP2: l.HTTP2, Timeouts: listenerTimeouts(l)}
}

// Check finds what only the building shows: routes that can never match, and files of certificates that cannot be used.
func Check(c *config.Config) config.Problems {
	var pools []*poolState
	for i, p := range c.Pools {
		pools = append(pools, &poolState{cfg: p, pool: pool.New(clock.Now(), pool.Spec{Name: p.Name, ID: i, Policy: policyOf(p.Policy)})})
	}
	problems := slices.Concat(checkProbes(c), checkCertificates(c), checkClients(c), checkTickets(c), checkServerTLS(c))
	files := checkFiles(c)
	problems = append(problems, files...)
	b := &built{}
	if len(files) == 0 { // else that is what building the table finds first
		var err error
		if b, err = new(App).tableOf(c, c.Listeners, pools, nil); err != nil {
			problems = append(problems, c.Problem(c, config.Error, err.Error(), ""))
		}
	}
	for _, w := range b.warnings {
		if r := b.routes[w.Route.Index]; r != nil {
			problems = append(problems, c.Problem(r, config.Warning, "route "+w.Route.Name+" can never match: "+w.Reason, ""))
		}
	}
	problems.Sort()
	return problems
}

// checkFiles finds what is wrong with the files of answers and users.
func checkFiles(c *config.Config) (problems config.Problems) {
	report := func(at any, err error) {
		if err != nil {
			problems = append(problems, c.Problem(at, config.Error, err.Error(), ""))
		}
	}
	for _, l := range c.Listeners {
		_, err := pagesOf(l)
		report(l, err)
		for _, r := range l.Routes {
			_, err := actionsOf(r)
			report(r, err)
			_, err = usersOf(r, nil, nil)
			report(r, err)
		}
	}
	return problems
}

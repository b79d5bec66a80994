package app

import (
	"cmp"
	"fmt"
	"reflect"
	"strings"

	"poise/internal/config"
)

// fixed warns of what c changes and the running process cannot, compared with what it was started with.
func (a *App) fixed(c *config.Config) (problems config.Problems) {
	run := a.o.Config
	later := func(field any, key string) {
		if c.Pos(field).File == "" {
			field = c // it is not in the file any more
		}
		problems = append(problems, c.Problem(field, config.Warning, key+" was changed: it takes effect at the next start", ""))
	}
	for _, k := range []struct {
		key        string
		field      any
		is, wanted any
	}{
		{"loops", &c.Loops, run.Loops, c.Loops},
		{"driver", &c.Driver, run.Driver, c.Driver},
		{"limits.head", &c.Limits.Head, run.Limits.Head, c.Limits.Head},
		{"limits.fields", &c.Limits.Fields, run.Limits.Fields, c.Limits.Fields},
		{"limits.connections", &c.Limits.Connections, run.Limits.Connections, c.Limits.Connections},
		{"limits.connections_per_client", &c.Limits.ConnectionsPerClient, run.Limits.ConnectionsPerClient, c.Limits.ConnectionsPerClient},
		{"limits.streams", &c.Limits.Streams, run.Limits.Streams, c.Limits.Streams},
		{"limits.compressions", &c.Limits.Compressions, run.Limits.Compressions, c.Limits.Compressions},
		{"limits.handshakes", &c.Limits.Handshakes, run.Limits.Handshakes, c.Limits.Handshakes},
		{"limits.idle_per_server", &c.Limits.IdlePerServer, run.Limits.IdlePerServer, c.Limits.IdlePerServer},
		{"access_log.enabled", &c.AccessLog.Enabled, run.AccessLog.Enabled, c.AccessLog.Enabled},
		{"access_log.path", &c.AccessLog.Path, run.AccessLog.Path, c.AccessLog.Path},
		{"access_log.format", &c.AccessLog.Format, run.AccessLog.Format, c.AccessLog.Format},
		{"admin.enabled", &c.Admin.Enabled, run.Admin.Enabled, c.Admin.Enabled},
		{"admin.token_file", &c.Admin.TokenFile, run.Admin.TokenFile, c.Admin.TokenFile},
		{"admin.address", &c.Admin.Address, run.Admin.Address, c.Admin.Address},
	} {
		if !reflect.DeepEqual(k.is, k.wanted) {
			later(k.field, k.key)
		}
	}
	return append(problems, a.fixedListeners(c)...)
}

// fixedListeners warns of listeners that come, go or move.
func (a *App) fixedListeners(c *config.Config) (problems config.Problems) {
	later := func(l *config.Listener, what string) {
		problems = append(problems, c.Problem(l, config.Warning, what+": it takes effect at the next start", ""))
	}
	list, extra := a.pair(c)
	for _, l := range extra {
		later(l, "listener "+l.Name+" is new")
	}
	for i, run := range a.o.Config.Listeners {
		switch of := list[i].of; {
		case of == nil:
			problems = append(problems, c.Problem(c, config.Warning,
				"listener "+run.Name+" is gone: it takes effect at the next start; until then its routes to pools that are still there stay", ""))
		case !reflect.DeepEqual(run.Addresses, of.Addresses):
			later(of, fmt.Sprintf("listener %s: addresses were changed", run.Name))
		case run.Name != of.Name:
			later(of, fmt.Sprintf("listener %s: name was changed", run.Name))
		}
	}
	return problems
}

// changes are what a reload changed, for the log: + for what is new, - for what is gone, ~ for what is another one. Servers that stand for a name are not
// told apart here.
func changes(before, after *config.Config) []any {
	var servers list
	pools := compare(poolsOf(before), poolsOf(after), func(a, b *config.Pool) string {
		servers.add(a.Name+"/", serverChanges(a, b))
		x, y := *a, *b
		x.Servers, y.Servers = nil, nil
		return differs(x, y)
	})
	routes := compare(routesOf(before), routesOf(after), func(a, b routed) string { return differs(a, b) })
	var attrs []any
	for _, k := range []struct {
		key  string
		list list
	}{{"pools", pools}, {"servers", servers}, {"routes", routes}} {
		if len(k.list) > 0 {
			attrs = append(attrs, k.key, k.list.String())
		}
	}
	if len(attrs) == 0 {
		return []any{"changed", "no pool, server or route"}
	}
	return attrs
}

func serverChanges(a, b *config.Pool) list {
	return compare(serversIn(a), serversIn(b), func(x, y *config.Server) string {
		switch {
		case x.Weight != y.Weight:
			return fmt.Sprintf("(weight %d to %d)", x.Weight, y.Weight)
		case x.Backup != y.Backup:
			return fmt.Sprintf("(backup %t to %t)", x.Backup, y.Backup)
		case x.MaxRequests != y.MaxRequests:
			return fmt.Sprintf("(max_requests %d to %d)", x.MaxRequests, y.MaxRequests)
		case x.MaxConnections != y.MaxConnections:
			return fmt.Sprintf("(max_connections %d to %d)", x.MaxConnections, y.MaxConnections)
		case x.Tier != y.Tier:
			return fmt.Sprintf("(tier %d to %d)", x.Tier, y.Tier)
		case x.Zone != y.Zone:
			return fmt.Sprintf("(zone %s to %s)", cmp.Or(x.Zone, "none"), cmp.Or(y.Zone, "none"))
		}
		return ""
	})
}

// keyed are things by name, in the order of the file.
type keyed[T any] struct {
	names []string
	of    map[string]T
}

func (k *keyed[T]) put(name string, v T) {
	if k.of == nil {
		k.of = map[string]T{}
	}
	k.names = append(k.names, name)
	k.of[name] = v
}

// changed is what differs says of two things that are not the same.
const changed = "(changed)"

func differs(a, b any) string {
	if reflect.DeepEqual(a, b) {
		return ""
	}
	return changed
}

func compare[T any](before, after keyed[T], how func(a, b T) string) (l list) {
	for _, name := range after.names {
		old, ok := before.of[name]
		if !ok {
			l = append(l, "+"+name)
		} else if text := how(old, after.of[name]); text != "" {
			l = append(l, "~"+name+strings.TrimPrefix(text, changed))
		}
	}
	for _, name := range before.names {
		if _, ok := after.of[name]; !ok {
			l = append(l, "-"+name)
		}
	}
	return l
}

// list is a list for a line of the log.
type list []string

// add takes in what is called by its place in something named.
func (l *list) add(prefix string, more list) {
	for _, x := range more {
		*l = append(*l, x[:1]+prefix+x[1:])
	}
}

// maxListed is how many names a line has at most.
const maxListed = 20

func (l list) String() string {
	if more := len(l) - maxListed; more > 0 {
		return strings.Join(l[:maxListed], " ") + fmt.Sprintf(" and %d more", more)
	}
	return strings.Join(l, " ")
}

func poolsOf(c *config.Config) (k keyed[*config.Pool]) {
	for _, p := range c.Pools {
		k.put(p.Name, p)
	}
	return k
}

func serversIn(p *config.Pool) (k keyed[*config.Server]) {
	for _, s := range p.Servers {
		k.put(string(s.Address), s)
	}
	return k
}

// routed is what a request of a route goes by.
type routed struct {
	Listener  string
	Route     config.Route
	HTTPSPort int
	HSTS      *config.HSTS
}

func routesOf(c *config.Config) (k keyed[routed]) {
	for _, l := range c.Listeners {
		var hsts *config.HSTS
		if l.TLS != nil {
			hsts = l.TLS.HSTS
		}
		for _, r := range l.Routes {
			k.put(r.Name, routed{l.Name, *r, 0, hsts})
		}
		if l.Pool != "" || l.RedirectToHTTPS != 0 {
			k.put(l.Name, routed{
				l.Name, config.Route{Pool: l.Pool, Upgrades: l.Upgrades, Timeouts: l.Timeouts.RouteTimeouts}, l.RedirectToHTTPS, hsts,
			})
		}
	}
	return k
}

package app

import (
	"slices"

	"poise/internal/config"
	"poise/internal/proxy"
)

// paired is a listener that runs, with what a configuration says of it; name and addresses are those that it runs with.
type paired struct {
	config.Listener
	of *config.Listener // the configuration's; nil: it has none any more
}

// listeners are those that run, as c has them.
func (a *App) listeners(c *config.Config) (list []*config.Listener) {
	all, _ := a.pair(c)
	for i := range all {
		list = append(list, &all[i].Listener)
	}
	return list
}

// pair finds for each listener that runs the one in c that is meant: the one of its name, else of its addresses, else the only one where there is one. One
// that c does not have any more goes on with those of its routes whose pools are still there. extra are those of c that do not run.
func (a *App) pair(c *config.Config) (list []paired, extra []*config.Listener) {
	run := a.o.Config.Listeners
	list = make([]paired, len(run))
	extra = slices.Clone(c.Listeners)
	for _, same := range []func(r, l *config.Listener) bool{
		func(r, l *config.Listener) bool { return r.Name == l.Name },
		func(r, l *config.Listener) bool { return slices.Equal(r.Addresses, l.Addresses) },
		func(_, _ *config.Listener) bool { return len(run) == 1 && len(c.Listeners) == 1 },
	} {
		for i, r := range run {
			at := slices.IndexFunc(extra, func(l *config.Listener) bool { return same(r, l) })
			if list[i].of == nil && at >= 0 {
				list[i] = paired{*extra[at], extra[at]}
				list[i].Name, list[i].Addresses = r.Name, r.Addresses
				extra = slices.Delete(extra, at, at+1)
			}
		}
	}
	for i, r := range run {
		if list[i].of == nil {
			list[i].Listener = *without(r, c)
		}
	}
	return list, extra
}

// without is a listener that c does not have, without what leads to pools that c does not have either.
func without(l *config.Listener, c *config.Config) *config.Listener {
	kept := *l
	if c.Pools.Get(l.Pool) == nil {
		kept.Pool = ""
	}
	kept.Routes = slices.DeleteFunc(slices.Clone(l.Routes), func(r *config.Route) bool {
		return slices.ContainsFunc(r.Pools(), func(name string) bool { return c.Pools.Get(name) == nil })
	})
	return &kept
}

// changeListeners has the connections that come from now on be of these.
func (a *App) changeListeners(list []*proxy.Listener) {
	for _, next := range list {
		for _, on := range a.loops {
			on.fiber.Call(func() { on.proxy.Change(next) })
		}
	}
}

package app

import (
	"fmt"
	"maps"
	"net"
	"net/netip"
	"slices"
	"sync"

	"poise/internal/config"
	"poise/internal/discover"
)

// address is one address of a server's name.
type address = netip.AddrPort

// names are those that a configuration's servers are given by, with the addresses that they have at present.
type names struct {
	list    []string        // sorted
	lookups *discover.Names // nil: none

	mu        sync.Mutex // guards addresses
	addresses map[string][]address
}

// lookUp looks up the servers that are given by name, now and from time to time; those of before go on where they are the same. A name without an address is
// a problem only beside names that served before: a start goes on without.
func (a *App) lookUp(c *config.Config, before *names) (*names, config.Problems, error) {
	n := &names{list: namesOf(c), addresses: map[string][]address{}}
	if before != nil {
		if slices.Equal(n.list, before.list) {
			return before, nil, nil
		}
		n.addresses = before.copy(n.list)
	}
	if len(n.list) == 0 {
		return n, nil, nil
	}
	var err error
	n.lookups, err = discover.Start(discover.Settings{
		Names: n.list, Lookup: discover.System(&net.Resolver{PreferGo: true}),
		Changed: func(name string, addresses []netip.AddrPort) { a.nameChanged(n, name, addresses) },
		Failed: func(name string, err error) {
			a.o.Log.Warn("a server's name cannot be resolved; its last addresses are kept", "name", name, "error", err)
		},
	})
	if err != nil {
		return nil, nil, fmt.Errorf("resolve servers' names: %w", err)
	}
	if before == nil {
		return n, nil, nil
	}
	return n, n.missing(c, before), nil
}

// missing complains about names that are new and have no address.
func (n *names) missing(c *config.Config, before *names) (problems config.Problems) {
	for _, p := range c.Pools {
		for _, s := range p.Servers {
			name := string(s.Address)
			if isName(s.Address) && len(n.of(name)) == 0 && !slices.Contains(before.list, name) {
				problems = append(problems, c.Problem(&s.Address, config.Error, "the name of server "+name+" cannot be resolved", ""))
			}
		}
	}
	return problems
}

func (n *names) of(name string) []address {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.addresses[name]
}

func (n *names) set(name string, addresses []address) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.addresses[name] = addresses
}

// copy returns the addresses of those names that are in the list.
func (n *names) copy(list []string) map[string][]address {
	n.mu.Lock()
	defer n.mu.Unlock()
	addresses := maps.Clone(n.addresses)
	maps.DeleteFunc(addresses, func(name string, _ []address) bool { return !slices.Contains(list, name) })
	return addresses
}

// close ends the looking up. nameChanged may be waiting meanwhile: no lock of it may be held.
func (n *names) close() {
	if n.lookups != nil {
		n.lookups.Close()
	}
}

func namesOf(c *config.Config) []string {
	var list []string
	for _, p := range c.Pools {
		for _, s := range p.Servers {
			if isName(s.Address) {
				list = append(list, string(s.Address))
			}
		}
	}
	slices.Sort(list)
	return slices.Compact(list)
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
func (a *App) nameChanged(n *names, name string, addresses []netip.AddrPort) {
	n.set(name, addresses)
	a.changing.Lock()
	defer a.changing.Unlock()
	now := a.now.Load()
	if now == nil || now.names != n {
		return // not in use yet, or not any more
	}
	for _, p := range now.pools {
		if uses(p.cfg, name) {
			a.update(p, n)
		}
	}
}

func uses(c *config.Pool, name string) bool {
	return slices.ContainsFunc(c.Servers, func(s *config.Server) bool { return string(s.Address) == name })
}

package config

import (
	"fmt"
	"net/netip"
)

// pool checks one pool.
func (c *checker) pool(p *Pool) {
	if p.HTTPVersion == "auto" && p.ServerTLS == nil && c.good(&p.HTTPVersion) && !c.broken[&p.ServerTLS] {
		const what, hint = "http_version: auto is what servers choose over TLS, and there is no server_tls", "write 2 for servers that speak HTTP/2 in clear text"
		c.complain(&p.HTTPVersion, what, hint)
	}
	if p.GRPCWeb && p.HTTPVersion == "1.1" && !c.broken[&p.HTTPVersion] {
		c.complain(&p.GRPCWeb, "grpc_web: true is for servers of gRPC, and those speak HTTP/2", "write http_version: 2 beside it")
	}
	if c.good(&p.Name) && !isPlainName(p.Name) {
		c.complain(&p.Name, fmt.Sprintf("%q is not a pool's name", p.Name), "letters, digits and . _ - only, at most 128")
	}
	if c.broken[p] {
		return
	}
	c.servers(p)
	if p.ServerTLS != nil && !c.broken[p.ServerTLS] {
		c.serverTLS(p)
	}
	if p.Health != nil && !c.broken[p.Health] {
		c.health(p.Health)
	}
	if p.Agent != nil && !c.broken[p.Agent] {
		c.agent(p)
	}
	c.retry(&p.Retry.RouteRetry, &p.Retry, p.Retry.pays())
	c.hedge(p)
	c.eject(p)
	c.full(p)
	c.tiers(p)
	if p.Affinity != nil && !c.broken[p.Affinity] {
		c.affinity(p)
	}
	c.useless(p)
}

// isPlainName tells whether a pool or a zone can be called so. Commands name a server POOL/SERVER, so there is no slash.
func isPlainName(s string) bool {
	for _, c := range []byte(s) {
		if (c < '0' || c > '9') && (c|0x20 < 'a' || c|0x20 > 'z') && c != '.' && c != '_' && c != '-' {
			return false
		}
	}
	return s != "" && len(s) <= maxName
}

// servers checks a pool's servers.
func (c *checker) servers(p *Pool) {
	if len(p.Servers) == 0 {
		if !c.broken[&p.Servers] {
			at := c.at[p]
			if c.set(&p.Servers) {
				at = c.at[&p.Servers]
			}
			what := "the pool has no servers"
			if p != &c.config.Single {
				what = fmt.Sprintf("the pool %q has no servers", p.Name)
			}
			c.report(at, what, "add servers: [host:port]")
		}
		return
	}
	seen := map[Address]Pos{}
	weights, unknown := 0, false
	for _, s := range p.Servers {
		if c.broken[s] {
			unknown = true
			continue
		}
		if !c.set(&s.Address) {
			unknown = true
			c.report(c.at[s], "a server without an address", "add address: host:port")
			continue
		}
		c.address(&s.Address, "address", toDial)
		weights += s.Weight
		unknown = unknown || c.broken[&s.Weight]
		if c.broken[&s.Address] {
			continue
		}
		at := c.at[&s.Address]
		if before, twice := seen[s.Address]; twice {
			c.report(at, fmt.Sprintf("the server %s is there twice", s.Address), "first in "+c.where(before, at))
		} else {
			seen[s.Address] = at
		}
	}
	if weights == 0 && !unknown {
		c.report(c.at[&p.Servers], "every server has weight 0", "at least one needs more")
	}
}

// retry checks when a request is tried again.
func (c *checker) retry(r *RouteRetry, at any, pays bool) {
	if c.broken[at] {
		return
	}
	given := func(key any) bool { return c.good(key) && !c.broken[&r.Attempts] }
	switch {
	case r.Attempts == 1 && given(&r.On):
		c.warn(c.at[&r.On], "on has no effect: attempts is 1, so nothing is tried again", "")
	case r.Attempts == 1 && given(&r.Repeats) && r.Repeats > 0:
		c.warn(c.at[&r.Repeats], "repeats has no effect: attempts is 1, so nothing is tried again", "")
	case r.Repeats >= r.Attempts && given(&r.Repeats):
		c.warn(c.at[&r.Repeats], fmt.Sprintf("repeats is more than attempts (%d) leaves: the first try is none", r.Attempts), "")
	}
	if c.good(&r.On) {
		for i := range r.On {
			x := &r.On[i]
			if x.Name == "" && !c.broken[x] && x.Status.First < 400 {
				c.complain(x, fmt.Sprintf("on: %s is no failure", x.Status), "write statuses from 400 on, such as 503")
			}
		}
	}
	if !c.good(&r.PerTry) || r.PerTry == 0 {
		return
	}
	switch {
	case !r.On.Has(OnTimeout) && !c.broken[&r.On]:
		c.warn(c.at[&r.PerTry], "per_try has no effect: on has no timeout", "add timeout to on")
	case !r.repeats() || !pays:
		c.warn(c.at[&r.PerTry], "per_try has no effect: attempts, repeats or the budget let no other try follow", "")
	}
}

// repeats tells whether a request that was sent may be sent again.
func (r *Retry) repeats() bool { return r.RouteRetry.repeats() && r.pays() }

func (r *RouteRetry) repeats() bool { return r.Attempts > 1 && r.Repeats > 0 }

// pays tells whether the budget has any repeats.
func (r *Retry) pays() bool { return r.Budget > 0 || r.BudgetFloor > 0 }

// hedge checks when a second server is asked.
func (c *checker) hedge(p *Pool) {
	h, r := p.Hedge, &p.Retry
	if h == nil || c.broken[h] || c.broken[r] {
		return
	}
	switch {
	case !r.repeats():
		c.warn(c.at[h], "hedge has no effect: retry's attempts, repeats or budget let no second try begin", "")
	case c.alone(p):
		c.warn(c.at[h], "hedge has no effect: the pool has one server", "")
	case c.good(&r.PerTry) && r.PerTry > 0 && r.PerTry <= h.MinDelay && !c.broken[&h.MinDelay]:
		try, delay := formatDuration(r.PerTry), formatDuration(h.MinDelay)
		c.warn(c.at[h], fmt.Sprintf("hedge has no effect: retry's per_try (%s) is over before min_delay (%s)", try, delay), "")
	case p.Policy.Name == IPHash && !c.broken[&p.Policy]:
		c.warn(c.at[h], "with ip_hash, hedge asks a server that is not the client's own", "")
	}
}

// eject checks when servers are ejected.
func (c *checker) eject(p *Pool) {
	e := &p.Eject
	if c.broken[e] {
		return
	}
	if c.good(&e.Time) && !c.broken[&e.MaxTime] && e.Time > e.MaxTime {
		c.complain(&e.Time, fmt.Sprintf("time: longer than max_time (%s)", formatDuration(e.MaxTime)), "")
	} else if c.good(&e.MaxTime) && !c.broken[&e.Time] && e.Time > e.MaxTime {
		c.complain(&e.MaxTime, fmt.Sprintf("max_time: shorter than time (%s)", formatDuration(e.Time)), "")
	}
	if e.Enabled && e.ConsecutiveFailures == 0 && e.SuccessRate == 0 && e.Latency == 0 && c.good(&e.ConsecutiveFailures) {
		c.warn(c.at[&e.ConsecutiveFailures], "eject has no effect: all of its rules are switched off", "write enabled: false")
	}
	if c.set(e) && e.Enabled && c.alone(p) {
		c.warn(c.at[e], "eject has no effect: a pool's only server is never ejected", "")
	}
}

// full checks what happens when servers have all that they may have, or are down.
func (c *checker) full(p *Pool) {
	limited, unknown := p.MaxRequests > 0 || p.Adaptive != nil, c.broken[&p.Servers] || c.broken[&p.MaxRequests]
	for _, s := range p.Servers {
		unknown = unknown || c.broken[s] || c.broken[&s.MaxRequests] || c.broken[&s.MaxConnections]
		limited = limited || (!c.broken[s] && (s.MaxRequests > 0 || s.MaxConnections > 0))
		c.connections(s)
	}
	if c.set(&p.Queue) && !limited && !unknown {
		c.warn(c.at[&p.Queue], "queue has no effect: neither the pool nor a server has max_requests or max_connections, so nothing ever waits", "add max_requests")
	}
	if a := p.Adaptive; a != nil && !c.broken[a] {
		switch {
		case a.Min > a.Max && !c.broken[&a.Min] && !c.broken[&a.Max]:
			c.complain(a, fmt.Sprintf("adaptive: min (%d) is more than max (%d)", a.Min, a.Max), "")
		case p.MaxRequests > 0 && p.MaxRequests <= a.Min && !c.broken[&p.MaxRequests]:
			c.warn(c.at[a], fmt.Sprintf("adaptive has no effect: max_requests (%d) is not more than its min (%d)", p.MaxRequests, a.Min), "")
		}
	}
	if c.set(&p.FailOpen) && p.FailOpen.Enabled && p.Health == nil && p.Agent == nil && !c.broken[&p.Health] && !c.broken[&p.Agent] {
		c.warn(c.at[&p.FailOpen], "fail_open has no effect: without health or agent no server is ever down", "")
	}
	if c.good(&p.SlowStart) && p.SlowStart > 0 && c.alone(p) {
		c.warn(c.at[&p.SlowStart], "slow_start has no effect: the pool has one server, which gets everything", "")
	}
}

// connections checks how many connections a server may have.
func (c *checker) connections(s *Server) {
	if c.broken[s] || !c.good(&s.MaxConnections) || s.MaxConnections == 0 {
		return
	}
	if c.good(&s.MaxRequests) && s.MaxRequests > s.MaxConnections {
		c.warn(c.at[&s.MaxRequests],
			fmt.Sprintf("max_requests has no effect: max_connections (%d) is lower, and each request takes a connection", s.MaxConnections), "")
	}
	if loops := c.config.Loops; s.MaxConnections < loops && !c.broken[&c.config.Loops] {
		c.warn(c.at[&s.MaxConnections],
			fmt.Sprintf("max_connections is less than loops (%d): connections do not move between loops, so many requests need a new one", loops),
			"have fewer loops")
	}
}

// isName tells whether an address has a host name, which may stand for several servers.
func isName(a Address) bool {
	if _, unix := a.Unix(); unix {
		return false
	}
	host, _ := a.HostPort()
	_, err := netip.ParseAddr(host)
	return err != nil
}

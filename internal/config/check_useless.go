package config

import (
	"fmt"
	"slices"
	"time"
)

// What is here warns of settings that mean nothing beside others. Each check looks only at what the file sets: a default that has no effect is no
// mistake.

// useless looks at a pool by itself.
func (c *checker) useless(p *Pool) {
	n, known := c.count(p)
	alone := c.alone(p)
	c.uselessRetry(&p.Retry, alone)
	c.uselessEject(p)
	c.uselessLimits(p)
	f := &p.FailOpen
	switch {
	case !c.good(&f.Share) || f.Share == 0 || c.broken[&f.Enabled] || p.Health == nil:
	case !f.Enabled:
		c.warn(c.at[&f.Share], "share has no effect: enabled is false", "")
	case known && int(f.Share)*n < 100:
		c.warn(c.at[&f.Share], fmt.Sprintf("share has no effect: %d%% of %s is less than one, as with 0%%", f.Share, servers(n)), "")
	}
	if a := p.Affinity; alone && a != nil && !c.broken[a] && (a.Cookie != nil || a.Source != nil || a.Hash != nil) {
		c.warn(c.at[a], "affinity has no effect: the pool has one server", "")
	}
	primary := func(s *Server) bool { return !s.Backup }
	if known && n > 0 && !slices.ContainsFunc(p.Servers, primary) {
		c.warn(c.at[&p.Servers], "backup has no effect: every server is one", "leave it out for those that are to be used first")
	}
}

// count is how many servers a pool has. known: there is no mistake in them, and none is a host name, which may stand for several.
func (c *checker) count(p *Pool) (n int, known bool) {
	for _, s := range p.Servers {
		if c.broken[s] || c.broken[&s.Backup] || !c.good(&s.Address) || isName(s.Address) {
			return 0, false
		}
	}
	return len(p.Servers), !c.broken[&p.Servers]
}

// alone tells whether a pool is known to have one server.
func (c *checker) alone(p *Pool) bool {
	n, known := c.count(p)
	return known && n == 1
}

func servers(n int) string {
	if n == 1 {
		return "one server"
	}
	return fmt.Sprintf("%d servers", n)
}

// uselessRetry looks for repeats that cannot be. alone: the pool has one server.
func (c *checker) uselessRetry(r *Retry, alone bool) {
	if c.broken[r] || c.broken[&r.Attempts] || c.broken[&r.Repeats] || c.broken[&r.Budget] || c.broken[&r.BudgetFloor] || c.broken[&r.On] {
		return
	}
	why := ""
	switch {
	case r.Attempts == 1:
		why = "attempts is 1, so nothing is tried again"
	case r.Repeats == 0:
		why = "repeats is 0, so nothing is sent again"
	case r.Budget == 0 && r.BudgetFloor == 0:
		why = "budget and budget_floor are 0, so nothing is sent again"
	case !slices.ContainsFunc(r.On, func(x Cause) bool { return x.Name != OnConnect }):
		why = "on has nothing that follows a request which was sent"
	}
	if why != "" {
		if c.set(&r.Budget) && r.Budget > 0 {
			c.warn(c.at[&r.Budget], "budget has no effect: "+why, "")
		} else if c.set(&r.BudgetFloor) && r.BudgetFloor > 0 {
			c.warn(c.at[&r.BudgetFloor], "budget_floor has no effect: "+why, "")
		}
	}
	if why != "" && r.Attempts > 1 && c.set(&r.Repeats) && r.Repeats > 0 {
		c.warn(c.at[&r.Repeats], "repeats has no effect: "+why, "")
	}
	if why == "" && alone {
		why = "the pool has one server, whose answer stands"
	}
	if why == "" || r.Attempts == 1 || !c.set(&r.On) {
		return // with one attempt on has no effect at all, and that is said already
	}
	for i := range r.On {
		x, at := &r.On[i], c.at[&r.On]
		if c.set(x) {
			at = c.at[x]
		}
		if x.Name == "" && !c.broken[x] {
			c.warn(at, fmt.Sprintf("on: %s has no effect: %s", x.Status, why), "")
		}
	}
}

// uselessEject looks for rules that never apply.
func (c *checker) uselessEject(p *Pool) {
	e := &p.Eject
	if c.broken[e] || !e.Enabled || c.broken[&e.SuccessRate] || c.broken[&e.Latency] {
		return
	}
	if c.good(&e.MaxShare) && e.MaxShare == 0 {
		c.warn(c.at[&e.MaxShare], "max_share: with 0% too one server can be ejected", "write enabled: false to eject none")
	}
	compared := []struct {
		key   string
		field any
		on    bool
	}{
		{"success_rate", &e.SuccessRate, e.SuccessRate > 0},
		{"latency", &e.Latency, e.Latency > 0},
		{"interval", &e.Interval, true},
		{"min_requests", &e.MinRequests, true},
	}
	n, known := c.count(p)
	for _, s := range p.Servers {
		if known && s.Backup {
			n--
		}
	}
	for _, x := range compared {
		switch {
		case !c.good(x.field) || !x.on:
		case e.SuccessRate == 0 && e.Latency == 0:
			c.warn(c.at[x.field], x.key+" has no effect: success_rate and latency are 0", "")
		case known && n < 3 && len(p.Servers) > 1:
			c.warn(c.at[x.field], fmt.Sprintf("%s has no effect: three servers are compared at least, and the pool has %s", x.key, servers(n)), "")
		}
	}
}

// uselessLimits looks for limits that others never let be reached.
func (c *checker) uselessLimits(p *Pool) {
	q := &p.Queue
	if c.good(&q.Timeout) && c.good(&q.Length) && q.Length == 0 {
		c.warn(c.at[&q.Timeout], "timeout has no effect: length is 0, so nothing waits", "")
	}
	if c.broken[&p.MaxRequests] {
		return
	}
	sum, all := 0, true
	for _, s := range p.Servers {
		if c.broken[s] || c.broken[&s.MaxRequests] {
			return
		}
		if sum += s.MaxRequests; p.MaxRequests > 0 && s.MaxRequests > p.MaxRequests {
			c.warn(c.at[&s.MaxRequests], fmt.Sprintf("max_requests has no effect: it is more than the pool's (%d)", p.MaxRequests), "")
		}
		all = all && s.MaxRequests > 0
	}
	most, why := p.MaxRequests, fmt.Sprintf("max_requests (%d) is less", p.MaxRequests)
	if _, known := c.count(p); known && all && (most == 0 || sum < most) {
		if why = fmt.Sprintf("the servers' max_requests make %d together", sum); most > 0 {
			c.warn(c.at[&p.MaxRequests], "max_requests has no effect: "+why, "")
		}
		most = sum
	}
	c.uselessAdaptive(p, most, why)
}

// uselessAdaptive looks for a limit that finds itself where others leave it no room: most, for the reason why. 0: they leave it all.
func (c *checker) uselessAdaptive(p *Pool, most int, why string) {
	a := p.Adaptive
	switch {
	case a == nil || c.broken[a] || c.broken[&a.Min] || most == 0:
	case most <= a.Min && most != p.MaxRequests: // else that is said with the rest of adaptive
		c.warn(c.at[a], fmt.Sprintf("adaptive has no effect: %s, which is not more than its min (%d)", why, a.Min), "")
	case most > a.Min && c.good(&a.Max) && a.Max > most:
		c.warn(c.at[&a.Max], "max has no effect: "+why, "")
	}
}

// uselessTimes looks for times that others always end first.
func (c *checker) uselessTimes() {
	x := c.config
	c.uselessTimeouts(&x.Timeouts.RouteTimeouts)
	ways := map[string][]*RouteTimeouts{} // to each pool
	for _, l := range x.Listeners {
		c.uselessTimeouts(&l.Timeouts.RouteTimeouts)
		ways[l.Pool] = append(ways[l.Pool], &l.Timeouts.RouteTimeouts)
		for _, r := range l.Routes {
			c.uselessTimeouts(&r.Timeouts)
			for _, pool := range r.ends() {
				ways[pool] = append(ways[pool], &r.Timeouts)
			}
		}
	}
	for _, p := range x.Pools {
		r, q := &p.Retry, &p.Queue
		if c.good(&r.PerTry) && r.PerTry > 0 && r.repeats() && r.On.Has(OnTimeout) { // else that is what there is to say
			c.never(&r.PerTry, "per_try", ways[p.Name], true)
		}
		if c.good(&q.Timeout) && q.Length > 0 {
			c.never(&q.Timeout, "timeout", ways[p.Name], false)
		}
	}
	if m := &x.Limits; c.good(&m.ConnectionsPerClient) && c.good(&m.Connections) && m.Connections > 0 && m.ConnectionsPerClient > m.Connections {
		c.warn(c.at[&m.ConnectionsPerClient], fmt.Sprintf("connections_per_client has no effect: it is more than connections (%d)", m.Connections), "")
	}
}

// never warns of a pool's time that is longer than each way to the pool allows. answer: it is for an answer's head.
func (c *checker) never(field *time.Duration, key string, ways []*RouteTimeouts, answer bool) {
	why := ""
	for _, t := range ways {
		switch {
		case c.broken[&t.Request] || c.broken[&t.Response]:
			return
		case t.Request > 0 && *field >= t.Request:
			why = fmt.Sprintf("timeouts.request (%s)", formatDuration(t.Request))
		case answer && t.Response > 0 && *field > t.Response: // which begins a little later, when the request has been sent
			why = fmt.Sprintf("timeouts.response (%s)", formatDuration(t.Response))
		default:
			return
		}
	}
	if why != "" {
		c.warn(c.at[field], fmt.Sprintf("%s has no effect: %s is over before", key, why), "make it shorter")
	}
}

// uselessTimeouts looks at what is set in one place.
func (c *checker) uselessTimeouts(t *RouteTimeouts) {
	if c.broken[&t.Request] || t.Request == 0 {
		return
	}
	for _, x := range []struct {
		key   string
		field *time.Duration
	}{{"connect", &t.Connect}, {"response", &t.Response}} {
		if c.good(x.field) && *x.field >= t.Request {
			c.warn(c.at[x.field], fmt.Sprintf("%s has no effect: request (%s) is over before", x.key, formatDuration(t.Request)), "make it shorter than request")
		}
	}
}

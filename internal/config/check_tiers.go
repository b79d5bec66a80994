package config

import "fmt"

// tiers warns of tiers that make no difference.
func (c *checker) tiers(p *Pool) {
	var one *Server // of those that are in a tier
	alike := !c.broken[&p.Servers]
	for _, s := range p.Servers {
		switch {
		case c.broken[s] || c.broken[&s.Tier] || c.broken[&s.Backup]:
			alike = false
		case s.Backup && c.set(&s.Tier):
			c.warn(c.at[&s.Tier], "tier has no effect: a backup is in no tier", "")
		case s.Backup:
		case one == nil:
			one = s
		default:
			alike = alike && s.Tier == one.Tier
		}
	}
	if alike && one != nil && one.Tier > 0 {
		c.warn(c.at[&one.Tier], fmt.Sprintf("tier has no effect: all servers are in tier %d", one.Tier), "")
	}
}

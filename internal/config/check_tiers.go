package config

import (
	"fmt"
	"slices"
)

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

// zones checks Poise's zone and those of all servers, and warns where they make no difference.
func (c *checker) zones() {
	home := &c.config.Zone
	c.zone(home)
	var known []string
	var first *Server // of those that are in a zone
	whole := !c.broken[&c.config.Pools]
	for _, p := range c.config.Pools {
		whole = whole && !c.broken[p] && !c.broken[&p.Servers]
		for _, s := range p.Servers {
			c.zone(&s.Zone)
			if c.broken[s] || c.broken[&s.Zone] {
				whole = false
			} else if s.Zone != "" {
				known = append(known, s.Zone)
				if first == nil {
					first = s
				}
			}
		}
	}
	switch {
	case !whole || c.broken[home]:
	case *home == "" && first != nil:
		c.warn(c.at[&first.Zone], "zone has no effect: this Poise itself is in none", "add zone: NAME at the top of the file")
	case *home != "" && !slices.Contains(known, *home):
		hint := "give servers the zone that they are in"
		if len(known) > 0 {
			slices.Sort(known)
			known = slices.Compact(known)
			hint = didYouMean(*home, known[:min(len(known), maxNamed)])
		}
		c.warn(c.at[home], fmt.Sprintf("zone has no effect: no server is in the zone %q", *home), hint)
	}
}

// zone checks a zone's name.
func (c *checker) zone(field *string) {
	if c.good(field) && *field != "" && !isPlainName(*field) {
		c.complain(field, fmt.Sprintf("zone: %q is not a zone's name", *field), "letters, digits and . _ - only, at most 128")
	}
}

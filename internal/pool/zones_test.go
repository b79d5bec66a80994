package pool

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// inZones are servers that stand in tiers in order, with the zone of each: "aab b" is two of tier 0 in zone a and one in zone b, and one of tier 1 in zone b;
// "-" is in none, "+b" a backup. Their names are those of their tiers and a number: "0.1" is the second of tier 0.
func inZones(words string) []ServerSpec {
	var list []ServerSpec
	for tier, word := range strings.Fields(words) {
		zones, backup := strings.CutPrefix(word, "+")
		for i, zone := range zones {
			spec := ServerSpec{Address: fmt.Sprintf("%d.%d", tier, i), Weight: 1, Tier: tier, Backup: backup}
			if zone != '-' {
				spec.Zone = string(zone)
			}
			list = append(list, spec)
		}
	}
	return list
}

func TestZoneShares(t *testing.T) {
	tests := []struct {
		name, zone, servers string
		down                string // the names of those
		want                string
	}{
		{"all are up", "a", "aabb", "", "tier 0 local: 100 %, tier 0 other: 0 %"},
		{"half of the zone is up", "a", "aabb", "0.0", "tier 0 local: 70 %, tier 0 other: 30 %"},
		{"three quarters of the zone are up", "a", "aaaab", "0.0", "tier 0 local: 100 %, tier 0 other: 0 %"},
		{"a third of the zone is up, and half elsewhere", "a", "aaabb", "0.0 0.1 0.3", "tier 0 local: 46 %, tier 0 other: 54 %"},
		{"neither suffices", "a", "aaaabbbb", "0.0 0.1 0.2 0.4 0.5 0.6", "tier 0 local: 50 %, tier 0 other: 50 %"},
		{"none of the zone is up", "a", "aabb", "0.0 0.1", "tier 0 local: 0 %, tier 0 other: 100 %"},
		{"none elsewhere is up", "a", "aabb", "0.2 0.3", "tier 0 local: 100 %, tier 0 other: 0 %"},
		{"a server without zone is elsewhere", "a", "a-", "", "tier 0 local: 100 %, tier 0 other: 0 %"},
		{"no server is in the zone", "c", "ab", "", "tier 0 other: 100 %"},
		{"Poise is in no zone", "", "ab", "", "tier 0: 100 %"},
		{"all are in the zone", "a", "aa", "0.0", "tier 0: 100 %"},
		// The zone's servers of a tier are worth no more than their tier: those elsewhere come before the next tier's.
		{"a tier first", "a", "ab ab", "0.0", "tier 0 local: 0 %, tier 0 other: 70 %, tier 1 local: 30 %, tier 1 other: 0 %"},
		{
			"a tier that spills, within the zone and beyond", "a", "aabb ab", "0.0 0.2 0.3",
			"tier 0 local: 35 %, tier 0 other: 0 %, tier 1 local: 65 %, tier 1 other: 0 %",
		},
		{"backups", "a", "a +ba", "0.0", "tier 0 local: 0 %, backup local: 100 %, backup other: 0 %"},
		{"none is up at all", "a", "ba", "0.0 0.1", "tier 0 local: 100 %, tier 0 other: 0 %"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p := New(start, Spec{Name: "app", Policy: &inOrder{}, Servers: inZones(tt.servers), Health: probedOnce(), Zone: tt.zone})
			p.sick(start, strings.Fields(tt.down)...)
			if got := p.shares(); got != tt.want {
				t.Errorf("shares = %s, want %s", got, tt.want)
			}
		})
	}
}

// A zone without room leaves requests to others of its tier, then to the next tier; only then they wait.
func TestFullZoneSpillsBeforeTheQueue(t *testing.T) {
	c := newCrowd(t, "a b c", Spec{Queue: Queue{Length: 9}, Zone: "home"})
	list := specs("a b c")
	for i := range list {
		list[i].MaxRequests = 1
	}
	list[1].Zone, list[2].Zone, list[2].Tier = "home", "home", 1
	c.Update(c.now, list)
	c.want("the first", c.ask("1", Query{}), "b")
	c.want("the second", c.ask("2", Query{}), "a")
	c.want("the third", c.ask("3", Query{}), "c")
	c.want("the fourth", c.ask("4", Query{}), "waits at 1")
	c.l["1"].End()
	c.want("the fourth", c.got("4"), "b")
}

// What changes is where servers are, or where Poise is: they stay the same ones.
func TestZonesChangeWhileRunning(t *testing.T) {
	spec := Spec{Name: "app", Policy: &inOrder{}, Servers: inZones("ab"), Zone: "a"}
	p := New(start, spec)
	s := p.server(t, "0.1")
	spec.Zone = "b"
	p.Configure(start, spec)
	if l, err := p.Acquire(start, &Query{}); err != nil || l.Server() != s {
		t.Errorf("in zone b, Acquire() = %v, %v, want the same server 0.1", l.Server(), err)
	}
	p.Update(start, inZones("ba"))
	if l, err := p.Acquire(start, &Query{}); err != nil || l.Server() != p.server(t, "0.0") || s.Zone() != "a" {
		t.Errorf("after an update, Acquire() = %v, %v and the other's zone %q, want 0.0 and a", l.Server(), err, s.Zone())
	}
	if e := p.Tick(start.Add(time.Second)); len(e) != 0 {
		t.Errorf("Tick() = %v, want nothing to tell", e)
	}
}

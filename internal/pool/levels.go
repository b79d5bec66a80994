package pool

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"poise/internal/health"
)

// Requests are spread over tiers as Envoy spreads them over priority levels: a tier's health is its share of healthy servers with a reserve on top, and each
// tier takes as much as its health allows of what those before have left. [Envoy: Priority levels, overprovisioning_factor 140] Within a tier the servers of
// Poise's own zone come before the others by the same rule.
const (
	whole   = 100 // all of a pool's requests, or of a level's servers, in hundredths
	reserve = 140 // a level takes all of its requests down to 100/1.4, that is 71.4 %, of its servers
)

// MaxTier is the last tier; they count from 0. Backups are one more, which has its turn when no other has a server that is up.
const (
	MaxTier = 15
	backups = MaxTier + 1
)

// members counts the servers of a level that take new clients as far as weights and orders go.
type members struct{ all, known, up int }

func (m *members) add(state health.State) {
	m.all++
	if state != health.Checking { // of which nothing is known: it is neither healthy nor sick
		m.known++
	}
	if state == health.Up {
		m.up++
	}
}

// health is what share of all requests the servers can take, in hundredths.
func (m *members) health() int {
	if m.up == 0 {
		return 0
	}
	return min(whole, max(1, reserve*m.up/m.known))
}

// places are where a server can be within a tier: in Poise's zone, or elsewhere. Each tier has a level for each.
const (
	local = iota
	elsewhere
	places
)

// groups are the counts of all levels, in the order in which requests turn to them.
type groups [backups + 1][places]members

// arrange sorts the servers in the states that get requests into levels, and says what share of the requests each one gets. mu is held.
func (p *Pool) arrange(states []health.State) (levels []level, list []Level) {
	var servers [backups + 1][places][]*Server
	var counts groups
	home, zoned := p.settings.Load().zone, false
	for _, s := range p.Servers() {
		tier, place := s.rank(), local
		if home != "" && s.Zone() != home {
			place, zoned = elsewhere, true
		}
		if !s.takes() {
			continue
		}
		state := s.State()
		counts[tier][place].add(state)
		if slices.Contains(states, state) {
			servers[tier][place] = append(servers[tier][place], s)
		}
	}
	shares := counts.shares()
	none := sum(shares) == 0 // is up
	for i, share := range shares {
		tier, place := i/places, i%places
		some := len(servers[tier][place]) > 0
		if none && some {
			none, share = false, whole
		}
		if counts[tier][place].all > 0 {
			list = append(list, Level{Tier: tier, Zoned: zoned, Elsewhere: place == elsewhere, Share: share})
		}
		if some {
			levels = append(levels, level{share: share, servers: servers[tier][place]})
		}
	}
	return levels, list
}

// shares divides the requests among the tiers, and what a tier gets among its servers in the zone and those elsewhere.
func (g *groups) shares() (shares []int) {
	var healths [backups + 1]int
	for t, in := range g {
		both := members{in[local].all + in[elsewhere].all, in[local].known + in[elsewhere].known, in[local].up + in[elsewhere].up}
		healths[t] = both.health()
	}
	if sum(healths[:backups]) > 0 {
		healths[backups] = 0
	}
	for t, share := range divide(whole, healths[:]) {
		shares = append(shares, divide(share, []int{g[t][local].health(), g[t][elsewhere].health()})...)
	}
	return shares
}

// divide splits total in the order of healths: each takes what its health allows of what is left. Where they do not come to the whole together, each takes by
// so much more; what rounding leaves goes to the first.
func divide(total int, healths []int) []int {
	shares := make([]int, len(healths))
	left, all := total, min(whole, sum(healths))
	first := -1
	for i, h := range healths {
		if h == 0 {
			continue
		}
		if first < 0 {
			first = i
		}
		shares[i] = min(left, total*h/all)
		left -= shares[i]
	}
	if first >= 0 {
		shares[first] += left
	}
	return shares
}

func sum(list []int) (n int) {
	for _, x := range list {
		n += x
	}
	return n
}

// Level is some of a pool's servers, and what share of its requests goes to them as long as they have room.
type Level struct {
	Tier      int  // from 0; MaxTier and 1 more are the backups
	Zoned     bool // the pool has servers elsewhere than in Poise's zone
	Elsewhere bool // these are
	Share     int  // in hundredths
}

// Name is the tier's number, or what the backups are called.
func (l Level) Name() string {
	if l.Tier == backups {
		return "backup"
	}
	return strconv.Itoa(l.Tier)
}

// Zone is local or other; empty where zones make no difference.
func (l Level) Zone() string {
	switch {
	case l.Elsewhere:
		return "other"
	case l.Zoned:
		return "local"
	}
	return ""
}

func (l Level) String() string {
	name := l.Name()
	if l.Tier != backups {
		name = "tier " + name
	}
	if zone := l.Zone(); zone != "" {
		name += " " + zone
	}
	return fmt.Sprintf("%s: %d %%", name, l.Share)
}

// Levels returns the pool's levels in the order in which requests turn to them when those before are full. The slice is shared: it must not be changed.
func (p *Pool) Levels() []Level { return p.view.Load().list }

// Spill is a change of which levels a pool's requests go to.
type Spill struct {
	Pool   string
	Levels string // those that get some; empty: all go where they usually do
}

// spilled tells of a change since the last time. mu is held.
func (p *Pool) spilled() *Spill {
	v := p.view.Load()
	if !p.started || len(v.levels) == 0 {
		return nil
	}
	var parts []string
	for _, l := range v.list {
		if l.Share > 0 && v.list[0].Share < whole {
			parts = append(parts, l.String())
		}
	}
	now := strings.Join(parts, ", ")
	if now == p.spill {
		return nil
	}
	p.spill = now
	return &Spill{p.Name, now}
}

package pool

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"poise/internal/health"
)

// Requests are spread over tiers as Envoy spreads them over priority levels: a tier's health is its share of healthy servers with a reserve on top, and each
// tier takes as much as its health allows of what those before have left. [Envoy: Priority levels, overprovisioning_factor 140]
const (
	whole   = 100 // all of a pool's requests, or of a tier's servers, in hundredths
	reserve = 140 // a tier takes all of its requests down to 100/1.4, that is 71.4 %, of its servers
)

// MaxTier is the last tier; they count from 0. Backups are one more, which has its turn when no other has a server that is up.
const (
	MaxTier = 15
	backups = MaxTier + 1
)

// members counts the servers of a tier that take new clients as far as weights and orders go.
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

// arrange sorts the servers in the states that get requests into levels, and says what share of the requests each one gets. mu is held.
func (p *Pool) arrange(states []health.State) (levels []level, list []Level) {
	var tiers [backups + 1]level
	var counts [backups + 1]members
	for _, s := range p.Servers() {
		if !s.takes() {
			continue
		}
		state, t := s.State(), s.rank()
		counts[t].add(state)
		if slices.Contains(states, state) {
			tiers[t].servers = append(tiers[t].servers, s)
		}
	}
	shares := tierShares(&counts)
	if i := slices.IndexFunc(tiers[:], func(l level) bool { return len(l.servers) > 0 }); i >= 0 && sum(shares) == 0 {
		shares[i] = whole // none is up
	}
	for t, l := range tiers {
		if counts[t].all == 0 {
			continue
		}
		list = append(list, Level{Tier: t, Share: shares[t]})
		if l.share = shares[t]; len(l.servers) > 0 {
			levels = append(levels, l)
		}
	}
	return levels, list
}

// tierShares divides the requests among the tiers.
func tierShares(counts *[backups + 1]members) []int {
	var healths [backups + 1]int
	for t := range counts {
		healths[t] = counts[t].health()
	}
	if sum(healths[:backups]) > 0 {
		healths[backups] = 0
	}
	return divide(whole, healths[:])
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
	Tier  int // from 0; MaxTier and 1 more are the backups
	Share int // in hundredths
}

// Name is the tier's number, or what the backups are called.
func (l Level) Name() string {
	if l.Tier == backups {
		return "backup"
	}
	return strconv.Itoa(l.Tier)
}

func (l Level) String() string {
	if l.Tier == backups {
		return fmt.Sprintf("backup: %d %%", l.Share)
	}
	return fmt.Sprintf("tier %d: %d %%", l.Tier, l.Share)
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

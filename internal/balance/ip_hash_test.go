package balance

import (
	"encoding/binary"
	"math/rand/v2"
	"net/netip"
	"testing"

	"poise/internal/pool"
)

// randomClient is an IPv4 or IPv6 address.
func randomClient(r *rand.Rand) netip.Addr {
	var b [16]byte
	binary.LittleEndian.PutUint64(b[:], r.Uint64())
	binary.LittleEndian.PutUint64(b[8:], r.Uint64())
	if b[0]&1 == 0 {
		return netip.AddrFrom4([4]byte(b[4:8]))
	}
	return netip.AddrFrom16(b)
}

func clients(n int) []netip.Addr {
	r := rand.New(rand.NewPCG(1, 2))
	list := make([]netip.Addr, n)
	for i := range list {
		list[i] = randomClient(r)
	}
	return list
}

func pickFor(p pool.Picker, client netip.Addr) *pool.Server {
	return p.Pick(&pool.Query{Client: client})
}

func TestIPHashKeepsClients(t *testing.T) {
	policy, servers := IPHash([2]uint64{1, 2}), newServers(3, 1, 1, 2)
	one, two := policy.Build(servers, 0), policy.Build(servers, 1)
	for _, c := range clients(1000) {
		got, want := pickFor(two, c), pickFor(one, c)
		if got != want || pickFor(one, c) != want {
			t.Fatalf("Pick for %v = %s on the second loop, want %s", c, got.Name, want.Name)
		}
	}
}

func TestIPHashMappedIPv4IsOneClient(t *testing.T) {
	p := IPHash([2]uint64{1, 2}).Build(newServers(equal(50)...), 0)
	for _, c := range clients(200) {
		if !c.Is4() {
			continue
		}
		if got, want := pickFor(p, netip.AddrFrom16(c.As16())), pickFor(p, c); got != want {
			t.Fatalf("Pick for the mapped form of %v = %s, want %s", c, got.Name, want.Name)
		}
	}
	if a := pickFor(p, netip.Addr{}); a == nil || a != pickFor(p, netip.Addr{}) {
		t.Error("clients without an address have no steady server")
	}
}

// TestIPHashUsesTheWholeAddress: two addresses of one /64 must be able to differ.
func TestIPHashUsesTheWholeAddress(t *testing.T) {
	p := IPHash([2]uint64{1, 2}).Build(newServers(equal(50)...), 0)
	seen := map[*pool.Server]bool{}
	for i := range 256 {
		a := netip.MustParseAddr("2001:db8::").As16()
		a[15] = byte(i)
		seen[pickFor(p, netip.AddrFrom16(a))] = true
	}
	if len(seen) < 40 {
		t.Errorf("256 addresses of one network fall on %d of 50 servers, want nearly all", len(seen))
	}
}

// TestIPHashMovesLittle takes each server away in turn: its clients spread over the others by weight, and nobody else moves.
func TestIPHashMovesLittle(t *testing.T) {
	for _, weights := range [][]int{equal(8), {4, 2, 1, 1, 3}} {
		policy, servers := IPHash([2]uint64{1, 2}), newServers(weights...)
		all := policy.Build(servers, 0)
		for gone := range servers {
			rest := append(append([]*pool.Server{}, servers[:gone]...), servers[gone+1:]...)
			without := policy.Build(rest, 0)
			moved := map[string]int{}
			for _, c := range clients(20_000) {
				before, after := pickFor(all, c), pickFor(without, c)
				if before == servers[gone] {
					moved[after.Name]++
				} else if after != before {
					t.Fatalf("weights %v without %s: %v moved from %s to %s", weights, servers[gone].Name, c, before.Name, after.Name)
				}
			}
			checkShares(t, "clients of "+servers[gone].Name, moved, rest)
		}
	}
}

// TestRX8KeyedHash: addresses that all fall on one server under one key spread evenly under another, so that who does not
// know the key cannot choose them.
func TestRX8KeyedHash(t *testing.T) {
	servers := newServers(equal(10)...)
	known := IPHash([2]uint64{1, 2}).Build(servers, 0)
	other := IPHash([2]uint64{3, 4}).Build(servers, 0)
	counts := map[string]int{}
	for _, c := range clients(100_000) {
		if pickFor(known, c) == servers[0] {
			counts[pickFor(other, c).Name]++
		}
	}
	checkShares(t, "chosen clients under another key", counts, servers)
	a, _ := ByName("ip_hash")
	b, _ := ByName("ip_hash")
	if *a.(*ipHash) == *b.(*ipHash) {
		t.Error("two policies by name have the same key")
	}
}

package affinity

import (
	"math/rand/v2"
	"net/netip"
	"sync"
	"testing"
	"time"

	"poise/internal/clock"
	"poise/internal/pool"
	"poise/internal/siphash"
)

const minute = clock.Instant(time.Minute)

var testKey = siphash.Key{1, 2}

func newSource(size, ipv6 int, p *pool.Pool) *Source {
	return NewSource(SourceSettings{Key: testKey, IPv6: ipv6}, NewTable(size, 30*time.Minute), p)
}

func address(n int) netip.Addr {
	return netip.AddrFrom4([4]byte{10, byte(n >> 16), byte(n >> 8), byte(n)})
}

// ask is a request from an address that s answers.
func ask(k Kind, now clock.Instant, from netip.Addr, s *pool.Server) Found {
	f := k.Find(now, from, nil)
	k.Keep(now, &f, s, nil)
	return f
}

func letters(f Found) string { return string([]byte{f.In, f.Out}) }

func TestSourceKeepsAClient(t *testing.T) {
	p := newPool("app", "a", "b", "c")
	servers := p.Servers()
	s := newSource(1000, 0, p)
	client, other := address(1), address(2)
	steps := []struct {
		what     string
		now      clock.Instant
		from     netip.Addr
		answered *pool.Server
		letters  string
		server   *pool.Server
	}{
		{"a new client", minute, client, servers[1], "NI", nil},
		{"its second request", 2 * minute, client, servers[1], "VN", servers[1]},
		{"another client", 2 * minute, other, servers[2], "NI", nil},
		{"just before it would be forgotten", 31 * minute, client, servers[1], "VN", servers[1]},
		{"as one IPv6 address", 32 * minute, netip.AddrFrom16(client.As16()), servers[1], "VN", servers[1]},
		{"another server had to answer", 33 * minute, client, servers[0], "VU", servers[1]},
		{"it stays with that one", 34 * minute, client, servers[0], "VN", servers[0]},
		{"long after its last request", 65 * minute, client, servers[2], "EI", nil},
		{"without an address", 66 * minute, netip.Addr{}, servers[2], "\x00\x00", nil},
	}
	for _, tt := range steps {
		f := ask(s, tt.now, tt.from, tt.answered)
		if letters(f) != tt.letters || f.Server != tt.server {
			t.Errorf("%s: Find and Keep = %q, %v, want %q, %v", tt.what, letters(f), f.Server, tt.letters, tt.server)
		}
	}
	p.Update(2, specs("a", "b"))
	if f := ask(s, 67*minute, client, servers[0]); letters(f) != "II" || f.Server != nil {
		t.Errorf("a client whose server was removed: %q, %v, want II and none", letters(f), f.Server)
	}
}

// Of requests that a new client sends at once, the first that is answered decides for all that follow.
func TestSourceFirstAnswerDecides(t *testing.T) {
	p := newPool("app", "a", "b")
	s := newSource(1000, 0, p)
	one, two := s.Find(minute, address(1), nil), s.Find(minute, address(1), nil)
	s.Keep(minute, &two, p.Servers()[1], nil)
	s.Keep(minute, &one, p.Servers()[0], nil)
	if f := s.Find(minute, address(1), nil); f.Server != p.Servers()[1] || letters(one) != "NN" {
		t.Errorf("after two answers: %v, want b, and the second noted as %q, want NN", f.Server, letters(one))
	}
}

func TestSourceIPv6Prefix(t *testing.T) {
	p := newPool("app", "a", "b")
	base := netip.MustParseAddr("2001:db8:1:2::1")
	tests := []struct {
		bits int
		addr string
		same bool
	}{
		{128, "2001:db8:1:2::2", false},
		{64, "2001:db8:1:2:ffff::2", true},
		{64, "2001:db8:1:3::1", false},
		{60, "2001:db8:1:f::1", true},
		{60, "2001:db8:1:10::1", false},
		{63, "2001:db8:1:3::1", true},
	}
	for _, tt := range tests {
		s := newSource(1000, tt.bits, p)
		ask(s, minute, base, p.Servers()[0])
		if f := s.Find(minute, netip.MustParseAddr(tt.addr), nil); (f.Server != nil) != tt.same {
			t.Errorf("with /%d, %s is %s's client: %v, want %v", tt.bits, tt.addr, base, f.Server != nil, tt.same)
		}
	}
	s := newSource(1000, 32, p)
	ask(s, minute, address(1), p.Servers()[0])
	if f := s.Find(minute, address(2), nil); f.Server != nil {
		t.Error("the prefix of IPv6 makes two IPv4 addresses one client")
	}
}

// TestRX8FloodOfAddresses: no number of addresses makes the table greater, and who goes on using it stays in.
func TestRX8FloodOfAddresses(t *testing.T) {
	const size, flood = 8000, 500_000
	p := newPool("app", "a", "b")
	s := newSource(size, 0, p)
	regular := netip.MustParseAddr("2001:db8::1")
	ask(s, minute, regular, p.Servers()[1])
	lost := 0
	for i := range flood {
		now := minute + clock.Instant(i)*clock.Instant(time.Millisecond)
		ask(s, now, address(i), p.Servers()[0])
		if i%(size/8) == 0 {
			if f := ask(s, now, regular, p.Servers()[1]); f.Server != p.Servers()[1] {
				lost++
			}
		}
	}
	held := 0
	for i := range s.table.sets {
		for j := range s.table.sets[i] {
			if s.table.sets[i][j].Load() != 0 {
				held++
			}
		}
	}
	if len(s.table.sets) != size/ways || held != size {
		t.Errorf("after %d addresses the table of %d holds %d in %d sets, want it full and as large as at first", flood, size, held, len(s.table.sets))
	}
	if lost > 0 {
		t.Errorf("a client that went on asking lost its server %d times, want never", lost)
	}
}

// TestRX8AddressesOfOneSet: addresses that push each other out of a table spread evenly over one with another key.
func TestRX8AddressesOfOneSet(t *testing.T) {
	p := newPool("app", "a")
	known := newSource(800, 0, p)
	other := NewSource(SourceSettings{Key: siphash.Key{3, 4}}, NewTable(800, time.Minute), p)
	sets := map[any]int{}
	chosen := 0
	for i := range 100_000 {
		if a := address(i); known.table.set(siphash.Address(known.Key, a, known.IPv6)) == &known.table.sets[7] {
			chosen++
			sets[other.table.set(siphash.Address(other.Key, a, other.IPv6))]++
		}
	}
	for set, n := range sets {
		if n > chosen/10 {
			t.Errorf("of %d chosen addresses %d fall into one set (%p) under another key, want about %d", chosen, n, set, chosen/100)
		}
	}
	if chosen < 500 || len(sets) < 95 {
		t.Errorf("%d chosen addresses are in %d of 100 sets, want nearly all", chosen, len(sets))
	}
}

// A table's time begins anew after 1024 times idle; entries are fresh for idle before and after.
func TestTableTimeWraps(t *testing.T) {
	table := NewTable(8, time.Second)
	wrap := clock.Instant(time.Second/idleUnits) << timeBits
	for _, at := range []clock.Instant{clock.Instant(time.Second), wrap - 5, wrap, wrap + 5, 3*wrap - 1} {
		key := uint64(at)
		table.put(at, key, -1, 3)
		for _, tt := range []struct {
			after   time.Duration
			expired bool
		}{{0, false}, {-time.Millisecond, false}, {900 * time.Millisecond, false}, {1100 * time.Millisecond, true}, {time.Hour, true}} {
			if server, expired := table.get(at.Add(tt.after), key); server != 3 || expired != tt.expired {
				t.Errorf("get %v after %d = %d, %v, want 3, %v", tt.after, at, server, expired, tt.expired)
			}
		}
	}
	if table.put(1, 1, 3, maxServer+1) || !table.put(1, 1, 3, maxServer) {
		t.Error("a server's number is remembered beyond the greatest, or not up to it")
	}
}

func TestSourceWithPool(t *testing.T) {
	p := newPool("app", "a", "b", "c")
	s := newSource(10_000, 0, p)
	where := map[netip.Addr]*pool.Server{}
	for round := range clock.Instant(3) {
		for i := range 1000 {
			f := s.Find(round+minute, address(i), nil)
			l, err := p.Acquire(round+minute, &pool.Query{Prefer: f.Server})
			if err != nil {
				t.Fatal(err)
			}
			s.Keep(round+minute, &f, l.Server(), nil)
			if before := where[address(i)]; before != nil && before != l.Server() {
				t.Fatalf("round %d: client %d is at %s, was at %s", round, i, l.Server().Name, before.Name)
			}
			where[address(i)] = l.Server()
		}
	}
}

// TestSourceShared is for the race detector, and sees that loops which share a table never mix servers up.
func TestSourceShared(t *testing.T) {
	p := newPool("app", "a", "b", "c")
	s := newSource(64, 0, p) // crowded
	var loops sync.WaitGroup
	for loop := range uint64(3) {
		loops.Go(func() {
			r := rand.New(rand.NewPCG(1, loop))
			for i := range 20_000 {
				n := r.IntN(200)
				f := ask(s, minute+clock.Instant(i), address(n), p.Servers()[n%3])
				if f.Server != nil && f.Server != p.Servers()[n%3] {
					t.Errorf("client %d belongs to %s, want %s", n, f.Server.Name, p.Servers()[n%3].Name)
				}
			}
		})
	}
	loops.Wait()
}

func TestSourceAllocatesNothing(t *testing.T) {
	p := newPool("app", "a", "b")
	s := newSource(1000, 64, p)
	var k Kind = s
	var f Found
	n := 0
	got := testing.AllocsPerRun(1000, func() {
		n++
		f = k.Find(minute, address(n/2), nil)
		k.Keep(minute, &f, p.Servers()[n&1], nil)
	})
	if got != 0 {
		t.Errorf("allocations of Find and Keep = %v, want 0", got)
	}
}

func BenchmarkSource(b *testing.B) {
	p := newPool("app", "a", "b")
	var k Kind = newSource(100_000, 0, p)
	var f Found
	n := 0
	for b.Loop() {
		n++
		f = k.Find(minute, address(n%50_000), nil)
		k.Keep(minute, &f, p.Servers()[0], nil)
	}
}

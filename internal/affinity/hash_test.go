package affinity

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"poise/internal/msg"
	"poise/internal/siphash"
)

func fieldsOf(text string) msg.Fields {
	var fields msg.Fields
	for _, line := range strings.Split(text, "|") {
		if name, value, ok := strings.Cut(line, ": "); ok {
			fields = append(fields, msg.Field{Name: []byte(name), Value: []byte(value), ID: msg.Lookup([]byte(name))})
		}
	}
	return fields
}

func TestHashValue(t *testing.T) {
	header, cookie := NewHash(HashSettings{Key: testKey, Header: "X-User"}), NewHash(HashSettings{Key: testKey, Cookie: "session"})
	long := strings.Repeat("v", 8<<10)
	for _, tt := range []struct {
		name   string
		hash   *Hash
		fields string
		want   string // the value; empty: none
	}{
		{"a header", header, "A: 1|x-user: anna", "anna"},
		{"the first one that is not empty", header, "X-User: |X-User: anna|X-User: bert", "anna"},
		{"no such header", header, "X-Users: anna|Cookie: x-user=anna", ""},
		{"a long one", header, "X-User: " + long, long},
		{"a cookie", cookie, "Cookie: a=b; session=s1", "s1"},
		{"a long cookie", cookie, "Cookie: session=" + long, long},
		{"no such cookie", cookie, "Cookie: sessions=s1|session: s1", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f := tt.hash.Find(minute, netip.Addr{}, fieldsOf(tt.fields))
			want := Found{}
			if tt.want != "" {
				want.Key = siphash.Sum(testKey, []byte(tt.want))
			}
			if f != want {
				t.Errorf("Find = %+v, want %+v", f, want)
			}
			if got := tt.hash.Keep(minute, &f, nil, nil); got != nil {
				t.Errorf("Keep = %q, want nothing", got)
			}
		})
	}
}

// TestRX8KeysDependOnTheSecret: who does not know the secret cannot tell which values have keys that fall on one server.
func TestRX8KeysDependOnTheSecret(t *testing.T) {
	const n, buckets = 4000, 4
	chosen, others := NewHash(HashSettings{Key: testKey, Header: "x"}), NewHash(HashSettings{Key: siphash.Key{1, 3}, Header: "x"})
	counts := [buckets]int{}
	for i := range n {
		fields := fieldsOf(fmt.Sprintf("x: %d", i))
		if chosen.Find(minute, netip.Addr{}, fields).Key%buckets == 0 { // values that fall together under one secret
			counts[others.Find(minute, netip.Addr{}, fields).Key%buckets]++
		}
	}
	for i, c := range counts {
		if c < n/buckets/buckets*8/10 || c > n/buckets/buckets*12/10 {
			t.Errorf("of the values that fall on one place by one secret %d fall on place %d by another, want about %d", c, i, n/buckets/buckets)
		}
	}
}

func TestHashAllocatesNothing(t *testing.T) {
	h := NewHash(HashSettings{Key: testKey, Cookie: "session"})
	fields := fieldsOf("A: b|Cookie: a=b; session=0123456789abcdef")
	if got := testing.AllocsPerRun(1000, func() { h.Find(minute, netip.Addr{}, fields) }); got != 0 {
		t.Errorf("allocations of Find = %v, want 0", got)
	}
}

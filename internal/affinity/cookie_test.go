package affinity

import (
	"fmt"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"poise/internal/balance"
	"poise/internal/msg"
	"poise/internal/pool"
)

var secret = []byte("0123456789abcdef0123456789abcdef")

func newPool(name string, addresses ...string) *pool.Pool {
	return pool.New(1, pool.Spec{Name: name, Policy: balance.RoundRobin(), Servers: specs(addresses...)})
}

func specs(addresses ...string) []pool.ServerSpec {
	list := make([]pool.ServerSpec, len(addresses))
	for i, a := range addresses {
		list[i] = pool.ServerSpec{Address: a, Weight: 1}
	}
	return list
}

func newCookie(t testing.TB, s CookieSettings, p *pool.Pool) *Cookie {
	t.Helper()
	if s.Secret == nil {
		s.Secret = secret
	}
	c, err := NewCookie(s, p)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// setCookie is the Set-Cookie field of a new client of s.
func setCookie(c *Cookie, s *pool.Server) []byte { return c.Keep(0, &Found{}, s, nil) }

// given is the token in the cookie that c sets for s.
func given(t testing.TB, c *Cookie, s *pool.Server) []byte {
	t.Helper()
	field, ok := strings.CutPrefix(string(setCookie(c, s)), c.name+"=")
	value, _, ok2 := strings.Cut(field, ";")
	if !ok || !ok2 || len(value) != tokenLen {
		t.Fatalf("Set-Cookie = %q, want name=token; attributes", field)
	}
	return []byte(value)
}

// cookies makes fields with these Cookie values between others.
func cookies(values ...string) msg.Fields {
	fields := msg.Fields{{Name: []byte("Accept"), Value: []byte("poise=no")}}
	for _, v := range values {
		fields = append(fields, msg.Field{Name: []byte("Cookie"), Value: []byte(v), ID: msg.Cookie})
	}
	return append(fields, msg.Field{Name: []byte("Host"), Value: []byte("poise=no"), ID: msg.Host})
}

func TestFind(t *testing.T) {
	long := strings.Repeat("x", 65)
	tests := []struct {
		name    string
		fields  msg.Fields
		want    string
		present bool
	}{
		{"none", cookies(), "", false},
		{"empty", cookies(""), "", false},
		{"alone", cookies("poise=abc"), "abc", true},
		{"among others", cookies("a=1; poise=abc; b=2"), "abc", true},
		{"without spaces", cookies("a=1;poise=abc;b=2"), "abc", true},
		{"with many spaces", cookies("a=1;  \tpoise = abc \t; b=2"), "abc", true},
		{"in the second field", cookies("a=1", "b=2; poise=abc"), "abc", true},
		{"the first counts", cookies("poise=abc; poise=def", "poise=ghi"), "abc", true},
		{"part of a name", cookies("xpoise=1; poisex=2; poise =abc"), "abc", true},
		{"only in part of a name", cookies("xpoise=1; poisex=2"), "", false},
		{"in another's value", cookies(`a="poise=1"; b=poise=2`), "", false},
		{"case counts", cookies("Poise=abc"), "", false},
		{"without =", cookies("poise; poise"), "", false},
		{"empty value", cookies("poise="), "", true},
		{"64 bytes", cookies("poise=" + long[1:]), long[1:], true},
		{"too long", cookies("poise=" + long), "", true},
		{"a usable one after one too long", cookies("poise="+long, "poise=; poise=abc"), "abc", true},
		{"separators only", cookies(";;;=;==;;"), "", false},
		{"= in the value", cookies("poise=a=b"), "a=b", true},
	}
	c := newCookie(t, CookieSettings{}, newPool("app", "a"))
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got, present := c.value(tt.fields); string(got) != tt.want || present != tt.present {
				t.Errorf("Find = %q, %v, want %q, %v", got, present, tt.want, tt.present)
			}
		})
	}
}

func TestRoundTrip(t *testing.T) {
	p := newPool("app", "10.0.0.1:80", "10.0.0.2:80", "unix:/run/a.sock")
	c := newCookie(t, CookieSettings{Name: "stay"}, p)
	for _, s := range p.Servers() {
		pair, _, _ := strings.Cut(string(setCookie(c, s)), ";")
		token, present := c.value(cookies("x=y; " + pair))
		if got := c.server(token); !present || got != s {
			t.Errorf("Server(%s) = %v, want %s", token, got, s.Name)
		}
	}
}

func TestSetCookie(t *testing.T) {
	p := newPool("app", "10.0.0.1:80")
	tests := []struct {
		settings CookieSettings
		want     string // behind the value
	}{
		{CookieSettings{}, "; Path=/; HttpOnly; SameSite=Lax"},
		{CookieSettings{TTL: 90 * time.Minute, SameSite: "strict"}, "; Path=/; Max-Age=5400; HttpOnly; SameSite=Strict"},
		{
			CookieSettings{Path: "/shop", Domain: "example.com", SameSite: "None", Secure: true},
			"; Path=/shop; Domain=example.com; HttpOnly; SameSite=None; Secure",
		},
	}
	for _, tt := range tests {
		c := newCookie(t, tt.settings, p)
		got := string(c.Keep(0, &Found{}, p.Servers()[0], []byte("before:")))
		if want := "before:poise=" + string(given(t, c, p.Servers()[0])) + tt.want; got != want {
			t.Errorf("Keep with %+v = %q, want %q", tt.settings, got, want)
		}
	}
}

func TestBadCookieSettings(t *testing.T) {
	tests := []struct {
		settings CookieSettings
		want     string
	}{
		{CookieSettings{Name: "a b"}, "name"},
		{CookieSettings{Name: "a=b"}, "name"},
		{CookieSettings{Name: "a;b"}, "name"},
		{CookieSettings{Secret: []byte("short")}, "secret"},
		{CookieSettings{Path: "shop"}, "path"},
		{CookieSettings{Path: "/a;Domain=x"}, "path"},
		{CookieSettings{Domain: "x\r\ny"}, "domain"},
		{CookieSettings{SameSite: "loose"}, "same_site"},
		{CookieSettings{SameSite: "none"}, "secure"},
		{CookieSettings{TTL: -1}, "ttl"},
		{CookieSettings{TTL: time.Millisecond}, "ttl"},
	}
	for _, tt := range tests {
		if tt.settings.Secret == nil {
			tt.settings.Secret = secret
		}
		if _, err := NewCookie(tt.settings, newPool("app", "a")); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("NewCookie(%+v) = %v, want an error about %s", tt.settings, err, tt.want)
		}
	}
}

// TestHT7ForeignTokens: no token resolves but those of this secret, this pool and a server that is there.
func TestHT7ForeignTokens(t *testing.T) {
	p := newPool("app", "10.0.0.1:80", "10.0.0.2:80")
	s := p.Servers()[0]
	c := newCookie(t, CookieSettings{}, p)
	other := newPool("ape", "10.0.0.1:80", "10.0.0.2:80")
	otherSecret := newCookie(t, CookieSettings{Secret: []byte("another secret, of 16 bytes")}, p)
	good := string(given(t, c, s))

	tokens := map[string]string{
		"another pool's":   string(given(t, newCookie(t, CookieSettings{}, other), other.Servers()[0])),
		"another secret's": string(given(t, otherSecret, s)),
		"the address":      s.Address,
		"the name":         s.Name,
		"an index":         "0",
		"empty":            "",
		"longer":           good + "A",
		"shorter":          good[:len(good)-1],
		"a long one":       strings.Repeat("A", 8<<10),
	}
	for what, token := range tokens {
		if got := c.server([]byte(token)); got != nil {
			t.Errorf("Server of %s (%.30q) = %s, want nil", what, token, got.Name)
		}
	}
	for i := range good { // one bit off, anywhere
		bad := []byte(good)
		bad[i] ^= 1
		if got := c.server(bad); got != nil {
			t.Errorf("Server(%q) = %s, want nil", bad, got.Name)
		}
	}
	// A pool whose name and address run together to the same bytes.
	shifted := newPool("ap", "p10.0.0.1:80")
	if got := given(t, newCookie(t, CookieSettings{}, shifted), shifted.Servers()[0]); string(got) == good {
		t.Error("two pools share a token")
	}
}

func TestHT7TokenHidesTheAddress(t *testing.T) {
	p := newPool("app", "10.0.0.1:80")
	field := string(setCookie(newCookie(t, CookieSettings{}, p), p.Servers()[0]))
	for _, part := range []string{"10.0", "0.1", ":80", "app"} {
		if strings.Contains(field, part) {
			t.Errorf("Set-Cookie %q holds %q", field, part)
		}
	}
}

func TestTokenOutlastsRestart(t *testing.T) {
	one, two := newPool("app", "a", "b"), newPool("app", "c", "b")
	token := given(t, newCookie(t, CookieSettings{}, one), one.Servers()[1])
	if got := newCookie(t, CookieSettings{}, two).server(token); got != two.Servers()[1] {
		t.Errorf("Server(token of b from before) = %v, want b", got)
	}
}

// TestHT7ReplayAfterRemoval: a removed server's token means nothing, and a new server's works at once.
func TestHT7ReplayAfterRemoval(t *testing.T) {
	p := newPool("app", "a", "b")
	c := newCookie(t, CookieSettings{}, p)
	a, b := p.Servers()[0], p.Servers()[1]
	tokenA, tokenB := given(t, c, a), given(t, c, b)
	p.Update(2, specs("b", "c"))
	if got := c.server(tokenA); got != nil {
		t.Errorf("Server(token of a) = %s after a was removed, want nil", got.Name)
	}
	if got := setCookie(c, a); len(got) != 0 {
		t.Errorf("Set-Cookie of a removed server = %q, want nothing", got)
	}
	if got := c.server(tokenB); got != b {
		t.Errorf("Server(token of b) = %v, want b", got)
	}
	added := p.Servers()[1]
	if got := c.server(given(t, c, added)); got != added {
		t.Errorf("Server(token of c) = %v, want c", got)
	}
}

// TestAffinityWithPool follows a client through its server's failure.
func TestAffinityWithPool(t *testing.T) {
	p := newPool("app", "a", "b", "c")
	c := newCookie(t, CookieSettings{}, p)
	token := given(t, c, p.Servers()[2])
	for range 5 {
		l, err := p.Acquire(3, &pool.Query{Prefer: c.server(token)})
		if err != nil || l.Server() != p.Servers()[2] {
			t.Fatalf("Acquire = %v, %v, want c", l.Server(), err)
		}
	}
	p.Update(4, specs("a", "b"))
	l, err := p.Acquire(5, &pool.Query{Prefer: c.server(token)})
	if err != nil || l.Server().Name == "c" {
		t.Errorf("Acquire after c left = %v, %v, want another server", l.Server(), err)
	}
}

func TestNoAllocation(t *testing.T) {
	p := newPool("app", "a", "b")
	c := newCookie(t, CookieSettings{}, p)
	fields := cookies("a=1; b=2", "poise="+string(given(t, c, p.Servers()[1])))
	dst := make([]byte, 0, 256)
	var found Found
	got := testing.AllocsPerRun(1000, func() {
		found = c.Find(0, netip.Addr{}, fields)
		dst = c.Keep(0, &found, p.Servers()[0], dst[:0])
	})
	if got != 0 || len(dst) == 0 {
		t.Errorf("allocations of Find and Keep = %v, with the cookie %q, want 0 and a cookie", got, dst)
	}
}

// TestConcurrentRefresh is for the race detector.
func TestConcurrentRefresh(t *testing.T) {
	p := newPool("app", "a", "b")
	c := newCookie(t, CookieSettings{}, p)
	token := given(t, c, p.Servers()[0])
	var loops sync.WaitGroup
	for range 2 {
		loops.Go(func() {
			for range 1000 {
				if s := c.server(token); s == nil || s.Name != "a" {
					t.Error("the token of a server that stays does not resolve")
				}
			}
		})
	}
	for i := range 100 {
		p.Update(2, specs("a", fmt.Sprint("b", i)))
	}
	loops.Wait()
}

func BenchmarkCookie(b *testing.B) {
	p := newPool("app", "a", "b")
	c := newCookie(b, CookieSettings{}, p)
	fields := cookies("session=0123456789abcdef; theme=dark; poise=" + string(given(b, c, p.Servers()[1])))
	for b.Loop() {
		c.Find(0, netip.Addr{}, fields)
	}
}

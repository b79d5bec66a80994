package affinity

import (
	"encoding/base64"
	"encoding/binary"
	"net/netip"
	"strings"
	"testing"
	"time"

	"poise/internal/clock"
	"poise/internal/pool"
)

const day = 24 * time.Hour

// at is some time of the tests with stamps.
var at = clock.Instant(1000 * time.Hour)

// stamped is the value of a client of s whose times were so long before at.
func stamped(t testing.TB, c *Cookie, s *pool.Server, placed, seen time.Duration) string {
	t.Helper()
	token := given(t, newCookie(t, CookieSettings{}, c.pool), s)
	ago := func(d time.Duration) uint32 { return uint32(seconds(at) - int64(d/time.Second)) }
	return string(c.limits.appendStamp(token, token, stamp{placed: ago(placed), seen: ago(seen)}))
}

// TestCookieLetters has a client of server a, with times so long ago, ask at a time at which `answers` answers.
func TestCookieLetters(t *testing.T) {
	idle, life, both := CookieSettings{Idle: 30 * time.Minute}, CookieSettings{Life: 8 * time.Hour}, CookieSettings{Idle: 30 * time.Minute, Life: 8 * time.Hour}
	const sec = time.Second
	tests := []struct {
		name         string
		settings     CookieSettings
		placed, seen time.Duration // before now
		state        string        // of server a
		answers      string
		want         string
	}{
		{"just now", both, 0, 0, "up", "a", "VN"},
		{"not long ago", both, 1 * time.Hour, 179 * sec, "up", "a", "VN"},
		{"a tenth of idle ago", both, 1 * time.Hour, 180 * sec, "up", "a", "VU"},
		{"idle ago", both, 1 * time.Hour, 30 * time.Minute, "up", "a", "VU"},
		{"idle ago, and what the time may lag", both, 1 * time.Hour, 1980 * sec, "up", "a", "VU"},
		{"longer ago", both, 1 * time.Hour, 1981 * sec, "up", "a", "EI"},
		{"longer ago, and another server answers", both, 1 * time.Hour, 1981 * sec, "up", "b", "EI"},
		{"placed life ago", both, 8 * time.Hour, 0, "up", "a", "VN"},
		{"placed longer ago", both, 8*time.Hour + sec, 0, "up", "a", "OI"},
		{"both", both, 9 * time.Hour, time.Hour, "up", "a", "EI"},
		{"idle alone lets a busy client stay", idle, 1000 * day, 0, "up", "a", "VN"},
		{"idle alone", idle, 1000 * day, time.Hour, "up", "a", "EI"},
		{"life alone lets an idle client stay, and has nothing to write", life, 7 * time.Hour, 7 * time.Hour, "up", "a", "VN"},
		{"life alone", life, 9 * time.Hour, 0, "up", "a", "OI"},
		{"the shortest idle: in the same second", CookieSettings{Idle: sec}, 0, 0, "up", "a", "VN"},
		{"the shortest idle: a second later", CookieSettings{Idle: sec}, sec, sec, "up", "a", "VU"},
		{"the shortest idle: over", CookieSettings{Idle: sec}, 3 * sec, 3 * sec, "up", "a", "EI"},
		{"seen ahead, as by another clock", both, 0, -300 * sec, "up", "a", "VN"},
		{"seen far ahead", both, 0, -301 * sec, "up", "a", "EI"},
		{"placed ahead, as by another clock", both, -300 * sec, 0, "up", "a", "VN"},
		{"placed far ahead", both, -301 * sec, 0, "up", "a", "OI"},
		{"placed far ahead, where life has no limit", idle, -day, 0, "up", "a", "VN"},
		{"seen far ahead, where idle has no limit", life, 0, -day, "up", "a", "VN"},
		{"the server is down", both, time.Hour, time.Minute, "down", "b", "DU"},
		{"the server is down, and the stamp over", both, time.Hour, time.Hour, "down", "b", "EI"},
		{"the server is full", both, time.Hour, time.Minute, "up", "b", "VU"},
		{"the server is gone", both, time.Hour, time.Minute, "gone", "b", "II"},
		{"the server went meanwhile", both, time.Hour, time.Hour / 4, "leaves", "a", "VN"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p := newPool("app", "a", "b")
			c := newCookie(t, tt.settings, p)
			servers := map[string]*pool.Server{"a": p.Servers()[0], "b": p.Servers()[1]}
			value := stamped(t, c, servers["a"], tt.placed, tt.seen)
			switch tt.state {
			case "down":
				p.Order(at, servers["a"], pool.Maint, 0)
			case "gone":
				p.Update(at, specs("b"))
			}
			f := c.Find(at, netip.Addr{}, cookies("poise="+value))
			if tt.state == "leaves" {
				p.Update(at, specs("b"))
			}
			belongs := f.Server
			field := string(c.Keep(at, &f, servers[tt.answers], nil))
			if letters(f) != tt.want || (belongs == servers["a"]) != (f.In == Valid || f.In == Down) {
				t.Errorf("Find and Keep = %q, to %v, want %q", letters(f), belongs, tt.want)
			}
			if f.Out == None {
				if field != "" {
					t.Errorf("Keep = %q, want nothing", field)
				}
				return
			}
			placed := time.Duration(0)
			if tt.answers == "a" && f.In == Valid {
				placed = tt.placed
			}
			if want := "poise=" + stamped(t, c, servers[tt.answers], placed, 0) + "; Path=/; HttpOnly; SameSite=Lax"; field != want {
				t.Errorf("Keep = %q, want %q: the server that answered, placed %v ago, seen now", field, want, placed)
			}
		})
	}
}

// TestCookieLettersWithoutLimits: without limits there is nothing to write to a client that stays.
func TestCookieLettersWithoutLimits(t *testing.T) {
	p := newPool("app", "a", "b")
	c := newCookie(t, CookieSettings{}, p)
	a, b := p.Servers()[0], p.Servers()[1]
	tests := []struct {
		name, value string
		answers     *pool.Server
		want        string
	}{
		{"none", "", a, "NI"},
		{"of the server that answers", string(given(t, c, a)), a, "VN"},
		{"of another", string(given(t, c, b)), a, "VU"},
		{"of no server", "x", a, "II"},
		{"from a time with limits", stamped(t, newCookie(t, CookieSettings{Idle: day}, p), a, 0, 0), a, "II"},
	}
	for _, tt := range tests {
		fields := cookies("poise=" + tt.value)
		if tt.value == "" {
			fields = cookies()
		}
		f := c.Find(at, netip.Addr{}, fields)
		if c.Keep(at, &f, tt.answers, nil); letters(f) != tt.want {
			t.Errorf("a cookie %s: Find and Keep = %q, want %q", tt.name, letters(f), tt.want)
		}
	}
}

// TestHT7ForgedStamps: no value counts but one that was made with this secret, of one piece.
func TestHT7ForgedStamps(t *testing.T) {
	p, other := newPool("app", "a", "b"), newPool("ape", "a", "b")
	settings := CookieSettings{Idle: time.Hour, Life: day}
	c := newCookie(t, settings, p)
	a, b := p.Servers()[0], p.Servers()[1]
	good, old := stamped(t, c, a, time.Hour, time.Minute), stamped(t, c, a, 2*day, 2*day)
	if f := c.Find(at, netip.Addr{}, cookies("poise="+good)); f.Server != a {
		t.Fatalf("Find(%s) = %v, want a", good, f.Server)
	}
	otherSecret := settings
	otherSecret.Secret = []byte("another secret, of 16 bytes")
	foreign := newCookie(t, otherSecret, p)
	raw, _ := base64.RawURLEncoding.DecodeString(old[tokenLen:])
	binary.BigEndian.PutUint32(raw, uint32(seconds(at)))
	binary.BigEndian.PutUint32(raw[4:], uint32(seconds(at)))
	anew := old[:tokenLen] + base64.RawURLEncoding.EncodeToString(raw)
	swapped, _ := base64.RawURLEncoding.DecodeString(good[tokenLen:])
	for i := range 4 {
		swapped[i], swapped[4+i] = swapped[4+i], swapped[i]
	}
	last := strings.IndexByte(base64url, good[len(good)-1])
	values := map[string]string{
		"the token alone":           good[:tokenLen],
		"the stamp alone":           good[tokenLen:],
		"cut":                       good[:len(good)-1],
		"longer":                    good + "A",
		"doubled":                   good + good,
		"two stamps":                good + good[tokenLen:],
		"stamp before token":        good[tokenLen:] + good[:tokenLen],
		"64 bytes":                  good + strings.Repeat("A", 64-len(good)),
		"8 KiB":                     good + strings.Repeat("A", 8<<10),
		"padded":                    good[:len(good)-1] + "=",
		"a line end within":         good[:len(good)-1] + "\n",
		"new times":                 anew,
		"times in another order":    good[:tokenLen] + base64.RawURLEncoding.EncodeToString(swapped),
		"all zero":                  good[:tokenLen] + strings.Repeat("A", stampLen),
		"the other server's token":  stamped(t, c, b, 0, 0)[:tokenLen] + good[tokenLen:],
		"a token of nobody":         strings.Repeat("A", tokenLen) + good[tokenLen:],
		"another pool's":            stamped(t, newCookie(t, settings, other), other.Servers()[0], 0, 0),
		"another secret's stamp":    good[:tokenLen] + stamped(t, foreign, a, 0, 0)[tokenLen:],
		"bits that nothing decodes": good[:len(good)-1] + base64url[last^1:last^1+1],
		"quoted":                    `"` + good + `"`,
	}
	for i := range good {
		flipped := []byte(good)
		flipped[i] ^= 1
		values["one bit off at "+string(flipped[i:])] = string(flipped)
	}
	for what, value := range values {
		f := c.Find(at, netip.Addr{}, cookies("poise="+value))
		if f.In != Invalid || f.Server != nil {
			t.Errorf("Find of %s (%.80q) = %c, %v, want I and no server", what, value, f.In, f.Server)
		}
		if field := string(c.Keep(at, &f, b, nil)); f.Out != New || !strings.HasPrefix(field, "poise="+stamped(t, c, b, 0, 0)+";") {
			t.Errorf("Keep after %s = %c, %q, want I and a cookie of now", what, f.Out, field)
		}
	}
}

const base64url = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"

// Of several cookies the first usable one counts, be it over.
func TestFirstOfSeveralStampsCounts(t *testing.T) {
	p := newPool("app", "a", "b")
	c := newCookie(t, CookieSettings{Idle: time.Hour}, p)
	a, b := p.Servers()[0], p.Servers()[1]
	one, two := stamped(t, c, a, 0, 0), stamped(t, c, b, 0, 0)
	over := stamped(t, c, a, day, day)
	long := strings.Repeat("A", 65)
	for value, want := range map[string]*pool.Server{
		"poise=" + one + "; poise=" + two:                      a,
		"poise=" + two + "; poise=" + one:                      b,
		"poise=" + over + "; poise=" + two:                     nil,
		"poise=" + long + "; poise=; poise=" + two + "; poise": b,
	} {
		if f := c.Find(at, netip.Addr{}, cookies(value)); f.Server != want {
			t.Errorf("Find(%s) = %v, want %v", value, f.Server, want)
		}
	}
}

// TestStampOutlastsRestart: another instance with the secret, and the same one after a restart, take the cookie; one with another secret does not.
func TestStampOutlastsRestart(t *testing.T) {
	settings := CookieSettings{Life: day}
	one, two := newPool("app", "a", "b"), newPool("app", "c", "b")
	value := stamped(t, newCookie(t, settings, one), one.Servers()[1], time.Hour, time.Hour)
	f := newCookie(t, settings, two).Find(at, netip.Addr{}, cookies("poise="+value))
	if f.Server != two.Servers()[1] || f.In != Valid {
		t.Errorf("Find(b's of before) = %v, %c, want b, V", f.Server, f.In)
	}
	settings.Secret = []byte("another secret, of 16 bytes")
	if f := newCookie(t, settings, two).Find(at, netip.Addr{}, cookies("poise="+value)); f.In != Invalid {
		t.Errorf("Find(b's of another secret) = %c, want I", f.In)
	}
}

func TestNoAllocationWithLimits(t *testing.T) {
	p := newPool("app", "a", "b")
	c := newCookie(t, CookieSettings{Idle: time.Hour, Life: day}, p)
	a := p.Servers()[0]
	fields := cookies("a=1; b=2", "poise="+stamped(t, c, a, time.Hour, time.Hour/2))
	dst := make([]byte, 0, 256)
	var found Found
	got := testing.AllocsPerRun(1000, func() {
		found = c.Find(at, netip.Addr{}, fields)
		dst = c.Keep(at, &found, a, dst[:0])
	})
	if got != 0 || len(dst) == 0 || letters(found) != "VU" {
		t.Errorf("allocations of Find and Keep = %v, with %q and the cookie %q, want 0, VU and a cookie", got, letters(found), dst)
	}
}

// FuzzStamp: a value counts exactly if it is the text of its own token and times.
func FuzzStamp(f *testing.F) {
	p := newPool("app", "a", "b")
	c := newCookie(f, CookieSettings{Idle: time.Hour, Life: day}, p)
	a := p.Servers()[0]
	good := stamped(f, c, a, time.Hour, time.Minute)
	for _, value := range []string{
		good, stamped(f, c, a, 2*day, 0), stamped(f, c, a, -day, -day), good[:tokenLen], good + good, good[:len(good)-1] + "\n", strings.Repeat("A", 44), "",
	} {
		f.Add(value)
	}
	f.Fuzz(func(t *testing.T, value string) {
		if strings.ContainsAny(value, "; \t") {
			t.Skip("that is FuzzFind's")
		}
		want := false
		if len(value) == 44 {
			raw, err := base64.RawURLEncoding.DecodeString(value[22:])
			if err == nil && len(raw) == 16 {
				s := stamp{binary.BigEndian.Uint32(raw), binary.BigEndian.Uint32(raw[4:])}
				want = string(c.limits.appendStamp([]byte(value[:22]), []byte(value[:22]), s)) == value
			}
		}
		if _, _, got := c.limits.split([]byte(value)); got != want {
			t.Errorf("split(%q) = %v, want %v", value, got, want)
		}
		found := c.Find(at, netip.Addr{}, cookies("poise="+value))
		if found.Server != nil && !want || (found.In == Valid) != (found.Server != nil) {
			t.Errorf("Find(%q) = %v, %c, which split takes: %v", value, found.Server, found.In, want)
		}
		if field := c.Keep(at, &found, a, nil); (found.Out == None) != (len(field) == 0) {
			t.Errorf("Keep after %q = %c, %q", value, found.Out, field)
		}
	})
}

func BenchmarkCookieWithLimits(b *testing.B) {
	p := newPool("app", "a", "b")
	c := newCookie(b, CookieSettings{Idle: time.Hour, Life: day}, p)
	fields := cookies("session=0123456789abcdef; theme=dark; poise=" + stamped(b, c, p.Servers()[1], 0, 0))
	for b.Loop() {
		c.Find(at, netip.Addr{}, fields)
	}
}

// TestValueIsForGood pins a value: browsers hold cookies over upgrades of Poise, and instances of several versions share clients.
func TestValueIsForGood(t *testing.T) {
	p := newPool("app", "10.0.0.1:80")
	c := newCookie(t, CookieSettings{Idle: time.Hour}, p)
	token := given(t, newCookie(t, CookieSettings{}, p), p.Servers()[0])
	const want = "FdnM6AJlRo2Dm4OErnry_wa0nSAGtJ1FiBf79L9ilSdg"
	if got := string(c.limits.appendStamp(token, token, stamp{placed: 1_800_000_000, seen: 1_800_000_600})); got != want {
		t.Errorf("the value is %q, want %q", got, want)
	}
}

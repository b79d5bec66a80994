package wire

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"poise/internal/affinity"
	"poise/internal/balance"
	"poise/internal/clock"
	"poise/internal/msg"
	"poise/internal/pool"
	"poise/internal/testkit"
)

const timesSecret = "0123456789abcdef0123456789abcdef"

// aged is the value of the cookie that another instance with the secret gave a client of the server so long ago, and last wrote so long ago.
func aged(t *testing.T, address string, placed, seen time.Duration) string {
	t.Helper()
	p := pool.New(1, pool.Spec{Name: "default", Policy: balance.RoundRobin(), Servers: []pool.ServerSpec{{Address: address, Weight: 1}}})
	c, err := affinity.NewCookie(affinity.CookieSettings{Name: "aff", Secret: []byte(timesSecret), Idle: time.Second}, p)
	if err != nil {
		t.Fatal(err)
	}
	now, f := clock.Now(), affinity.Found{}
	field := c.Keep(now.Add(-placed), &f, p.Servers()[0], nil)
	if seen != placed {
		fields := msg.Fields{{Name: []byte("Cookie"), Value: field, ID: msg.Cookie}}
		f = c.Find(now.Add(-placed), netip.Addr{}, fields)
		field = c.Keep(now.Add(-seen), &f, p.Servers()[0], nil)
	}
	value, _, _ := strings.Cut(strings.TrimPrefix(string(field), "aff="), ";")
	return value
}

// TestHT7CookieTimes sends cookies of every age: those over are placed anew, those about to be are written anew, and nothing that was tampered with
// counts.
func TestHT7CookieTimes(t *testing.T) {
	t.Parallel()
	testkit.Each(t, func(t *testing.T, s testkit.Setup) {
		one, two := named(t, "one"), named(t, "two")
		p := testkit.Start(t, s, fmt.Sprintf("listen: 127.0.0.1:0\nservers: [%s, %s]\npolicy: round_robin\n"+
			"affinity: { cookie: { name: aff, secret: %s, idle: 30m, life: 8h } }\n", one.Addr, two.Addr, timesSecret))
		good := aged(t, one.Addr, time.Hour, time.Minute)
		tests := []struct{ name, value, end string }{
			{"good", good, "--VN"},
			{"due", aged(t, one.Addr, time.Hour, 10*time.Minute), "--VU"},
			{"idle", aged(t, one.Addr, time.Hour, 40*time.Minute), "--EI"},
			{"old", aged(t, one.Addr, 9*time.Hour, 0), "--OI"},
			{"ahead", aged(t, one.Addr, 0, -2*time.Minute), "--VN"},
			{"far ahead", aged(t, one.Addr, 0, -time.Hour), "--EI"},
			{"the token alone", good[:22], "--II"},
			{"the stamp alone", good[22:], "--II"},
			{"other times", good[:22] + aged(t, two.Addr, 0, 0)[22:], "--II"},
			{"cut", good[:43], "--II"},
			{"doubled", good + good, "--II"},
			{"longer", good + "A", "--II"},
			{"8 KiB", good + strings.Repeat("A", 8<<10), "--II"},
			{"empty", "", "--II"},
		}
		ends := map[string]string{} // by path
		for i, tt := range tests {
			at := map[string]bool{}
			for n := range 2 {
				path := fmt.Sprintf("/%d-%d", i, n)
				r := getWith(t, p, path, "a=b; aff="+tt.value)
				at[r.Body], ends[path] = true, tt.end
				set := tokenOf(r, "aff")
				if r.StatusCode != 200 || (set != "") != (tt.end[3] != 'N') {
					t.Errorf("%s: %d from %s, new cookie %q; want 200 and end %s", tt.name, r.StatusCode, r.Body, set, tt.end)
				}
				if set == "" {
					continue
				}
				ends[path+"-again"] = "--VN"
				if again := getWith(t, p, path+"-again", "aff="+set); again.Body != r.Body || tokenOf(again, "aff") != "" {
					t.Errorf("%s: the new cookie of %s led to %s, newer cookie %q", tt.name, r.Body, again.Body, tokenOf(again, "aff"))
				}
			}
			switch stays := tt.end[2] == 'V'; {
			case stays && (at["two"] || !at["one"]):
				t.Errorf("%s: requests went to %v, want to one alone", tt.name, at)
			case !stays && len(at) != 2 && s.Loops == 1:
				t.Errorf("%s: requests went to %v, want both in turn", tt.name, at)
			}
		}
		for path, want := range ends {
			if got := p.Await(t, path).End; got != want {
				t.Errorf("the record of %s ends %s, want %s", path, got, want)
			}
		}
	})
}

// TestCookieTimesOverAReload: a reload that changes servers or the limits keeps clients; one that takes the limits away places them anew, once.
func TestCookieTimesOverAReload(t *testing.T) {
	t.Parallel()
	testkit.Each(t, func(t *testing.T, s testkit.Setup) {
		one, two, three := named(t, "one"), named(t, "two"), named(t, "three")
		const text = "listen: 127.0.0.1:0\nservers: [%s]\npolicy: round_robin\naffinity: { cookie: { name: aff, %s } }\n"
		both, all := one.Addr+", "+two.Addr, one.Addr+", "+two.Addr+", "+three.Addr
		p := testkit.Start(t, s, fmt.Sprintf(text, both, "idle: 30m"))
		first := getWith(t, p, "/", "")
		cookie := tokenOf(first, "aff")
		if len(cookie) != 44 {
			t.Fatalf("the cookie %q has %d bytes, want 44", cookie, len(cookie))
		}
		for _, after := range []string{fmt.Sprintf(text, all, "idle: 30m"), fmt.Sprintf(text, all, "idle: 1h, life: 8h"), fmt.Sprintf(text, both, "life: 8h")} {
			p.Reload(t, after)
			for range 4 {
				if r := getWith(t, p, "/", "aff="+cookie); r.Body != first.Body || tokenOf(r, "aff") != "" {
					t.Errorf("after a reload the client of %s is on %s, new cookie %q", first.Body, r.Body, tokenOf(r, "aff"))
				}
			}
		}
		p.Reload(t, fmt.Sprintf(text, both, "idle: 0s"))
		r := getWith(t, p, "/bare", "aff="+cookie)
		if end := p.Await(t, "/bare").End; end != "--II" || tokenOf(r, "aff") != cookieOf(t, p, r.Body) {
			t.Errorf("without limits: end %s, new cookie %q of %s; want --II and its token", end, tokenOf(r, "aff"), r.Body)
		}
	})
}

// cookieOf is the cookie that a new client of the server gets.
func cookieOf(t *testing.T, p *testkit.Poise, server string) (cookie string) {
	t.Helper()
	testkit.Eventually(t, "new client of "+server, func() bool {
		r := getWith(t, p, "/new", "")
		cookie = tokenOf(r, "aff")
		return r.Body == server
	})
	return cookie
}

// TestCookieLifeOverTime: by the clock of the machine, a busy client is placed anew when its life is over.
func TestCookieLifeOverTime(t *testing.T) {
	t.Parallel()
	testkit.Each(t, func(t *testing.T, s testkit.Setup) {
		one := named(t, "one")
		p := testkit.Start(t, s, fmt.Sprintf("listen: 127.0.0.1:0\nservers: [%s]\naffinity: { cookie: { name: aff, life: 1s } }\n", one.Addr))
		began := time.Now()
		cookie := tokenOf(getWith(t, p, "/", ""), "aff")
		if r := getWith(t, p, "/first", "aff="+cookie); tokenOf(r, "aff") != "" && time.Since(began) < time.Second {
			t.Errorf("the second request got the cookie %q, want none", tokenOf(r, "aff"))
		}
		path := ""
		testkit.Eventually(t, "end of the cookie's life", func() bool {
			path = fmt.Sprintf("/%d", time.Since(began))
			return tokenOf(getWith(t, p, path, "aff="+cookie), "aff") != ""
		})
		if took, end := time.Since(began), p.Await(t, path).End; end != "--OI" || took < time.Second {
			t.Errorf("the cookie's life ended after %v with %s, want a second and --OI", took, end)
		}
	})
}

package wire

import (
	"fmt"
	"strings"
	"testing"

	"poise/internal/testkit"
)

// getAs asks with a user's name, on a connection of its own, and returns who answered.
func getAs(t *testing.T, p *testkit.Poise, field string) string {
	t.Helper()
	c := testkit.Dial(t, p.Addr)
	c.Send(getOf("/", "Connection: close", field))
	r := c.Read("GET")
	if r.StatusCode != 200 {
		t.Errorf("GET with %q = %d %q, want 200", field, r.StatusCode, r.Body)
	}
	return r.Body
}

// The same value leads to the same server, on every instance with the secret; when its server is gone only its clients move, and they come back with it.
func TestAffinityByValue(t *testing.T) {
	t.Parallel()
	testkit.Each(t, func(t *testing.T, s testkit.Setup) {
		one, two, three := named(t, "one"), named(t, "two"), named(t, "three")
		text := fmt.Sprintf("listen: 127.0.0.1:0\nservers: [%s, %s, %s]\npolicy: round_robin\neject: { consecutive_failures: 1, time: 300ms }\n"+
			"affinity: { hash: { header: x-user, secret: 0123456789abcdef } }\n", one.Addr, two.Addr, three.Addr)
		p, other := testkit.Start(t, s, text), testkit.Start(t, s, text)
		at := map[string]string{}
		seen := map[string]bool{}
		const users = 24
		for i := range users {
			user := fmt.Sprintf("X-User: user%d", i)
			at[user] = getAs(t, p, user)
			seen[at[user]] = true
			if again, there := getAs(t, p, user), getAs(t, other, user); again != at[user] || there != at[user] {
				t.Errorf("%s went to %s, then to %s, and to %s by another instance; want the same", user, at[user], again, there)
			}
		}
		if len(seen) != 3 {
			t.Errorf("%d users are at %v, want all three servers", users, seen)
		}
		one.Stop()
		for user, server := range at {
			got := getAs(t, p, user)
			if server != "one" && got != server {
				t.Errorf("%s went to %s and, as another server is gone, to %s; want the same", user, server, got)
			}
		}
		if s.Loops == 1 { // without a value the policy chooses
			got := map[string]int{}
			for range 6 {
				got[getAs(t, other, "X-Other: 1")]++
			}
			if len(got) < 2 {
				t.Errorf("requests without the value went to %v alone, want all in turn", got)
			}
		}
	})
}

// TestRX8ManyAddresses sends from more addresses than the table holds: those of now are kept, and all get answers.
func TestRX8ManyAddresses(t *testing.T) {
	t.Parallel()
	testkit.Each(t, func(t *testing.T, s testkit.Setup) {
		one, two := named(t, "one"), named(t, "two")
		p := testkit.Start(t, s, fmt.Sprintf("listeners: [{ address: 127.0.0.1:0, trusted_proxies: [127.0.0.1], pool: app }]\n"+
			"pools: { app: { servers: [%s, %s], policy: random, affinity: { source: { size: 64 } } } }\n", one.Addr, two.Addr))
		c := testkit.Dial(t, p.Addr)
		ask := func(address string) string {
			c.Send(getOf("/", "X-Forwarded-For: "+address))
			r := c.Read("GET")
			if r.StatusCode != 200 {
				t.Fatalf("GET from %s = %d %q, want 200", address, r.StatusCode, r.Body)
			}
			return r.Body
		}
		for i := range 500 {
			address := fmt.Sprintf("10.0.%d.%d", i/250, i%250)
			server := ask(address)
			for range 3 {
				if got := ask(address); got != server {
					t.Fatalf("%s went to %s, then to %s; want the same", address, server, got)
				}
			}
		}
		if strings.Count(one.Got(), "GET /") == 0 || strings.Count(two.Got(), "GET /") == 0 {
			t.Error("all addresses are at one server, want both")
		}
	})
}

// The log tells what became of an address: new, known, and moved when its server is down.
func TestAffinityByAddress(t *testing.T) {
	t.Parallel()
	testkit.Each(t, func(t *testing.T, s testkit.Setup) {
		servers := map[string]*testkit.Server{"one": named(t, "one"), "two": named(t, "two")}
		p := testkit.Start(t, s, fmt.Sprintf("listeners: [{ address: 127.0.0.1:0, trusted_proxies: [127.0.0.1], pool: app }]\n"+
			"pools: { app: { servers: [%s, %s], policy: round_robin, affinity: { source: {} }, %s } }\n", servers["one"].Addr, servers["two"].Addr, fastProbes))
		c := testkit.Dial(t, p.Addr)
		ask := func(path string) string {
			c.Send(getOf(path, "X-Forwarded-For: 192.0.2.7"))
			return c.Read("GET").Body
		}
		testkit.Eventually(t, "servers that are up", func() bool {
			up := p.App.Status().Pools[0].Servers
			return up[0].State == "up" && up[1].State == "up"
		})
		home := ask("/new")
		for range 4 {
			if got := ask("/known"); got != home {
				t.Errorf("the client of %s is on %s", home, got)
			}
		}
		servers[home].Stop()
		testkit.Eventually(t, "server that is down", func() bool {
			up := p.App.Status().Pools[0].Servers
			return up[0].State == "down" || up[1].State == "down"
		})
		away := ask("/moved")
		if again := ask("/stays"); away == home || again != away {
			t.Errorf("the client of %s, which is down, is on %s and then on %s", home, away, again)
		}
		for path, want := range map[string]string{"/new": "--NI", "/known": "--VN", "/moved": "--DU", "/stays": "--VN"} {
			if got := p.Await(t, path).End; got != want {
				t.Errorf("the record of %s ends %s, want %s", path, got, want)
			}
		}
	})
}

// That a server has just closed a kept connection says nothing about the server: a request that comes to it then is sent to the same one again, over a new
// connection, and the server is not taken for failing.
func TestAffinityByValueOverStaleConnections(t *testing.T) {
	t.Parallel()
	testkit.Each(t, func(t *testing.T, s testkit.Setup) {
		s.ServersHTTP1(t)                               // one request at a time on a connection
		breaking := func(name string) *testkit.Server { // each of its connections answers once
			return testkit.Serve(t, func(p *testkit.Peer) {
				if _, err := p.ReadHead(); err != nil || p.Send(fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", len(name), name)) != nil {
					return
				}
				if head, _ := p.ReadHead(); strings.Contains(head, "/reset") {
					p.Reset()
				}
			})
		}
		one, two, three := breaking("one"), breaking("two"), breaking("three")
		p := testkit.Start(t, s, fmt.Sprintf("listen: 127.0.0.1:0\nservers: [%s, %s, %s]\npolicy: round_robin\neject: { consecutive_failures: 1 }\n"+
			"retry: { budget_floor: 1000 }\naffinity: { hash: { header: x-user } }\n", one.Addr, two.Addr, three.Addr))
		c := testkit.Dial(t, p.Addr) // on one loop, as are the connections that it leaves behind
		ask := func(path, user string) string {
			c.Send(getOf(path, "X-User: "+user))
			return c.Read("GET").Body
		}
		at := map[string]string{}
		const users = 12
		for i := range users {
			user := fmt.Sprint("user", i)
			at[user] = ask("/first", user)
		}
		for _, path := range []string{"/closed", "/reset"} {
			for user, server := range at {
				if got := ask(path, user); got != server {
					t.Errorf("GET %s by %s was answered by %q, want %s", path, user, got, server)
				}
			}
		}
		for path, records := range p.Parsed(t, 3*users) {
			for _, r := range records {
				if path != "/first" && r.Attempts != 2 {
					t.Errorf("GET %s took %d attempts, want 2: the kept connection was stale", path, r.Attempts)
				}
			}
		}
		for _, v := range p.App.Status().Pools[0].Servers {
			if v.State != "up" {
				t.Errorf("%s is %s, want up", v.Name, v.State)
			}
		}
	})
}

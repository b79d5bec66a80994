package load

import (
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"poise/internal/testkit"
)

// named is a server that answers with its name, and can be stopped and come back on the same address.
type named struct {
	name, addr string
	srv        *http.Server
}

func startNamed(t testing.TB, name string) *named {
	t.Helper()
	n := &named{name: name, addr: serverHost + ":0"}
	n.start(t)
	t.Cleanup(n.stop)
	return n
}

func (n *named) start(t testing.TB) {
	t.Helper()
	ln, err := net.Listen("tcp", n.addr)
	if err != nil {
		t.Fatal(err)
	}
	n.addr = ln.Addr().String()
	n.srv = &http.Server{
		Handler:           http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, n.name) }),
		ReadHeaderTimeout: testkit.Patience,
	}
	go func() { _ = n.srv.Serve(ln) }()
}

// stop closes the server and all its connections.
func (n *named) stop() { _ = n.srv.Close() }

// startPool runs three named servers behind Poise, probed often.
func startPool(t *testing.T, s testkit.Setup, settings string) (*testkit.Poise, map[string]*named) {
	t.Helper()
	byName := map[string]*named{}
	var addrs []string
	for _, name := range []string{"a", "b", "c"} {
		byName[name] = startNamed(t, name)
		addrs = append(addrs, byName[name].addr)
	}
	p := testkit.Start(t, s, fmt.Sprintf(`
listen: 127.0.0.1:0
servers: [%s]
health: { http: { path: / }, interval: 50ms }
%s`, strings.Join(addrs, ", "), settings))
	for _, n := range byName {
		awaitState(t, p, n.addr, "up")
	}
	return p, byName
}

// TestRoundRobinCycle sees on one loop that any seven requests in a row go to the servers as 5:1:1.
func TestRoundRobinCycle(t *testing.T) {
	eachDriver(t, 1, func(t *testing.T, s testkit.Setup) {
		var list []string
		for i, name := range []string{"a", "b", "c"} {
			list = append(list, fmt.Sprintf("{ address: %q, weight: %d }", startNamed(t, name).addr, []int{5, 1, 1}[i]))
		}
		p := testkit.Start(t, s, "listen: 127.0.0.1:0\npolicy: round_robin\nservers: ["+strings.Join(list, ", ")+"]\n")
		const cycle = 7
		clients := []*testkit.Client{testkit.Dial(t, p.Addr), testkit.Dial(t, p.Addr)}
		order := ""
		for i := range 20 * cycle {
			order += clients[i%len(clients)].Get("/").Body
		}
		for i := range len(order) - cycle + 1 {
			part := order[i : i+cycle]
			if a, b, c := strings.Count(part, "a"), strings.Count(part, "b"), strings.Count(part, "c"); a != 5 || b != 1 || c != 1 {
				t.Fatalf("requests %d to %d went to %s, want five times a, once b and c; all: %s", i, i+cycle-1, part, order)
			}
		}
	})
}

// user is a client that affinity or its address keeps on a server.
type user struct {
	from   net.IP
	cookie string
}

// get sends a request on a new connection, and returns which server answered and whether it set a cookie.
func (u *user) get(t testing.TB, addr string) (server string, set bool) {
	t.Helper()
	d := net.Dialer{Timeout: testkit.Patience}
	if u.from != nil {
		d.LocalAddr = &net.TCPAddr{IP: u.from}
	}
	tr := &http.Transport{DialContext: d.DialContext, DisableKeepAlives: true}
	req, err := http.NewRequest(http.MethodGet, "http://"+addr+"/", nil)
	if err != nil {
		t.Fatal(err)
	}
	if u.cookie != "" {
		req.Header.Set("Cookie", u.cookie)
	}
	resp, err := (&http.Client{Transport: tr, Timeout: testkit.Patience}).Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK {
		t.Fatalf("GET = %d %q, %v; want 200", resp.StatusCode, b, err)
	}
	for _, c := range resp.Cookies() {
		u.cookie, set = c.Name+"="+c.Value, true
	}
	return string(b), set
}

// users is how many clients are spread: so many that no server stays without.
const users = 40

// where asks once for every user, and returns the servers in the users' order.
func where(t testing.TB, addr string, all []*user) []string {
	t.Helper()
	var servers []string
	for _, u := range all {
		s, _ := u.get(t, addr)
		servers = append(servers, s)
	}
	return servers
}

// checkEveryServerHasUsers fails the test if one of the three has none.
func checkEveryServerHasUsers(t *testing.T, servers []string) {
	t.Helper()
	seen := map[string]bool{}
	for _, s := range servers {
		seen[s] = true
	}
	if len(seen) != 3 {
		t.Fatalf("%d users are on %v, want them on three servers", len(servers), slices.Collect(maps.Keys(seen)))
	}
}

// checkMoved compares where users are: those that were on the server that is down are elsewhere, all others where they were.
func checkMoved(t *testing.T, before, after []string, down string) {
	t.Helper()
	for i := range before {
		if after[i] == down {
			t.Errorf("user %d is on %s, which is down", i, down)
		}
		if before[i] != down && after[i] != before[i] {
			t.Errorf("user %d went from %s to %s, but %s is what is down", i, before[i], after[i], down)
		}
	}
}

func TestIPHashKeepsClients(t *testing.T) {
	eachDriver(t, 2, func(t *testing.T, s testkit.Setup) {
		p, servers := startPool(t, s, "policy: ip_hash\n")
		var all []*user
		for i := range users {
			all = append(all, &user{from: net.IPv4(127, 0, 0, byte(10+i))})
		}
		first := where(t, p.Addr, all)
		checkEveryServerHasUsers(t, first)
		for range 3 {
			if again := where(t, p.Addr, all); !slices.Equal(again, first) {
				t.Fatalf("users are on %v, want them to stay on %v", again, first)
			}
		}
		down := servers[first[0]]
		down.stop()
		awaitState(t, p, down.addr, "down")
		moved := where(t, p.Addr, all)
		checkMoved(t, first, moved, down.name)
		if again := where(t, p.Addr, all); !slices.Equal(again, moved) {
			t.Errorf("users are on %v, want them to stay on %v", again, moved)
		}
		down.start(t)
		awaitState(t, p, down.addr, "up")
		testkit.Eventually(t, "return of all users to "+down.name, func() bool { return slices.Equal(where(t, p.Addr, all), first) })
	})
}

func TestCookieKeepsClients(t *testing.T) {
	eachDriver(t, 2, func(t *testing.T, s testkit.Setup) {
		p, servers := startPool(t, s, "policy: round_robin\naffinity: { cookie: { name: lb } }\n")
		var all []*user
		for range users {
			all = append(all, &user{})
		}
		first := where(t, p.Addr, all)
		checkEveryServerHasUsers(t, first)
		stay(t, p, all, first)

		down := servers[first[0]]
		down.stop()
		awaitState(t, p, down.addr, "down")
		moved := where(t, p.Addr, all)
		checkMoved(t, first, moved, down.name)
		stay(t, p, all, moved) // those that moved have new cookies

		down.start(t)
		awaitState(t, p, down.addr, "up")
		deadline := time.Now().Add(testkit.Patience)
		for found := ""; found != down.name; {
			if time.Now().After(deadline) {
				t.Fatalf("no new user comes to %s, which is up again", down.name)
			}
			found, _ = (&user{}).get(t, p.Addr)
		}
		stay(t, p, all, moved)
	})
}

// stay sees all users stay where they are, on the cookies that they have.
func stay(t *testing.T, p *testkit.Poise, all []*user, on []string) {
	t.Helper()
	for range 3 {
		for i, u := range all {
			if s, set := u.get(t, p.Addr); s != on[i] || set {
				t.Errorf("user %d is on %s, new cookie %v; want it to stay on %s with the cookie that it has", i, s, set, on[i])
			}
		}
	}
}

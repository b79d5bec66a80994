package load

import (
	"io"
	"maps"
	"net/http"
	"net/url"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"poise/internal/testkit"
)

// order posts an order for a server of the default pool.
func (a *adminClient) order(t testing.TB, server, order string) {
	t.Helper()
	if status, text := a.orderIn("default", server, order); status != http.StatusOK {
		t.Fatalf("%s for %s = %d %s", order, server, status, text)
	}
}

// orderIn posts an order for a server of a pool, either of which there may not be.
func (a *adminClient) orderIn(pool, server, order string) (status int, text string) {
	resp, err := a.http.Post("http://localhost/v1/pools/"+pool+"/servers/"+url.PathEscape(server), "application/json", strings.NewReader(order))
	if err != nil {
		return 0, err.Error()
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		return 0, err.Error()
	}
	return resp.StatusCode, string(b)
}

// TestOrdersUnderLoad orders servers away and back: no request fails, and within a moment none goes where it must not, over a reload too.
func TestOrdersUnderLoad(t *testing.T) {
	eachDriver(t, 2, func(t *testing.T, s testkit.Setup) {
		socket := filepath.Join(t.TempDir(), "admin")
		r := &reloading{addrs: map[string]string{}, stop: make(chan struct{})}
		all := weights{"a": 1, "b": 2, "c": 1}
		for name := range all {
			r.addrs[name] = startHalting(t, name)
		}
		text := r.config(all) + "admin: { address: \"unix:" + socket + "\" }\n"
		r.Poise = testkit.Start(t, s, text)
		admin := newAdminClient(t, socket)
		var clients sync.WaitGroup
		for i := range 10 {
			clients.Go(func() { r.load(i) })
		}
		// after lets the load have its time behind an order, and looks where it went.
		after := func(w weights) {
			t.Helper()
			from := time.Now().Add(followWithin)
			<-time.After(leastBetween)
			r.check(t, w, from)
		}
		without := func(name string, w weights) weights {
			w = maps.Clone(w)
			delete(w, name)
			return w
		}
		after(all)
		admin.order(t, r.addrs["a"], `{"state":"maint"}`)
		after(without("a", all))
		r.Reload(t, text)
		after(without("a", all))
		admin.order(t, r.addrs["b"], `{"state":"drain"}`)
		after(without("b", without("a", all)))
		admin.order(t, r.addrs["a"], `{"state":"ready"}`)
		admin.order(t, r.addrs["b"], `{"state":"ready","weight":1}`)
		after(weights{"a": 1, "b": 1, "c": 1})
		r.Reload(t, text)
		after(weights{"a": 1, "b": 1, "c": 1})
		close(r.stop)
		clients.Wait()
		if len(r.failed) > 0 {
			t.Errorf("%d requests failed, the first: %s", len(r.failed), r.failed[0])
		}
	})
}

// TestDrainKeepsTiedClients: who has a server's cookie stays on it while it drains, until its time is over.
func TestDrainKeepsTiedClients(t *testing.T) {
	eachDriver(t, 2, func(t *testing.T, s testkit.Setup) {
		socket := filepath.Join(t.TempDir(), "admin")
		p, servers := startPool(t, s, "policy: round_robin\naffinity: { cookie: {} }\nadmin: { address: \"unix:"+socket+"\" }\n")
		admin := newAdminClient(t, socket)
		tied := &user{}
		home, _ := tied.get(t, p.Addr)
		admin.order(t, servers[home].addr, `{"state":"drain"}`)
		for range 6 {
			if got, _ := tied.get(t, p.Addr); got != home {
				t.Fatalf("the client of %s is on %s while that drains", home, got)
			}
			if got, _ := (&user{}).get(t, p.Addr); got == home {
				t.Fatalf("a new client is on %s, which drains", home)
			}
		}
		admin.order(t, servers[home].addr, `{"state":"drain","for":"50ms"}`)
		awaitState(t, p, servers[home].addr, "maint")
		if got, set := tied.get(t, p.Addr); got == home || !set {
			t.Errorf("the client of %s is on %s, new cookie %v, when the drain's time is over; want it elsewhere with a new one", home, got, set)
		}
		admin.order(t, servers[home].addr, `{"state":"ready"}`)
		awaitState(t, p, servers[home].addr, "up")
	})
}

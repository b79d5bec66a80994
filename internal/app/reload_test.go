package app_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"poise/internal/app"
	"poise/internal/config"
	"poise/internal/testkit"
)

// reloader is a program whose configuration can be changed.
type reloader struct {
	*app.App
	t    *testing.T
	log  testkit.Buffer
	mu   sync.Mutex // guards text
	text string
}

func (r *reloader) load() (*config.Config, config.Problems) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return config.Parse("test.yaml", []byte(r.text), func(string) (string, bool) { return "", false })
}

func (r *reloader) write(text string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.text = "loops: 2\nadmin: { enabled: false }\naccess_log: { enabled: false }\n" + text
}

func startReloader(t *testing.T, text string) *reloader {
	t.Helper()
	r := &reloader{t: t}
	r.write(text)
	r.begin()
	return r
}

// begin starts the program with the present text.
func (r *reloader) begin() {
	r.t.Helper()
	c, problems := r.load()
	if problems.HasErrors() {
		r.t.Fatalf("config: %v", problems)
	}
	a, err := app.Start(app.Options{Config: c, Log: slog.New(slog.NewTextHandler(&r.log, nil)), Load: r.load, Poison: true})
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(a.Stop)
	r.App = a
}

// reload applies a text that has no mistakes, and returns the warnings.
func (r *reloader) reload(text string) (warnings []string) {
	r.t.Helper()
	r.write(text)
	problems, err := r.Reload()
	if err != nil {
		r.t.Fatalf("Reload: %v, %v", err, problems)
	}
	for _, p := range problems {
		warnings = append(warnings, p.Message)
		if p.Line == 0 {
			r.t.Errorf("warning without a place: %s", p.Message)
		}
	}
	return warnings
}

// get asks the first listener, and returns the status and body.
func (r *reloader) get(path string) string {
	r.t.Helper()
	resp, err := http.Get("http://" + r.Status().Listeners[0].Addresses[0] + path)
	if err != nil {
		r.t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		r.t.Fatal(err)
	}
	return fmt.Sprintf("%d %s", resp.StatusCode, b)
}

// server is what Status says of a pool's server.
func (r *reloader) server(pool, addr string) (s app.ServerStatus) {
	for _, p := range r.Status().Pools {
		for _, s := range p.Servers {
			if p.Name == pool && s.Address == addr {
				return s
			}
		}
	}
	return s
}

func answering(t *testing.T, text string) string {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, text) }))
	t.Cleanup(s.Close)
	return strings.TrimPrefix(s.URL, "http://")
}

func TestReloadChangesRoutesAndPools(t *testing.T) {
	a, b := answering(t, "a"), answering(t, "b")
	r := startReloader(t, fmt.Sprintf("listeners: [{ address: '127.0.0.1:0', name: web, pool: main }]\npools: { main: { servers: ['%s'] } }\n", a))
	if got := r.get("/"); got != "200 a" {
		t.Fatalf("before: %s, want 200 a", got)
	}
	r.reload(fmt.Sprintf(`
listeners: [{ address: '127.0.0.1:0', name: web, pool: main, routes: [{ match: { path: /b }, pool: other }] }]
pools: { other: { servers: ['%s'], health: { http: {} } }, main: { servers: ['%s'], policy: round_robin } }
`, b, a))
	if got := r.get("/b"); got != "200 b" {
		t.Errorf("the new route answers %s, want 200 b: its pool's first probe is waited for", got)
	}
	if got := r.get("/"); got != "200 a" {
		t.Errorf("the pool that stays answers %s, want 200 a", got)
	}
	if s := r.server("main", a); s.Requests != 2 {
		t.Errorf("the server that stays has %d requests, want 2: it counts on", s.Requests)
	}
	r.reload(fmt.Sprintf("listeners: [{ address: '127.0.0.1:0', name: web, pool: other }]\npools: { other: { servers: ['%s'] } }\n", b))
	if got := r.get("/"); got != "200 b" {
		t.Errorf("after the last reload: %s, want 200 b", got)
	}
	if n := len(r.Status().Pools); n != 1 {
		t.Errorf("%d pools, want 1", n)
	}
	for _, want := range []string{`pools="+other ~main"`, "routes=+web/1", "pools=\"~other -main\"", `routes="~web -web/1"`} {
		if !strings.Contains(r.log.String(), want) {
			t.Errorf("the log has no %s:\n%s", want, r.log.String())
		}
	}
}

// TestReloadWithMistakesChangesNothing tries one of each kind: in the text, in the routes, and a name that does not resolve.
func TestReloadWithMistakesChangesNothing(t *testing.T) {
	a := answering(t, "a")
	r := startReloader(t, "listen: 127.0.0.1:0\nservers: ['"+a+"']\n")
	for name, text := range map[string]string{
		"syntax": "listen: [\n",
		"key":    "listen: 127.0.0.1:0\nservres: ['" + a + "']\n",
		"pool":   "listeners: [{ address: '127.0.0.1:0', pool: none }]\npools: { p: { servers: ['" + a + "'] } }\n",
		"name":   "listen: 127.0.0.1:0\nservers: ['nobody.invalid:80']\n",
	} {
		r.write(text)
		problems, err := r.Reload()
		if rejected := (*app.Rejected)(nil); !errors.As(err, &rejected) || !problems.HasErrors() || problems[0].Line == 0 {
			t.Errorf("%s: Reload = %v, %v; want it rejected, and the line", name, problems, err)
		}
		if got := r.get("/"); got != "200 a" {
			t.Errorf("%s: afterwards %s, want 200 a", name, got)
		}
	}
}

func TestReloadWarnsOfWhatItCannotChange(t *testing.T) {
	a, b := answering(t, "a"), answering(t, "b")
	r := startReloader(t, "listen: 127.0.0.1:0\ndriver: net\nservers: ['"+a+"']\n")
	warnings := strings.Join(r.reload("limits: { head: 32KiB }\nlisten: 127.0.0.1:1\nservers: ['"+b+"']\n"), "\n")
	for _, key := range []string{"limits.head", "driver", "addresses"} {
		if !strings.Contains(warnings, key) {
			t.Errorf("no warning names %s: %s", key, warnings)
		}
	}
	if got := r.get("/"); got != "200 b" {
		t.Errorf("the rest was not applied: %s, want 200 b", got)
	}
	if warnings := r.reload("listen: 127.0.0.1:0\ndriver: net\nservers: ['" + b + "']\n"); len(warnings) != 0 {
		t.Errorf("as it was at the start: warnings %v, want none", warnings)
	}
}

// slowToProbe is a server that takes its time to answer a probe.
func slowToProbe(t *testing.T, text string) string {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/probe" {
			<-time.After(200 * time.Millisecond)
		}
		_, _ = io.WriteString(w, text)
	}))
	t.Cleanup(s.Close)
	return strings.TrimPrefix(s.URL, "http://")
}

// TestReloadExchangesAllServers sees no answer of Poise's own though no server stays, in a pool that stays and in one that is new.
func TestReloadExchangesAllServers(t *testing.T) {
	const text = "listeners: [{ address: '127.0.0.1:0', pool: %[1]s }]\npools: { %[1]s: { servers: ['%[2]s'], health: { http: { path: /probe }, interval: 10s } } }\n"
	r := startReloader(t, fmt.Sprintf(text, "p", answering(t, "a")))
	testkit.Eventually(t, "answer", func() bool { return r.get("/") == "200 a" })
	for _, c := range []struct{ pool, answer string }{{"p", "b"}, {"q", "c"}} {
		text := fmt.Sprintf(text, c.pool, slowToProbe(t, c.answer))
		done := make(chan struct{})
		go func() {
			defer close(done)
			r.write(text)
			_, _ = r.Reload()
		}()
		for over := false; !over; {
			select {
			case <-done:
				over = true
			default:
			}
			if got := r.get("/"); !strings.HasPrefix(got, "200 ") {
				t.Fatalf("meanwhile %s, want 200 from the old servers or the new", got)
			}
		}
		if got := r.get("/"); got != "200 "+c.answer {
			t.Errorf("right after the reload: %s, want 200 %s", got, c.answer)
		}
	}
}

// TestReloadKeepsCounting turns the order of everything round.
func TestReloadKeepsCounting(t *testing.T) {
	a, b := answering(t, "a"), answering(t, "b")
	socket := filepath.Join(t.TempDir(), "admin")
	const text = `
loops: 2
access_log: { enabled: false }
admin: { address: "unix:%s" }
listeners: [{ address: '127.0.0.1:0', name: web, routes: [%s] }]
pools: { %s }
`
	routes := []string{"{ name: to-a, match: { path: /a }, pool: pa }", "{ name: to-b, match: { path: /b }, pool: pb }"}
	pools := []string{"pa: { servers: ['" + a + "'] }", "pb: { servers: ['" + b + "'] }"}
	r := &reloader{t: t, text: fmt.Sprintf(text, socket, strings.Join(routes, ", "), strings.Join(pools, ", "))}
	r.begin()
	r.get("/a")
	r.get("/a")
	r.get("/b")
	slices.Reverse(routes)
	slices.Reverse(pools)
	r.text = fmt.Sprintf(text, socket, strings.Join(routes, ", "), strings.Join(pools, ", "))
	if problems, err := r.Reload(); err != nil {
		t.Fatal(err, problems)
	}
	r.get("/b")
	c := http.Client{Transport: &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", socket)
	}}}
	resp, err := c.Get("http://localhost/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	metrics, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		`poise_route_requests_total{code="2xx",listener="web",route="to-a"} 2`, `poise_route_requests_total{code="2xx",listener="web",route="to-b"} 2`,
		`poise_pool_requests_total{code="2xx",pool="pa"} 2`, `poise_pool_requests_total{code="2xx",pool="pb"} 2`,
		`poise_server_requests_total{code="2xx",pool="pa",server="` + a + `"} 2`, `poise_route_in_flight_requests{listener="web",route="to-a"} 0`,
		`poise_config_reloads_total{result="success"} 1`, `poise_config_reloads_total{result="failure"} 0`, `poise_config_last_reload_successful 1`,
	} {
		if !strings.Contains(string(metrics), want+"\n") {
			t.Errorf("no line %s", want)
		}
	}
}

// TestReloadChangesTheProbe: the old check ends when there is another one.
func TestReloadChangesTheProbe(t *testing.T) {
	var before, after atomic.Int64
	s := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		map[string]*atomic.Int64{"/before": &before, "/after": &after}[r.URL.Path].Add(1)
	}))
	t.Cleanup(s.Close)
	text := "listen: 127.0.0.1:0\nservers: ['" + strings.TrimPrefix(s.URL, "http://") + "']\nhealth: { http: { path: %s }, interval: 10ms }\n"
	r := startReloader(t, fmt.Sprintf(text, "/before"))
	testkit.Eventually(t, "first probes", func() bool { return before.Load() > 2 })
	r.reload(fmt.Sprintf(text, "/after"))
	ended := before.Load()
	testkit.Eventually(t, "probes by the new check", func() bool { return after.Load() > 10 })
	if n := before.Load() - ended; n > 0 {
		t.Errorf("the old check went on %d times", n)
	}
}

func TestReloadKeepsWhatIsTied(t *testing.T) {
	const text = "listen: 127.0.0.1:0\nservers: [%s]\nhealth: { http: {}, interval: %s }\naffinity: { cookie: {} }\n"
	a, b := answering(t, "a"), answering(t, "b")
	both := "'" + a + "', '" + b + "'"
	r := startReloader(t, fmt.Sprintf(text, both, "10s"))
	testkit.Eventually(t, "first probes", func() bool { return r.server("default", a).State == "up" && r.server("default", b).State == "up" })
	url := "http://" + r.Status().Listeners[0].Addresses[0] + "/"
	first, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	want, _ := io.ReadAll(first.Body)
	_ = first.Body.Close()
	before := r.server("default", a).LastProbe
	r.reload(fmt.Sprintf(text, both+", '127.0.0.1:9'", "10s"))
	if got := r.server("default", a).LastProbe; got != before {
		t.Errorf("last probe of a %q, want %q: its health did not change", got, before)
	}
	r.reload(fmt.Sprintf(text, both, "20ms"))
	if s := r.server("default", a); s.State != "up" {
		t.Errorf("a is %s after its check was changed, want up", s.State)
	}
	testkit.Eventually(t, "probe by the new interval", func() bool { return r.server("default", a).LastProbe != before })
	for range 10 {
		req, err := http.NewRequest(http.MethodGet, url, nil)
		if err != nil {
			t.Fatal(err)
		}
		req.AddCookie(first.Cookies()[0])
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		got, _ := io.ReadAll(resp.Body)
		_ = resp.Body.Close()
		if string(got) != string(want) {
			t.Fatalf("the client of %s got %s: its cookie was forgotten", want, got)
		}
	}
}

// TestReloadsAreFolded asks many times at once: few reloads follow, and the last one reads what was there when it was asked for.
func TestReloadsAreFolded(t *testing.T) {
	a := answering(t, "a")
	r := startReloader(t, "listen: 127.0.0.1:0\nservers: ['"+a+"']\n")
	var loads sync.WaitGroup
	began := time.Now()
	for range 100 {
		loads.Go(func() { _, _ = r.Reload() })
	}
	loads.Wait()
	if n := strings.Count(r.log.String(), "was reloaded"); n < 1 || n > 90 {
		t.Errorf("%d reloads in %v for 100 that were asked for at once, want fewer", n, time.Since(began))
	}
}

// TestReloadOfListeners: one that is new waits for the next start, one that is gone keeps what still leads somewhere, and none takes another's place.
func TestReloadOfListeners(t *testing.T) {
	a, b := answering(t, "a"), answering(t, "b")
	pools := "pools: { pa: { servers: ['" + a + "'] }, pb: { servers: ['" + b + "'] } }\n"
	r := startReloader(t, `
listeners:
- { address: '127.0.0.1:0', name: first, pool: pa }
- { address: '127.0.0.1:0', name: second, pool: pb, routes: [{ match: { path: /a }, pool: pa }] }
`+pools)
	get := func(listener int, path string) string {
		t.Helper()
		resp, err := http.Get("http://" + r.Status().Listeners[listener].Addresses[0] + path)
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
		return resp.Status[:3]
	}
	warnings := strings.Join(r.reload(`
listeners:
- { address: '127.0.0.1:1', name: third, pool: pa }
- { address: '127.0.0.1:0', name: first, pool: pa, routes: [{ match: { path: /none, methods: PUT }, pool: pa }] }
pools: { pa: { servers: ['`+a+`'] } }
`), "\n")
	if !strings.Contains(warnings, "listener third is new") || !strings.Contains(warnings, "listener second is gone") || strings.Contains(warnings, "first") {
		t.Errorf("warnings %q, want them of the second and third listener alone", warnings)
	}
	for _, c := range []struct {
		listener   int
		path, want string
	}{{0, "/", "200"}, {1, "/a", "200"}, {1, "/", "404"}} {
		if got := get(c.listener, c.path); got != c.want {
			t.Errorf("listener %d answers %s with %s, want %s", c.listener, c.path, got, c.want)
		}
	}
}

// A request that waits in the queue of a pool that goes gets its server: the pool is emptied only then.
func TestReloadLetsTheQueueOfAPoolThatGoesRunDry(t *testing.T) {
	asked, goOn := make(chan struct{}, 2), make(chan struct{})
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		asked <- struct{}{}
		<-goOn
		_, _ = io.WriteString(w, "old")
	}))
	t.Cleanup(s.Close)
	r := startReloader(t, fmt.Sprintf("listeners: [{ address: '127.0.0.1:0', name: web, pool: old }]\npools: { old: { servers: ['%s'], max_requests: 1 } }\n",
		strings.TrimPrefix(s.URL, "http://")))
	answers := make(chan string, 2)
	ask := func() { answers <- r.get("/") }
	go ask()
	<-asked
	go ask()
	testkit.Eventually(t, "request in the queue", func() bool { return r.Status().Pools[0].Waiting == 1 })
	reloaded := make(chan struct{})
	go func() {
		defer close(reloaded)
		r.reload(fmt.Sprintf("listeners: [{ address: '127.0.0.1:0', name: web, pool: new }]\npools: { new: { servers: ['%s'] } }\n", answering(t, "new")))
	}()
	testkit.Eventually(t, "new pool", func() bool { return r.Status().Pools[0].Name == "new" })
	close(goOn)
	for range 2 {
		if got := <-answers; got != "200 old" {
			t.Errorf("a request of before the reload got %q, want 200 old", got)
		}
	}
	<-reloaded
	if got := r.get("/"); got != "200 new" {
		t.Errorf("a request after the reload got %q, want 200 new", got)
	}
}

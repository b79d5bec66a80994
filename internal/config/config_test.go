package config

import (
	"net/netip"
	"os"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

func newValue(t reflect.Type) reflect.Value { return reflect.New(t).Elem() }

var same = cmp.Options{
	cmpopts.IgnoreUnexported(Config{}),
	cmp.Comparer(func(a, b netip.Prefix) bool { return a == b }),
	cmpopts.EquateEmpty(),
}

// environment is a process's environment in a map.
func environment(vars map[string]string) func(string) (string, bool) {
	return func(name string) (string, bool) {
		v, ok := vars[name]
		return v, ok
	}
}

// mustParse parses what has no mistakes.
func mustParse(t *testing.T, text string) *Config {
	t.Helper()
	c, problems := Parse("test.yaml", []byte(text), noVariables)
	if len(problems) > 0 {
		var b strings.Builder
		if err := problems.Format(&b, false); err != nil {
			t.Fatal(err)
		}
		t.Fatalf("Parse has problems:\n%s", b.String())
	}
	return c
}

func TestSmallest(t *testing.T) {
	c := mustParse(t, "listen: :8080\nservers: [10.0.0.1:8080, App.internal:0080]\n")
	wantListeners := []*Listener{{
		Name: ":8080", Addresses: Addresses{":8080"}, Protocol: "http", HTTP2: true, Pool: "default", Upgrades: Strings{"websocket"},
		Timeouts: Default().Timeouts.ListenerTimeouts,
	}}
	wantPools := Pools{{
		Name: "default", Policy: Policy{Name: LeastRequests}, HTTPVersion: "1.1",
		Servers: []*Server{{Address: "10.0.0.1:8080", Weight: 1}, {Address: "app.internal:80", Weight: 1}},
		Retry:   usualRetry, Eject: usualEject, Queue: usualQueue, FailOpen: usualFailOpen,
	}}
	if diff := cmp.Diff(wantListeners, c.Listeners, same); diff != "" {
		t.Errorf("Listeners differ (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(wantPools, c.Pools, same); diff != "" {
		t.Errorf("Pools differ (-want +got):\n%s", diff)
	}
}

// What every pool has that says nothing else.
var (
	usualRetry = Retry{
		RouteRetry: RouteRetry{Attempts: 4, Repeats: 1, On: Causes{{Name: "connect"}, {Name: "reset"}, {Name: "timeout"}}}, Budget: 20, BudgetFloor: 3,
	}
	usualEject = Eject{
		Enabled: true, ConsecutiveFailures: 5, SuccessRate: 1.9, Latency: 3, Interval: 2 * time.Second, MinRequests: 50,
		Time: 30 * time.Second, MaxTime: 300 * time.Second, MaxShare: 50,
	}
)

var (
	usualQueue    = Queue{Length: 100, Timeout: 5 * time.Second}
	usualFailOpen = FailOpen{Enabled: true}
)

// TestDefaults states the defaults a second time, as PRODUCT's users know them.
func TestDefaults(t *testing.T) {
	want := &Config{
		Driver: "auto",
		Single: Pool{
			Policy: Policy{Name: LeastRequests}, HTTPVersion: "1.1", Retry: usualRetry, Eject: usualEject, Queue: usualQueue, FailOpen: usualFailOpen,
		},
		Timeouts: Timeouts{
			ListenerTimeouts: ListenerTimeouts{
				RouteTimeouts: RouteTimeouts{
					Connect: 5 * time.Second, Response: time.Minute, BodyIdle: time.Minute, BodyRate: 100, Write: time.Minute, RelayIdle: time.Hour,
				},
				RequestHead: 10 * time.Second, TLSHandshake: 10 * time.Second, Idle: 75 * time.Second,
			},
			ServerIdle: time.Minute, Drain: 30 * time.Second,
		},
		Limits:    Limits{Head: 64 << 10, Fields: 100, Streams: 100, Handshakes: 4096, Compressions: 64, IdlePerServer: 256},
		AccessLog: AccessLog{Enabled: true, Path: "stdout", Format: "json"},
		Admin:     Admin{Enabled: true, Address: "127.0.0.1:9900"},
	}
	if diff := cmp.Diff(want, Default(), same); diff != "" {
		t.Errorf("Default() differs (-want +got):\n%s", diff)
	}
}

func TestHealthAndAffinityDefaults(t *testing.T) {
	c := mustParse(t, "listen: :1\nservers: [a:1]\nhealth: {http: {}}\naffinity: {cookie: {}}\n")
	wantHealth := &Health{
		HTTP:     &HTTPProbe{Path: "/", Method: "GET", Status: Statuses{{200, 399}}},
		Interval: 2 * time.Second, Timeout: time.Second, Fall: 3, Rise: 2,
	}
	if diff := cmp.Diff(wantHealth, c.Pools[0].Health, same); diff != "" {
		t.Errorf("Health differs (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(&Affinity{Cookie: &Cookie{Name: "poise", Path: "/", SameSite: "lax"}}, c.Pools[0].Affinity, same); diff != "" {
		t.Errorf("Affinity differs (-want +got):\n%s", diff)
	}
}

func TestTimeoutsAreInherited(t *testing.T) {
	c := mustParse(t, `
timeouts: { connect: 1s, response: 2s, idle: 3s }
listeners:
  - address: :1
    pool: p
    timeouts: { response: 4s, write: 5s }
    routes:
      - { pool: p, timeouts: { response: 0s, connect: 6s } }
      - { pool: p }
pools: { p: { servers: [a:1] } }
`)
	l := c.Listeners[0]
	if got, want := l.Timeouts.Connect, time.Second; got != want {
		t.Errorf("listener's connect = %v, want %v", got, want)
	}
	if got, want := l.Timeouts.Idle, 3*time.Second; got != want {
		t.Errorf("listener's idle = %v, want %v", got, want)
	}
	want := []RouteTimeouts{
		{Connect: 6 * time.Second, Response: 0, BodyIdle: time.Minute, BodyRate: 100, Write: 5 * time.Second, RelayIdle: time.Hour},
		{Connect: time.Second, Response: 4 * time.Second, BodyIdle: time.Minute, BodyRate: 100, Write: 5 * time.Second, RelayIdle: time.Hour},
	}
	for i, w := range want {
		if got := l.Routes[i].Timeouts; got != w {
			t.Errorf("Routes[%d].Timeouts = %+v, want %+v", i, got, w)
		}
	}
}

func TestWholeShape(t *testing.T) {
	data, err := os.ReadFile("../../examples/whole.yaml")
	if err != nil {
		t.Fatal(err)
	}
	c, problems := Parse("whole.yaml", data, environment(map[string]string{"POISE_SECRET": "0123456789abcdef"}))
	if c == nil {
		t.Fatalf("Parse: %v", problems)
	}
	r := c.Listeners[0].Routes[0]
	want := Matches{{
		Host: "api.example.com", Path: "/v1/*", Methods: Strings{"GET", "HEAD"}, Headers: Conditions{{"x-canary", Text{Exact: "1"}}, {"x-old", Text{Absent: true}}},
		Query: Conditions{{"v", Text{Exact: "2"}}, {"page", Text{Regex: "[0-9]+"}}},
	}}
	if diff := cmp.Diff(want, r.Match, same); diff != "" {
		t.Errorf("Match differs (-want +got):\n%s", diff)
	}
	if got, want := c.Listeners[0].TrustedProxies[1], netip.MustParsePrefix("127.0.0.1/32"); got != want {
		t.Errorf("TrustedProxies[1] = %v, want %v", got, want)
	}
	app := c.Pools.Get("app")
	if app == nil || app.Policy != (Policy{LeastRequests, 3}) || !app.Servers[2].Backup || app.Servers[1].Weight != 2 {
		t.Errorf("Pools.Get(app) = %+v", app)
	}
	if got, want := app.Affinity.Cookie.Secret, Secret("0123456789abcdef"); got != want {
		t.Errorf("Secret = %q, want %q", string(got), string(want))
	}
}

func TestNames(t *testing.T) {
	c := mustParse(t, `
listeners:
  - { addresses: ["127.0.0.1:080", "[0:0::1]:81"], routes: [{ pool: p }, { name: shop, pool: p }, { pool: p }] }
  - { name: admin-web, address: unix:/run/x.sock, pool: p }
pools: { p: { servers: ["[2001:DB8::1]:80"] } }
`)
	l := c.Listeners[0]
	got := []string{l.Name, l.Routes[0].Name, l.Routes[1].Name, l.Routes[2].Name, c.Listeners[1].Name, string(l.Addresses[1]), string(c.Pools[0].Servers[0].Address)}
	want := []string{"127.0.0.1:80", "127.0.0.1:80/1", "shop", "127.0.0.1:80/3", "admin-web", "[::1]:81", "[2001:db8::1]:80"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("names differ (-want +got):\n%s", diff)
	}
	if path, ok := c.Listeners[1].Addresses[0].Unix(); path != "/run/x.sock" || !ok {
		t.Errorf("Unix() = %q, %v", path, ok)
	}
	if host, port := l.Addresses[1].HostPort(); host != "::1" || port != 81 {
		t.Errorf("HostPort() = %q, %d", host, port)
	}
}

func TestPolicy(t *testing.T) {
	for text, want := range map[string]Policy{
		"round_robin": {RoundRobin, 0}, "random": {Random, 0}, "ip_hash": {IPHash, 0}, "least_requests": {LeastRequests, 0},
		"{ least_requests: { choices: 2 } }": {LeastRequests, 2}, "{ least_requests: { choices: all } }": {LeastRequests, AllChoices},
		"{ round_robin: {} }": {RoundRobin, 0}, "{ random: }": {Random, 0},
	} {
		if got := mustParse(t, "listen: :1\nservers: [a:1]\npolicy: "+text+"\n").Pools[0].Policy; got != want {
			t.Errorf("policy %s = %+v, want %+v", text, got, want)
		}
	}
}

func TestStatuses(t *testing.T) {
	for text, want := range map[string]Statuses{
		"200": {{200, 200}}, "200-399": {{200, 399}}, "[200, 300-304]": {{200, 200}, {300, 304}}, `"204"`: {{204, 204}},
	} {
		got := mustParse(t, "listen: :1\nservers: [a:1]\nhealth: {http: {status: "+text+"}}\n").Pools[0].Health.HTTP.Status
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("status %s differs (-want +got):\n%s", text, diff)
		}
	}
	if s := (Statuses{{200, 204}, {300, 300}}); !s.Has(200) || !s.Has(204) || !s.Has(300) || s.Has(205) || s.Has(199) {
		t.Errorf("Statuses.Has is wrong for %v", s)
	}
}

func TestAnchorsAndMerge(t *testing.T) {
	c := mustParse(t, `
listeners: [{ address: :1, routes: [{ pool: a, match: { path: /a } }, { pool: b }] }]
pools:
  a: &a
    servers: &s [a:1, b:1]
    policy: random
  b:
    <<: *a
    policy: round_robin
`)
	b := c.Pools.Get("b")
	if b.Policy.Name != RoundRobin || len(b.Servers) != 2 {
		t.Errorf("b = %+v, want round_robin over two servers", b)
	}
	if c.Pools.Get("a").Servers[0] == b.Servers[0] {
		t.Error("an alias shares its server with the anchor")
	}
}

func TestSecretIsHidden(t *testing.T) {
	s := Secret("0123456789abcdef")
	if got, want := s.String(), "(hidden)"; got != want {
		t.Errorf("String() = %q, want %q", got, want)
	}
	if got := s.GoString(); strings.Contains(got, "0123") {
		t.Errorf("GoString() = %q shows the secret", got)
	}
	_, problems := Parse("x", []byte("listen: :1\nservers: [a:1]\naffinity: {cookie: {secret: topsecret}}\n"), noVariables)
	var b strings.Builder
	if err := problems.Format(&b, false); err != nil || strings.Contains(b.String(), "topsecret") || !strings.Contains(b.String(), "shorter than 16 bytes") {
		t.Errorf("Format, %v, shows the secret or not the mistake:\n%s", err, b.String())
	}
}

func TestPos(t *testing.T) {
	c := mustParse(t, "listeners:\n  - address: :1\n    routes:\n      - match: {path: /a}\n        pool: p\npools: {p: {servers: [a:1]}}\n")
	r := c.Listeners[0].Routes[0]
	for name, x := range map[string]struct {
		field any
		want  Pos
	}{
		"route": {r, Pos{"test.yaml", 4, 9}}, "pool": {&r.Pool, Pos{"test.yaml", 5, 15}}, "path": {&r.Match[0].Path, Pos{"test.yaml", 4, 23}},
		"host": {&r.Match[0].Host, Pos{}}, "pool p": {c.Pools[0], Pos{"test.yaml", 6, 9}}, "server": {c.Pools[0].Servers[0], Pos{"test.yaml", 6, 23}},
	} {
		if got := c.Pos(x.field); got != x.want {
			t.Errorf("Pos(%s) = %v, want %v", name, got, x.want)
		}
	}
	p := c.Problem(r, Warning, "never matches", "")
	if p.Source != "      - match: {path: /a}" || p.Line != 4 || p.Severity != Warning {
		t.Errorf("Problem(route) = %+v", p)
	}
}

func TestTokenFileWithoutEffect(t *testing.T) {
	for admin, want := range map[string]string{
		"{ token_file: /t }":                          "",
		"{ token_file: /t, enabled: false }":          "the admin address is turned off",
		"{ token_file: /t, address: 'unix:/a.sock' }": "over a Unix socket file rights decide",
	} {
		_, problems := Parse("x", []byte("listen: :1\nservers: [a:1]\nadmin: "+admin+"\n"), noVariables)
		if (want == "") != (len(problems) == 0) || want != "" && (problems[0].Severity != Warning || !strings.Contains(problems[0].Message, want)) {
			t.Errorf("admin: %s has the problems %v, want a warning with %q", admin, problems, want)
		}
	}
}

package route

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"poise/internal/balance"
	"poise/internal/msg"
	"poise/internal/pool"
)

var app = pool.New(1, pool.Spec{Name: "app", Policy: balance.RoundRobin()})

// match reads a match from words: host, path, METHODS, header:value and ?parameter=value, each optional.
func match(words string) Match {
	var m Match
	for _, w := range strings.Fields(words) {
		switch {
		case w[0] == '/':
			m.Path = w
		case w[0] == '?':
			name, value, _ := strings.Cut(w[1:], "=")
			m.Query = append(m.Query, NameValue{name, value})
		case w[0] != '[' && strings.Contains(w, ":"):
			name, value, _ := strings.Cut(w, ":")
			m.Headers = append(m.Headers, NameValue{name, value})
		case strings.ToUpper(w) == w && w[0] != '*' && w[0] != '[':
			m.Methods = append(m.Methods, strings.Split(w, ",")...)
		default:
			m.Host = w
		}
	}
	return m
}

// listener makes a listener whose routes are named by their words.
func listener(routes ...string) Listener {
	l := Listener{Name: "web"}
	for _, words := range routes {
		l.Routes = append(l.Routes, Spec{Route: Route{Name: words, Pool: app}, Match: match(words)})
	}
	return l
}

func build(t testing.TB, listeners ...Listener) *Table {
	t.Helper()
	table, _, err := Build(listeners)
	if err != nil {
		t.Fatal(err)
	}
	return table
}

// request reads "METHOD host/path?query" and "header:value" behind it.
func request(words string) *msg.Request {
	list := strings.Fields(words)
	r := &msg.Request{Method: []byte(list[0])}
	at := strings.IndexAny(list[1], "/*")
	path, query, _ := strings.Cut(list[1][at:], "?")
	r.Host, r.Path = []byte(list[1][:at]), []byte(path)
	if strings.Contains(list[1], "?") {
		r.Query = []byte("?" + query)
	}
	for _, f := range list[2:] {
		name, value, _ := strings.Cut(f, ":")
		r.Fields = append(r.Fields, msg.Field{Name: []byte(name), Value: []byte(value)})
	}
	return r
}

func nameOf(r *Route) string {
	if r == nil {
		return "none"
	}
	return r.Name
}

func TestMatch(t *testing.T) {
	tests := []struct {
		name    string
		routes  []string
		request string
		want    string
	}{
		{"nothing at all", nil, "GET a/", "none"},
		{"no host matches", []string{"b.com"}, "GET a.com/", "none"},
		{"everything", []string{""}, "GET a.com/x", ""},
		{"everything, without host", []string{""}, "GET /x", ""},
		{"everything, OPTIONS *", []string{""}, "OPTIONS a.com*", ""},

		{"exact host", []string{"", "a.com"}, "GET a.com/", "a.com"},
		{"exact host before wildcard", []string{"*.a.com", "x.a.com"}, "GET x.a.com/", "x.a.com"},
		{"wildcard", []string{"*.a.com"}, "GET x.a.com/", "*.a.com"},
		{"wildcard of many labels", []string{"*.a.com"}, "GET x.y.z.a.com/", "*.a.com"},
		{"wildcard does not cover the bare name", []string{"*.a.com"}, "GET a.com/", "none"},
		{"wildcard ends at a label", []string{"*.a.com"}, "GET xa.com/", "none"},
		{"longest wildcard", []string{"*.com", "*.b.a.com", "*.a.com"}, "GET x.b.a.com/", "*.b.a.com"},
		{"an empty label is none", []string{"*.a.com"}, "GET .a.com/", "none"},
		{"host in capitals in the configuration", []string{"API.Example.COM."}, "GET api.example.com/", "API.Example.COM."},
		{"IPv6 host", []string{"[::1]"}, "GET [::1]/", "[::1]"},

		{"exact path", []string{"/v1/*", "/v1"}, "GET a/v1", "/v1"},
		{"prefix covers itself", []string{"/v1/*"}, "GET a/v1", "/v1/*"},
		{"prefix covers what is below", []string{"/v1/*"}, "GET a/v1/x/y", "/v1/*"},
		{"prefix covers its slash", []string{"/v1/*"}, "GET a/v1/", "/v1/*"},
		{"prefix is of whole segments", []string{"/v1/*"}, "GET a/v1x", "none"},
		{"longest prefix", []string{"/*", "/v1/*", "/v1/users/*"}, "GET a/v1/users/7", "/v1/users/*"},
		{"longest prefix that fits", []string{"/*", "/v1/*", "/v1/users/*"}, "GET a/v1/user", "/v1/*"},
		{"the root prefix covers all paths", []string{"/*"}, "GET a/", "/*"},
		{"the root prefix is before none", []string{"", "/*"}, "GET a/x", "/*"},
		{"the root prefix does not cover *", []string{"", "/*"}, "OPTIONS a*", ""},
		{"path case counts", []string{"/V1"}, "GET a/v1", "none"},
		{"exact path with a slash", []string{"/v1/"}, "GET a/v1", "none"},
		{"empty segments count", []string{"/v1/*", "/v1//*"}, "GET a/v1//x", "/v1//*"},

		{"host comes before path", []string{"/v1/users", "a.com"}, "GET a.com/v1/users", "a.com"},
		{"a host without a fitting path falls back", []string{"a.com /v2", "*.com /v3", "/v1"}, "GET a.com/v1", "/v1"},
		{"path comes before method", []string{"/* GET", "/v1/*"}, "GET a/v1", "/v1/*"},
		{"a path with another method falls back", []string{"/* GET", "/v1/* POST"}, "GET a/v1", "/* GET"},
		{"method comes before headers", []string{"x:1 y:2", "GET"}, "GET a/ x:1 y:2", "GET"},
		{"methods are alternatives", []string{"PUT,GET"}, "GET a/", "PUT,GET"},
		{"method case counts", []string{"GET"}, "get a/", "none"},
		{"more headers", []string{"x:1", "x:1 y:2", "?a=1"}, "GET a/?a=1 x:1 y:2", "x:1 y:2"},
		{"headers come before parameters", []string{"?a=1 ?b=2", "x:1"}, "GET a/?a=1&b=2 x:1", "x:1"},
		{"more parameters", []string{"?a=1", "?a=1 ?b=2"}, "GET a/?b=2&a=1", "?a=1 ?b=2"},
		{"first in the file", []string{"x:1", "y:2"}, "GET a/ y:2 x:1", "x:1"},

		{"header name in any case", []string{"X-Canary:1"}, "GET a/ x-cAnary:1", "X-Canary:1"},
		{"header value to the byte", []string{"x:a"}, "GET a/ x:A", "none"},
		{"one of several fields", []string{"x:2"}, "GET a/ x:1 x:2", "x:2"},
		{"all headers needed", []string{"x:1 y:2"}, "GET a/ x:1", "none"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			table := build(t, listener(tt.routes...))
			if got := nameOf(table.Match(0, request(tt.request))); got != tt.want {
				t.Errorf("Match(%s) = %q, want %q", tt.request, got, tt.want)
			}
		})
	}
}

func TestListenersAreApart(t *testing.T) {
	table := build(t, listener("a.com", ""), listener("b.com"))
	for _, tt := range []struct {
		listener int
		request  string
		want     string
		index    int
	}{
		{0, "GET a.com/", "a.com", 0}, {0, "GET b.com/", "", 1}, {1, "GET b.com/", "b.com", 2}, {1, "GET a.com/", "none", 0}, {2, "GET a.com/", "none", 0},
	} {
		got := table.Match(tt.listener, request(tt.request))
		if nameOf(got) != tt.want || got != nil && (got.Index != tt.index || table.Routes()[tt.index] != got) {
			t.Errorf("Match(%d, %s) = %+v, want %q with index %d", tt.listener, tt.request, got, tt.want, tt.index)
		}
	}
	if got := (&Table{}).Match(0, request("GET a/")); got != nil {
		t.Errorf("Match of the zero table = %v, want nil", got)
	}
}

// naive is Match in the plainest words: all routes in order of precedence, each compared with the whole request.
func naive(routes []Spec, req *msg.Request) string {
	best, name := "", "none"
	for i, spec := range routes {
		m := spec.Match
		host, path := strings.ToLower(strings.TrimSuffix(m.Host, ".")), m.Path
		suffix, wideHost := strings.CutPrefix(host, "*")
		prefix, widePath := strings.CutSuffix(path, "/*")
		got := string(req.Path)
		switch {
		case wideHost && !(strings.HasSuffix(string(req.Host), suffix) && len(req.Host) > len(suffix)):
		case host != "" && !wideHost && string(req.Host) != host:
		case widePath && got != prefix && !strings.HasPrefix(got, prefix+"/"):
		case path != "" && !widePath && got != path:
		case len(m.Methods) > 0 && !slices.Contains(m.Methods, string(req.Method)):
		case !fieldsHold(req.Fields, m.Headers), !queryHolds(string(req.Query), m.Query):
		default:
			// The greatest word wins; what is first in the file is greatest among equals.
			rank := func(exact, wide bool, n int) string {
				switch {
				case exact:
					return "2000"
				case wide:
					return fmt.Sprintf("1%03d", n)
				}
				return "0000"
			}
			key := rank(host != "" && !wideHost, wideHost, len(suffix)) + rank(path != "" && !widePath, widePath, len(prefix)) +
				fmt.Sprintf("%d%03d%03d%05d", min(len(m.Methods), 1), len(m.Headers), len(m.Query), 99999-i)
			if key > best {
				best, name = key, spec.Route.Name
			}
		}
	}
	return name
}

func fieldsHold(fields msg.Fields, wants []NameValue) bool {
	for _, want := range wants {
		if !slices.ContainsFunc(fields, func(f msg.Field) bool {
			return strings.EqualFold(string(f.Name), want.Name) && string(f.Value) == want.Value
		}) {
			return false
		}
	}
	return true
}

func queryHolds(query string, wants []NameValue) bool {
	pieces := strings.Split(strings.TrimPrefix(query, "?"), "&")
	for _, want := range wants {
		if !slices.Contains(pieces, want.Name+"="+want.Value) {
			return false
		}
	}
	return true
}

// TestHT5IndexIsTheScan builds random tables, some of hundreds of hosts, and compares the index with the naive scan.
func TestHT5IndexIsTheScan(t *testing.T) {
	r := rand.New(rand.NewPCG(7, 8))
	one := func(list ...string) string { return list[r.IntN(len(list))] }
	labels := []string{"a", "b", "www", "api", "x1", "shop"}
	host := func() string {
		h := one("com", "org", "example.com")
		for range r.IntN(3) {
			h = one(labels...) + "." + h
		}
		return h
	}
	path := func() string {
		p := ""
		for range r.IntN(4) {
			p += "/" + one("", "a", "ab", "v1", "users")
		}
		return p
	}
	matched := 0
	for round := range 300 {
		n := 1 + r.IntN(12)
		if round%20 == 0 {
			n = 400
		}
		l := Listener{Name: "web"}
		for i := range n {
			m := Match{}
			switch r.IntN(5) {
			case 0, 1:
				m.Host = host() + one("", "", ".")
			case 2:
				m.Host = "*." + strings.ToUpper(host())
			case 3:
				if n == 400 { // many virtual hosts
					m.Host = fmt.Sprintf("h%d.%s", r.IntN(200), host())
				}
			}
			switch r.IntN(4) {
			case 0:
				m.Path = one("/", "") + strings.TrimPrefix(path(), "/")
				if !strings.HasPrefix(m.Path, "/") {
					m.Path = ""
				}
			case 1, 2:
				m.Path = path() + "/*"
			}
			if r.IntN(3) == 0 {
				m.Methods = []string{one("GET", "POST"), one("GET", "PUT")}
			}
			if r.IntN(3) == 0 {
				m.Headers = []NameValue{{one("X-A", "x-a", "x-b"), one("1", "2")}}
			}
			if r.IntN(3) == 0 {
				m.Query = []NameValue{{one("p", "q"), one("1", "2")}}
			}
			l.Routes = append(l.Routes, Spec{Route{Name: fmt.Sprint(i), Pool: app}, m})
		}
		table := build(t, l)
		for range 200 {
			req := request(one("GET", "POST", "PUT") + " " + host() + one("/", path()+"/", path()+"/"+one(labels...)) +
				one("", "?p=1", "?q=2&p=2") + " " + one("", "x-a:1", "X-B:2"))
			if n == 400 && r.IntN(2) == 0 {
				req.Host = fmt.Appendf(nil, "h%d.%s", r.IntN(200), host())
			}
			got, want := nameOf(table.Match(0, req)), naive(l.Routes, req)
			if got != want {
				t.Fatalf("Match(%s %s%s%s %q) = route %s, want %s of %+v", req.Method, req.Host, req.Path, req.Query, req.Fields, got, want, l.Routes)
			}
			if got != "none" {
				matched++
			}
		}
	}
	if matched < 10_000 {
		t.Errorf("only %d requests of 60000 matched a route", matched)
	}
}

// TestLongPathsCostLittle matches a path of nothing but slashes against many prefixes: only lengths that a prefix has may be
// looked up.
func TestLongPathsCostLittle(t *testing.T) {
	table := build(t, listener("/v1/*", "/v1/users/*", "/*"))
	req := request("GET a/")
	req.Path = []byte(strings.Repeat("/", 64<<10))
	req.Host = []byte(strings.Repeat("a.", 128))
	least := time.Hour
	for range 20 {
		begin := time.Now()
		table.Match(0, req)
		least = min(least, time.Since(begin))
	}
	if least > time.Millisecond { // 65536 look-ups would take a second
		t.Errorf("Match of 64 KiB of slashes takes %v, want microseconds", least)
	}
}

func TestMatchDoesNotAllocate(t *testing.T) {
	table := build(t, listener("a.com /v1/* GET x:1 ?a=1", "*.a.com /v1", "*.com", "/v1/*", ""))
	for _, words := range []string{"GET a.com/v1/x?b=%41&a=%31 y:2 x:1", "GET b.a.com/v1/y", "POST x.y.org/"} {
		req := request(words)
		if got := testing.AllocsPerRun(1000, func() { table.Match(0, req) }); got != 0 {
			t.Errorf("allocations of Match(%s) = %v, want 0", words, got)
		}
	}
}

func BenchmarkMatch(b *testing.B) {
	var many []string
	for i := range 1000 {
		many = append(many, fmt.Sprintf("h%d.example.com /v1/*", i), fmt.Sprintf("*.h%d.example.com", i))
	}
	for _, bb := range []struct {
		name    string
		routes  []string
		request string
	}{
		{"one", []string{""}, "GET example.com/index.html"},
		{"few", []string{"api.example.com /v1/* GET x-canary:1", "/shop/*", ""}, "GET api.example.com/v1/users/7 accept:* user-agent:x"},
		{"many", append(many, ""), "GET a.b.h500.example.com/v1/users/7"},
	} {
		b.Run(bb.name, func(b *testing.B) {
			table, req := build(b, listener(bb.routes...)), request(bb.request)
			for b.Loop() {
				table.Match(0, req)
			}
		})
	}
}

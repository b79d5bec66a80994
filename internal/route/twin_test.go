package route

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"poise/internal/msg"
)

// naive is Match in the plainest words: all routes in order of precedence, each compared with the whole request.
func naive(routes []Spec, req *msg.Request, about *About) string {
	best, name := "", "none"
	for i, spec := range routes {
		for j, m := range spec.Matches {
			host, path := strings.ToLower(strings.TrimSuffix(m.Host, ".")), m.Path
			suffix, wideHost := strings.CutPrefix(host, "*")
			prefix, widePath := strings.CutSuffix(path, "/*")
			got := string(req.Path)
			switch {
			case wideHost && !(strings.HasSuffix(string(req.Host), suffix) && len(req.Host) > len(suffix)):
			case host != "" && !wideHost && string(req.Host) != host:
			case widePath && got != prefix && !strings.HasPrefix(got, prefix+"/"):
			case path != "" && !widePath && got != path:
			case m.PathPattern != "" && !wholly(m.PathPattern, got):
			case len(m.Methods) > 0 && !slices.Contains(m.Methods, string(req.Method)):
			case !hold(lowered(m.Headers), fieldsOf(req)), !hold(m.Query, parametersOf(req)), !hold(m.Cookies, cookiesOf(req)):
			case m.Source != nil && !slices.ContainsFunc(m.Source, func(p netip.Prefix) bool { return p.Contains(about.From) }):
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
					fmt.Sprintf("%d%d%03d%03d%03d%d%05d%02d", min(len(m.PathPattern), 1), min(len(m.Methods), 1), len(m.Headers), len(m.Query), len(m.Cookies),
						min(len(m.Source), 1), 99999-i, 99-j)
				if key > best {
					best, name = key, spec.Route.Name
				}
			}
		}
	}
	return name
}

func wholly(pattern, s string) bool { return regexp.MustCompile("^(" + pattern + ")$").MatchString(s) }

func fieldsOf(req *msg.Request) map[string][]string {
	all := map[string][]string{}
	for _, f := range req.Fields {
		name := strings.ToLower(string(f.Name))
		all[name] = append(all[name], string(f.Value))
	}
	return all
}

func parametersOf(req *msg.Request) map[string][]string {
	all := map[string][]string{}
	for piece := range strings.SplitSeq(strings.TrimPrefix(string(req.Query), "?"), "&") {
		if name, value, _ := strings.Cut(piece, "="); piece != "" {
			all[name] = append(all[name], value)
		}
	}
	return all
}

func cookiesOf(req *msg.Request) map[string][]string {
	all := map[string][]string{}
	for _, field := range fieldsOf(req)["cookie"] {
		for pair := range strings.SplitSeq(field, ";") {
			if name, value, ok := strings.Cut(pair, "="); ok && all[name] == nil {
				all[name] = []string{value}
			}
		}
	}
	return all
}

func lowered(list []Condition) []Condition {
	list = slices.Clone(list)
	for i := range list {
		list[i].Name = strings.ToLower(list[i].Name)
	}
	return list
}

func hold(wants []Condition, values map[string][]string) bool {
	for _, w := range wants {
		is := func(v string) bool {
			switch w.Text.Kind {
			case Exact:
				return v == w.Text.Value
			case Prefix:
				return strings.HasPrefix(v, w.Text.Value)
			case Pattern:
				return wholly(w.Text.Value, v)
			}
			return true
		}
		if slices.ContainsFunc(values[w.Name], is) == (w.Text.Kind == Absent) {
			return false
		}
	}
	return true
}

// TestHT5IndexIsTheScan builds random tables, some of hundreds of hosts, and compares the index with the naive scan.
func TestHT5IndexIsTheScan(t *testing.T) {
	rounds, requests := 300, 200
	if os.Getenv("POISE_TEST_MILLION") != "" {
		rounds, requests = 1000, 1000
	}
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
	text := func() Text {
		switch r.IntN(6) {
		case 0:
			return Text{Kind: Present}
		case 1:
			return Text{Kind: Absent}
		case 2:
			return Text{Kind: Prefix, Value: one("", "1", "2")}
		case 3:
			return Text{Kind: Pattern, Value: one("1|2", "[13]", "2*", ".+")}
		}
		return Text{Value: one("1", "2")}
	}
	some := func(names ...string) []Condition {
		var list []Condition
		for range max(0, r.IntN(4)-1) {
			list = append(list, Condition{one(names...), text()})
		}
		return list
	}
	random := func(n int) Match {
		m := Match{Headers: some("X-A", "x-a", "x-b"), Query: some("p", "q"), Cookies: some("c", "C")}
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
		switch r.IntN(5) {
		case 0:
			m.Path = one("/", "") + strings.TrimPrefix(path(), "/")
			if !strings.HasPrefix(m.Path, "/") {
				m.Path = ""
			}
		case 1, 2:
			m.Path = path() + "/*"
		case 3:
			if n != 400 {
				m.PathPattern = one("/a.*", "/v[0-9]/?.*", ".*/users")
			}
		}
		if r.IntN(3) == 0 {
			m.Methods = []string{one("GET", "POST"), one("GET", "PUT")}
		}
		if r.IntN(6) == 0 {
			m.Source = []netip.Prefix{netip.MustParsePrefix(one("10.0.0.0/8", "10.1.0.0/16", "2001:db8::/32"))}
		}
		return m
	}
	matched := 0
	for round := range rounds {
		n := 1 + r.IntN(12)
		if round%20 == 0 {
			n = 400
		}
		l := Listener{Name: "web"}
		patterns := 0
		for i := range n {
			spec := Spec{Route: Route{Name: fmt.Sprint(i), Pool: app}}
			for range 1 + r.IntN(5)/4 {
				m := random(n)
				var c conditions
				if err := c.read(&m); err != nil {
					t.Fatal(err)
				}
				if patterns += c.patterns(); patterns > MaxPatterns {
					m.Headers, m.Query, m.Cookies, m.PathPattern = nil, nil, nil, ""
				}
				spec.Matches = append(spec.Matches, m)
			}
			l.Routes = append(l.Routes, spec)
		}
		table := build(t, l)
		for range requests {
			words := one("GET", "POST", "PUT") + " " + host() + one("/", path()+"/", path()+"/"+one(labels...)) +
				one("", "?p=1", "?q=2&p=2", "?p=3") + " " + one("", "x-a:1", "X-B:2", "x-a:2 x-a:3") + one("", " cookie:c=1", " cookie:C=2;c=") +
				one("", " @10.1.2.3", " @10.2.2.3", " @2001:db8::1")
			req, from := request(words), about(words)
			if n == 400 && r.IntN(2) == 0 {
				req.Host = fmt.Appendf(nil, "h%d.%s", r.IntN(200), host())
			}
			f := table.Match(0, req, from)
			got, want := nameOf(f.Route), naive(l.Routes, req, from)
			if got != want || f.Refuse != 0 {
				for _, spec := range l.Routes {
					if spec.Route.Name == got || spec.Route.Name == want {
						t.Logf("route %s has %+v", spec.Route.Name, spec.Matches)
					}
				}
				t.Fatalf("Match(%s, host %s) = route %s, %d, want %s", words, req.Host, got, f.Refuse, want)
			}
			if got != "none" {
				matched++
			}
		}
	}
	if matched < rounds*requests/8 {
		t.Errorf("only %d requests of %d matched a route", matched, rounds*requests)
	}
}

package route

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"poise/internal/balance"
	"poise/internal/pool"
)

func TestBuildErrors(t *testing.T) {
	tests := []struct {
		match Match
		want  string
	}{
		{Match{Host: "a.*.com"}, "stands only for the first labels"},
		{Match{Host: "*a.com"}, "stands only for the first labels"},
		{Match{Host: "*"}, "stands only for the first labels"},
		{Match{Host: "*.*.com"}, "stands only for the first labels"},
		{Match{Host: "*."}, "stands only for the first labels"},
		{Match{Host: "a.com:80"}, "port"},
		{Match{Host: "::1"}, "without brackets"},
		{Match{Host: "bücher.example"}, "xn--"},
		{Match{Host: "a..com"}, "is not a host name"},
		{Match{Host: ".a.com"}, "is not a host name"},
		{Match{Host: "."}, "is not a host name"},
		{Match{Host: "a.com/x"}, "is not a host name"},
		{Match{Host: "a b"}, "is not a host name"},
		{Match{Path: "v1"}, "begin with /"},
		{Match{Path: "*"}, "begin with /"},
		{Match{Path: "/v*"}, "only at the end"},
		{Match{Path: "/*/x"}, "only at the end"},
		{Match{PathPattern: "("}, "missing closing )"},
		{Match{PathPattern: "/a", Path: "/a"}, "a path and a pattern"},
		{Match{ServerName: "a:1"}, "port"},
		{Match{Subject: &Text{Kind: Pattern, Value: "["}}, "missing closing ]"},
		{Match{Headers: []Condition{{"x", Text{Kind: Pattern, Value: "*"}}}}, "header x: missing argument"},
		{Match{Cookies: []Condition{{}}}, "cookie has no name"},
		{Match{Methods: []string{""}}, "method is empty"},
		{Match{Headers: []Condition{{Text: Text{Value: "x"}}}}, "header has no name"},
		{Match{Query: []Condition{{Text: Text{Value: "x"}}}}, "parameter has no name"},
	}
	for _, tt := range tests {
		_, _, err := Build([]Listener{{Name: "web", Routes: []Spec{{Route{Name: "r", Pool: app}, []Match{tt.match}}}}})
		if err == nil || !strings.Contains(err.Error(), tt.want) || !strings.HasPrefix(err.Error(), "listener web: route r: ") {
			t.Errorf("Build(%+v) = %v, want an error with %q", tt.match, err, tt.want)
		}
	}
}

func TestBuildReportsAllErrors(t *testing.T) {
	l := listener("v1:x", "a.com:80x/", "/ok")
	l.Routes[0].Route.Pool = nil
	l.Routes[1].Matches = []Match{{Path: "x"}}
	table, _, err := Build([]Listener{l})
	if table != nil || err == nil || len(strings.Split(err.Error(), "\n")) != 2 || !strings.Contains(err.Error(), "no pool") {
		t.Errorf("Build = %v, %v, want two errors", table, err)
	}
}

func TestBuildCopies(t *testing.T) {
	l := listener("GET")
	table := build(t, l)
	l.Routes[0].Matches[0].Methods[0], l.Routes[0].Route.Name = "POST", "changed"
	if got := table.matched("GET a/"); got != "GET" {
		t.Errorf("Match after the spec was changed = %s, want GET", got)
	}
}

// TestSplit: the ways of a split are the route itself but for their pools, and each gets its part.
func TestSplit(t *testing.T) {
	other := pool.New(1, pool.Spec{Name: "other", Policy: balance.RoundRobin()})
	split := &Actions{Split: &Split{Ways: []Way{{&Route{Name: "r", Pool: app}, 3}, {&Route{Name: "r", Pool: other}, 1}, {&Route{Name: "r", Pool: other}, 0}}}}
	l := listener("/first")
	l.Routes = append(l.Routes, Spec{Route: Route{Name: "r", ID: 7, Actions: split}})
	r := build(t, l).Match(0, request("GET a/x"), &About{}).Route
	n := map[*pool.Pool]int{}
	for i := range uint64(400) {
		way := r.Actions.Split.Pick(i)
		if way.ID != 7 || way.Index != 1 || way.Actions != r.Actions {
			t.Fatalf("a way has ID %d, index %d, want 7, 1 and the route's actions", way.ID, way.Index)
		}
		n[way.Pool]++
	}
	if n[app] != 300 || n[other] != 100 {
		t.Errorf("the pools get %d and %d of 400, want 300 and 100", n[app], n[other])
	}
	for _, ways := range [][]Way{{{&Route{}, 1}}, {{&Route{Pool: app}, 0}}} {
		if _, _, err := Build([]Listener{{Routes: []Spec{{Route: Route{Actions: &Actions{Split: &Split{Ways: ways}}}}}}}); err == nil {
			t.Errorf("Build of a split with %+v gives no error", ways[0])
		}
	}
}

func TestUnreachable(t *testing.T) {
	tests := []struct {
		name   string
		routes []string
		want   []string // route < by, or route: part of the reason
	}{
		{"none", []string{"a.com /v1/*", "a.com", "/v1/*", ""}, nil},
		{"the same twice", []string{"a.com /v1", "a.com /v1"}, []string{"a.com /v1 < a.com /v1"}},
		{"hosts alike", []string{"A.com.", "a.com"}, []string{"a.com < A.com."}},
		{"two that match everything", []string{"", "/*", ""}, []string{" < "}},
		{"same methods", []string{"/v1 GET,PUT", "/v1 GET"}, []string{"/v1 GET < /v1 GET,PUT"}},
		{"a method is left", []string{"/v1 GET", "/v1 GET,PUT"}, nil},
		{"two take all methods", []string{"/v1 GET", "/v1 PUT", "/v1 GET,PUT"}, []string{"/v1 GET,PUT < /v1 GET"}},
		{"no methods comes after", []string{"/v1", "/v1 GET"}, nil},
		{"more headers come first", []string{"/v1", "/v1 x:1"}, nil},
		{"same headers in another order", []string{"x:1 y:2", "y:2 x:1"}, []string{"y:2 x:1 < x:1 y:2"}},
		{"other header values", []string{"x:1", "x:2"}, nil},
		{"as many headers, parameters more", []string{"x:1 ?a=1", "x:1"}, nil},
		{"same parameters", []string{"?a=1", "?a=1"}, []string{"?a=1 < ?a=1"}},
		{"dot segment", []string{"/a/../b"}, []string{"/a/../b: segment"}},
		{"fragment", []string{"/a#b"}, []string{"/a#b: percent-encode"}},
		{"beyond ASCII", []string{"/käse"}, []string{"/käse: 'ä'"}},
		{"escape of a letter", []string{"/%61/*"}, []string{"/%61/*: write it as a"}},
		{"escape in small letters", []string{"/%c3%a4"}, []string{"/%c3%a4: write it as %C3"}},
		{"escapes as they come", []string{"/%C3%A4", "/a%2fb", "/a%2Fb", "/%5c"}, nil},
		{"one of two matches is left", []string{"/v1", "/v1 | /v2"}, nil},
		{"all of two matches", []string{"/v1", "/v2", "/v1 | /v2"}, []string{"/v1 | /v2 < /v1"}},
		{"same patterns", []string{"~/v.*", "~/v.*"}, []string{"~/v.* < ~/v.*"}},
		{"other patterns", []string{"~/v.*", "~/w.*", "x:~a", "x:~b"}, nil},
		{"same cookies", []string{"$a=1 $b=2", "$b=2 $a=1"}, []string{"$b=2 $a=1 < $a=1 $b=2"}},
		{"a cookie there and not", []string{"$a=*", "$a=!"}, nil},
		{"a network in another one", []string{"@10.0.0.0/8", "@10.1.0.0/16 @10.2.0.0/16"}, []string{"@10.1.0.0/16 @10.2.0.0/16 < @10.0.0.0/8"}},
		{"a network beside another one", []string{"@10.0.0.0/8", "@10.1.0.0/16 @11.0.0.0/16"}, nil},
		{"a network around another one", []string{"@10.1.0.0/16", "@10.0.0.0/8"}, nil},
		{"same names of TLS", []string{"sni=a.com", "sni=A.com"}, []string{"sni=A.com < sni=a.com"}},
		{"same subjects", []string{"subject=CN=a", "subject=CN=a", "subject=CN=b"}, []string{"subject=CN=a < subject=CN=a"}},
		{"bad escape", []string{"/%zz", "/100%"}, []string{"/%zz: hex", "/100%: hex"}},
		{"NUL", []string{"/%00"}, []string{"/%00: %00"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, warnings, err := Build([]Listener{listener(tt.routes...)})
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for i, w := range warnings {
				line := w.Route.Name + ": " + w.Reason
				if w.By != nil {
					line = w.Route.Name + " < " + w.By.Name
				} else if i < len(tt.want) {
					if name, part, ok := strings.Cut(tt.want[i], ": "); ok && name == w.Route.Name && strings.Contains(w.Reason, part) {
						line = tt.want[i]
					}
				}
				got = append(got, line)
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("warnings (-want +got):\n%s", diff)
			}
		})
	}
}

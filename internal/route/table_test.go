package route

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"poise/internal/balance"
	"poise/internal/msg"
	"poise/internal/pool"
)

var app = pool.New(1, pool.Spec{Name: "app", Policy: balance.RoundRobin()})

// match reads a match from words: host, path, ~pattern for the path, METHODS, header:value, ?parameter=value, $cookie=value, @network, sni=name and
// subject=text, each optional. Of a value, * is any, ! none, ^x what begins with x, and ~x a pattern.
func match(words string) Match {
	var m Match
	for _, w := range strings.Fields(words) {
		switch {
		case w[0] == '/':
			m.Path = w
		case w[0] == '~':
			m.PathPattern = w[1:]
		case w[0] == '?':
			m.Query = append(m.Query, *wanted(w[1:], "="))
		case w[0] == '$':
			m.Cookies = append(m.Cookies, *wanted(w[1:], "="))
		case w[0] == '@':
			m.Source = append(m.Source, netip.MustParsePrefix(w[1:]))
		case strings.HasPrefix(w, "sni="):
			m.ServerName = w[4:]
		case strings.HasPrefix(w, "subject="):
			m.Subject = &wanted(w, "=").Text
		case w[0] != '[' && strings.Contains(w, ":"):
			m.Headers = append(m.Headers, *wanted(w, ":"))
		case strings.ToUpper(w) == w && w[0] != '*' && w[0] != '[':
			m.Methods = append(m.Methods, strings.Split(w, ",")...)
		default:
			m.Host = w
		}
	}
	return m
}

func wanted(word, separator string) *Condition {
	name, value, _ := strings.Cut(word, separator)
	c := &Condition{Name: name, Text: Text{Value: value}}
	switch {
	case value == "*":
		c.Text = Text{Kind: Present}
	case value == "!":
		c.Text = Text{Kind: Absent}
	case strings.HasPrefix(value, "^"):
		c.Text = Text{Kind: Prefix, Value: value[1:]}
	case strings.HasPrefix(value, "~"):
		c.Text = Text{Kind: Pattern, Value: value[1:]}
	}
	return c
}

// matches reads matches that are separated by " | ".
func matches(words string) []Match {
	var all []Match
	for one := range strings.SplitSeq(words, " | ") {
		all = append(all, match(one))
	}
	return all
}

// listener makes a listener whose routes are named by their words.
func listener(routes ...string) Listener {
	l := Listener{Name: "web"}
	for _, words := range routes {
		l.Routes = append(l.Routes, Spec{Route: Route{Name: words, Pool: app}, Matches: matches(words)})
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
		if f[0] == '@' || strings.HasPrefix(f, "sni=") || strings.HasPrefix(f, "subject=") {
			continue
		}
		name, value, _ := strings.Cut(f, ":")
		r.Fields = append(r.Fields, msg.Field{Name: []byte(name), Value: []byte(value), ID: msg.Lookup([]byte(name))})
	}
	return r
}

// about reads "@address", "sni=name" and "subject=text" among the words of a request.
func about(words string) *About {
	var a About
	for _, w := range strings.Fields(words) {
		if address, ok := strings.CutPrefix(w, "@"); ok {
			a.From = netip.MustParseAddr(address)
		}
		if name, ok := strings.CutPrefix(w, "sni="); ok {
			a.ServerName = name
		}
		if subject, ok := strings.CutPrefix(w, "subject="); ok {
			a.Identified, a.Subject = true, []byte(subject)
		}
	}
	return &a
}

// matched is the name of the route for a request in words.
func (t *Table) matched(words string) string {
	f := t.Match(0, request(words), about(words))
	if f.Refuse != 0 {
		return fmt.Sprint("refused with ", f.Refuse)
	}
	return nameOf(f.Route)
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

		{"any of several matches", []string{"a.com /v1 | b.com"}, "GET b.com/v2", "a.com /v1 | b.com"},
		{"each match has its own rank", []string{"a.com | /v1/x", "a.com /v1/*"}, "GET a.com/v1/x", "a.com /v1/*"},
		{"none of several matches", []string{"a.com /v1 | b.com"}, "GET a.com/v2", "none"},

		{"pattern for the path", []string{"~/v[0-9]+/.*"}, "GET a/v12/x", "~/v[0-9]+/.*"},
		{"the whole path", []string{"~/v[0-9]"}, "GET a/v12", "none"},
		{"alternatives of the whole path", []string{"~/a|/b"}, "GET a/bc", "none"},
		{"a prefix before a pattern", []string{"~/v.*", "/*"}, "GET a/v1", "/*"},
		{"a pattern before no path", []string{"GET", "~/v.*"}, "GET a/v1", "~/v.*"},
		{"a pattern and a host", []string{"~/v.*", "a.com ~/v1"}, "GET a.com/v1", "a.com ~/v1"},

		{"header there", []string{"x:*"}, "GET a/ x:", "x:*"},
		{"header not there", []string{"x:*"}, "GET a/ y:1", "none"},
		{"header absent", []string{"x:!"}, "GET a/ y:1", "x:!"},
		{"header not absent", []string{"x:!"}, "GET a/ y:1 X:2", "none"},
		{"header by prefix", []string{"user-agent:^curl/"}, "GET a/ User-Agent:curl/8.0", "user-agent:^curl/"},
		{"header by another prefix", []string{"user-agent:^curl/8.0.1"}, "GET a/ User-Agent:curl/8.0", "none"},
		{"header by pattern", []string{"x:~v[12]"}, "GET a/ x:v2", "x:~v[12]"},
		{"the whole header", []string{"x:~v[12]"}, "GET a/ x:v22", "none"},
		{"a pattern over lines", []string{"x:~a.c"}, "GET a/ x:abc", "x:~a.c"},

		{"cookie", []string{"$id=7"}, "GET a/ cookie:a=1;id=7", "$id=7"},
		{"another cookie", []string{"$id=7"}, "GET a/ cookie:a=1;id=8", "none"},
		{"cookie's case counts", []string{"$id=*"}, "GET a/ cookie:ID=8", "none"},
		{"cookie there", []string{"$id=*"}, "GET a/ cookie:id=", "$id=*"},
		{"cookie absent", []string{"$id=!"}, "GET a/ cookie:a=1", "$id=!"},
		{"cookie not absent", []string{"$id=!"}, "GET a/ cookie:id=1", "none"},
		{"cookie by prefix", []string{"$id=^a-"}, "GET a/ cookie:id=a-1", "$id=^a-"},
		{"cookie by pattern", []string{"$id=~[a-f]+"}, "GET a/ cookie:id=beef", "$id=~[a-f]+"},
		{"more cookies", []string{"$a=*", "$a=* $b=*"}, "GET a/ cookie:a=1;b=2", "$a=* $b=*"},
		{"parameters come before cookies", []string{"$a=* $b=*", "?p=1"}, "GET a/?p=1 cookie:a=1;b=2", "?p=1"},

		{"parameter there", []string{"?p=*"}, "GET a/?p", "?p=*"},
		{"parameter absent", []string{"?p=!"}, "GET a/?q=1", "?p=!"},
		{"parameter not absent", []string{"?p=!"}, "GET a/?%70=1", "none"},
		{"parameter by prefix", []string{"?p=^a/"}, "GET a/?p=a%2fb", "?p=^a/"},
		{"parameter by pattern", []string{"?p=~[a-z]/b+"}, "GET a/?p=a%2Fbbb", "?p=~[a-z]/b+"},

		{"source", []string{"@10.0.0.0/8"}, "GET a/ @10.1.2.3", "@10.0.0.0/8"},
		{"source elsewhere", []string{"@10.0.0.0/8"}, "GET a/ @11.1.2.3", "none"},
		{"one of several sources", []string{"@10.0.0.0/8 @2001:db8::/32"}, "GET a/ @2001:db8::1", "@10.0.0.0/8 @2001:db8::/32"},
		{"no address is nowhere", []string{"@0.0.0.0/0 @::/0"}, "GET a/", "none"},
		{"cookies come before source", []string{"@10.0.0.0/8", "$a=1"}, "GET a/ @10.1.2.3 cookie:a=1", "$a=1"},
		{"source comes before none", []string{"", "@10.0.0.0/8"}, "GET a/ @10.1.2.3", "@10.0.0.0/8"},

		{"name asked for by TLS", []string{"sni=a.com"}, "GET b/ sni=A.com.", "sni=a.com"},
		{"another name", []string{"sni=a.com"}, "GET b/ sni=xa.com", "none"},
		{"no name", []string{"sni=a.com"}, "GET b/", "none"},
		{"wildcard of names", []string{"sni=*.a.com"}, "GET b/ sni=x.y.A.com", "sni=*.a.com"},
		{"the bare name is not below", []string{"sni=*.a.com"}, "GET b/ sni=a.com", "none"},
		{"Kelvin is no k", []string{"sni=k.com"}, "GET b/ sni=\u212a.com", "none"},
		{"subject", []string{"subject=CN=me,O=us"}, "GET a/ subject=CN=me,O=us", "subject=CN=me,O=us"},
		{"another subject", []string{"subject=CN=me"}, "GET a/ subject=CN=me,O=us", "none"},
		{"subject by pattern", []string{"subject=~CN=[a-z]+,O=us"}, "GET a/ subject=CN=me,O=us", "subject=~CN=[a-z]+,O=us"},
		{"any certificate", []string{"subject=*"}, "GET a/ subject=CN=me", "subject=*"},
		{"no certificate where one is wanted", []string{"subject=*"}, "GET a/", "none"},
		{"no certificate", []string{"subject=!"}, "GET a/", "subject=!"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := build(t, listener(tt.routes...)).matched(tt.request); got != tt.want {
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
		got := table.Match(tt.listener, request(tt.request), &About{}).Route
		if nameOf(got) != tt.want || got != nil && (got.Index != tt.index || table.Routes()[tt.index] != got) {
			t.Errorf("Match(%d, %s) = %+v, want %q with index %d", tt.listener, tt.request, got, tt.want, tt.index)
		}
	}
	if got := (&Table{}).matched("GET a/"); got != "none" {
		t.Errorf("Match of the zero table = %s, want none", got)
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
		table.Match(0, req, &About{})
		least = min(least, time.Since(begin))
	}
	if least > time.Millisecond { // 65536 look-ups would take a second
		t.Errorf("Match of 64 KiB of slashes takes %v, want microseconds", least)
	}
}

// TestRX12Patterns: what is too long for a pattern is refused, whatever else would take it; patterns and their number are bounded.
func TestRX12Patterns(t *testing.T) {
	long := strings.Repeat("x", MaxPatterned+1)
	table := build(t, listener("/p/* x:~x*", "/q/* ?q=~x*", "/c/* $c=~x*", "/*"), listener("~/x*", ""))
	for _, tt := range []struct{ request, want string }{
		{"GET a/p/1 x:" + long, "refused with 431"},
		{"GET a/p/1 x:" + long[1:], "/p/* x:~x*"},
		{"GET a/q/1?q=" + long, "refused with 414"},
		{"GET a/q/1?q=" + strings.Repeat("%78", MaxPatterned), "/q/* ?q=~x*"},
		{"GET a/c/1 cookie:c=" + long, "refused with 431"},
		{"GET a/p/1 y:" + long, "/*"},
		{"GET a/" + long + " x:" + long, "/*"},
	} {
		if got := table.matched(tt.request); got != tt.want {
			t.Errorf("Match(%.30s) = %s, want %s", tt.request, got, tt.want)
		}
	}
	if f := table.Match(1, request("GET a/"+long), &About{}); f.Route != nil || f.Refuse != 414 {
		t.Errorf("Match of a path that is too long for a pattern = %+v, want to refuse with 414", f)
	}

	for _, tt := range []struct{ pattern, want string }{
		{"x(", "missing closing"},
		{`\Qx`, "does not stand alone"},
		{strings.Repeat("x", MaxPattern+1), "longer than"},
		{"x{2000}", "invalid repeat count"},
	} {
		if _, err := compile(tt.pattern); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("compile(%.20s) = %v, want an error with %q", tt.pattern, err, tt.want)
		}
	}
	var many []string
	for i := range MaxPatterns + 1 {
		many = append(many, fmt.Sprintf("/%d x:~y", i))
	}
	if _, _, err := Build([]Listener{listener(many...)}); err == nil || !strings.Contains(err.Error(), "101 patterns") {
		t.Errorf("Build with too many patterns = %v, want an error", err)
	}
}

func TestMatchDoesNotAllocate(t *testing.T) {
	table := build(t, listener("a.com /v1/* GET x:1 ?a=1", "*.a.com /v1", "*.com", "/v1/*", "/w ?a=~1+ x:~[0-9] $c=^x @10.0.0.0/8 sni=*.example.com", ""))
	for _, words := range []string{
		"GET a.com/v1/x?b=%41&a=%31 y:2 x:1", "GET b.a.com/v1/y", "POST x.y.org/", "GET a/w?a=1 x:1 cookie:c=xy @10.1.1.1 sni=www.a-name-of-more-than-32-bytes.example.com",
	} {
		req, from := request(words), about(words)
		if got := testing.AllocsPerRun(1000, func() { table.Match(0, req, from) }); got != 0 {
			t.Errorf("allocations of Match(%s) = %v, want 0", words, got)
		}
	}
}

// TestManyRoutes: ten thousand routes are built quickly. How long a look-up takes is BenchmarkMatch's.
func TestManyRoutes(t *testing.T) {
	l := listener(tenThousand()...)
	least := time.Hour
	for range 3 {
		begin := time.Now()
		build(t, l)
		least = min(least, time.Since(begin))
	}
	if least > time.Second { // some 20 ms, on a machine that has nothing else to do
		t.Errorf("a table of 10,000 routes takes %v to build, want at most 200 ms", least)
	}
}

// tenThousand are routes of many kinds.
func tenThousand() []string {
	var many []string
	for i := range 2000 {
		many = append(many, fmt.Sprintf("h%d.example.com /v1/*", i), fmt.Sprintf("*.h%d.example.com", i), fmt.Sprintf("big.example.com /app/%d/*", i),
			fmt.Sprintf("big.example.com /app/%d/users GET", i), fmt.Sprintf("big.example.com /app/%d/users GET x-canary:1", i))
	}
	return many
}

func BenchmarkBuild(b *testing.B) {
	l := listener(tenThousand()...)
	for b.Loop() {
		build(b, l)
	}
}

func BenchmarkMatch(b *testing.B) {
	for _, bb := range []struct {
		name    string
		routes  []string
		request string
	}{
		{"one", []string{""}, "GET example.com/index.html"},
		{"few", []string{"api.example.com /v1/* GET x-canary:1", "/shop/*", ""}, "GET api.example.com/v1/users/7 accept:* user-agent:x"},
		{"many/wildcard", tenThousand(), "GET a.b.h500.example.com/v1/users/7"},
		{"many/host", tenThousand(), "GET h700.example.com/v1/users/7"},
		{"many/path", tenThousand(), "GET big.example.com/app/1234/users accept:* user-agent:x"},
		{"many/none", append(tenThousand(), ""), "GET big.example.com/other/1234/users accept:* user-agent:x"},
	} {
		b.Run(bb.name, func(b *testing.B) {
			table, req := build(b, listener(bb.routes...)), request(bb.request)
			for b.Loop() {
				table.Match(0, req, &About{})
			}
		})
	}
}

package h2

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"poise/internal/h1"
	"poise/internal/msg"
)

func TestRequest(t *testing.T) {
	r := mustRequest(t, plain("user-agent", "x", "accept", "*/*", "priority", "u=1").with(":path", "/a/./%62?c=d").with(":authority", "Example.COM.:8443"), true)
	want := msg.Request{
		Method: []byte("GET"), Scheme: []byte("https"), Authority: []byte("example.com.:8443"), Host: []byte("example.com"), Path: []byte("/a/b"),
		Query: []byte("?c=d"), Version: msg.HTTP2, Fields: msg.Fields{field("user-agent", "x"), field("accept", "*/*"), field("priority", "u=1")}, KeepAlive: true,
	}
	if d := cmp.Diff(&want, r); d != "" {
		t.Errorf("Request (-want +got):\n%s", d)
	}
}

func TestRequestBodies(t *testing.T) {
	for _, c := range []struct {
		name   string
		fields pairs
		end    bool
		length int64
		said   bool
	}{
		{"none", plain(), true, 0, false},
		{"none, as is said", upload("content-length", "0"), true, 0, true},
		{"of unknown length", upload(), false, msg.Chunked, false},
		{"of known length", upload("content-length", "5"), false, 5, true},
		{"of known length, 0, with the end to come", upload("content-length", "0"), false, 0, true},
	} {
		r := mustRequest(t, c.fields, c.end)
		if r.Length != c.length || r.HasLength != c.said {
			t.Errorf("%s: Length, HasLength = %d, %t, want %d, %t", c.name, r.Length, r.HasLength, c.length, c.said)
		}
	}
}

func TestDG1ControlCharacters(t *testing.T) {
	var cases []headCase
	for _, bad := range []string{"\r", "\n", "\x00", "\r\nx: y", "\x7f", "\x01", "\x1f"} {
		for _, where := range []string{":method", ":scheme", ":authority", ":path"} {
			p := plain()
			for i, name := range p {
				if name == where {
					p[i+1] += bad
				}
			}
			cases = append(cases, headCase{where + " with " + bad, p, 400})
		}
		cases = append(
			cases, headCase{"value with " + bad, plain("x", "a"+bad+"b"), 400}, headCase{"name with " + bad, plain("x"+bad+"y", "a"), 400},
			headCase{"cookie with " + bad, plain("cookie", "a"+bad, "cookie", "b"), 400},
		)
	}
	checkRequests(t, nil, append(cases, headCase{"a tab within a value", plain("x", "a\tb"), 0}, headCase{"bytes beyond ASCII in a value", plain("x", "\x80\xff"), 0}))
}

func TestDG2NamesAndBlanks(t *testing.T) {
	checkRequests(t, nil, []headCase{
		{"space before a value", plain("x", " a"), 400},
		{"space behind a value", plain("x", "a "), 400},
		{"tab before a value", plain("x", "\ta"), 400},
		{"tab behind a value", plain("x", "a\t"), 400},
		{"a value that is a space", plain("x", " "), 400},
		{"a value that is empty", plain("x", ""), 0},
		{"a space within a value", plain("x", "a b"), 0},
		{"space around a cookie", plain("cookie", "a=b "), 400},
		{"capital letter in a name", plain("X-a", "b"), 400},
		{"capital letter in a name that is known", plain("Cookie", "b"), 400},
		{"space in a name", plain("x y", "b"), 400},
		{"colon in a name", plain("x:y", "b"), 400},
		{"empty name", plain("", "b"), 400},
		{"name beyond ASCII", plain("x\xe9", "b"), 400},
		{"Kelvin's sign in a name", plain("\u212aeep-alive", "b"), 400},
		{"all that may be in a name", plain("!#$%&'*+-.^_`|~09az", "b"), 0},
	})
}

func TestDG3FieldsOfConnections(t *testing.T) {
	var cases []headCase
	for _, name := range []string{"transfer-encoding", "connection", "keep-alive", "proxy-connection", "upgrade"} {
		for _, value := range []string{"", "x", "chunked", "close", "h2c"} {
			cases = append(cases, headCase{name + ": " + value, upload(name, value), 400})
		}
	}
	checkRequests(t, nil, append(cases, []headCase{
		{"te: trailers", plain("te", "trailers"), 0},
		{"te: Trailers", plain("te", "Trailers"), 400},
		{"te: gzip", plain("te", "gzip"), 400},
		{"te: trailers, gzip", plain("te", "trailers, gzip"), 400},
		{"te: ", plain("te", ""), 400},
		{"te: trailers, then gzip", plain("te", "trailers", "te", "gzip"), 400},
	}...))
	if !mustRequest(t, plain("te", "trailers"), true).Trailers || mustRequest(t, plain(), true).Trailers {
		t.Error("Trailers is not what te said")
	}
}

// The sum of what comes is held against it by package mux.
func TestDG4LengthOfNoBody(t *testing.T) {
	e := newEnds(nil)
	var r msg.Request
	_, err := e.dec.Request(&r, nil, e.block(t, upload("content-length", "1")), ofStream, true)
	if got := refused(t, err); got != 400 {
		t.Errorf("content-length: 1 without a body: status %d, want 400", got)
	}
	if _, err = e.dec.Request(&r, nil, e.block(t, upload("content-length", "0")), ofStream, true); err != nil {
		t.Errorf("content-length: 0 without a body: %v", err)
	}
}

func TestDG5Lengths(t *testing.T) {
	var cases []headCase
	for _, value := range []string{
		"", "+5", "-5", "-0", "0x5", "5_0", "5.0", "5e0", "5 0", "5, 5", "05", "00", "٥", "9223372036854775808", "18446744073709551616", strings.Repeat("9", 400),
	} {
		cases = append(cases, headCase{"content-length: " + value, upload("content-length", value), 400})
	}
	checkRequests(t, nil, append(cases, []headCase{
		{"the same twice", upload("content-length", "5", "content-length", "5"), 400},
		{"two", upload("content-length", "5", "content-length", "6"), 400},
		{"nothing, twice", upload("content-length", "0", "content-length", "0"), 400},
		{"the largest", upload("content-length", "9223372036854775807"), 0},
	}...))
}

func TestDG6PseudoFields(t *testing.T) {
	cases := []headCase{
		{"without :method", plain().without(":method"), 400},
		{"without :scheme", plain().without(":scheme"), 400},
		{"without :path", plain().without(":path"), 400},
		{"none at all", pairs{"host", "a"}, 400},
		{"nothing at all", nil, 400},
		{"unknown", append(pairs{":x", "y"}, plain()...), 400},
		{"of no name", append(pairs{":", "y"}, plain()...), 400},
		{"with capitals", append(pairs{":Method", "GET"}, plain().without(":method")...), 400},
		{":status", append(pairs{":status", "200"}, plain()...), 400},
		{"behind another field", append(plain("x", "y").without(":path"), ":path", "/"), 400},
		{"the same again behind another field", plain("x", "y", ":path", "/"), 400},
		{"method with a target", plain().with(":method", "GET /x HTTP/1.1"), 400},
		{"empty method", plain().with(":method", ""), 400},
		{"long method", plain().with(":method", strings.Repeat("A", 33)), 501},
		{"method of its own", plain().with(":method", "get"), 0},
		{"empty path", plain().with(":path", ""), 400},
		{"path without a slash", plain().with(":path", "hello"), 400},
		{"* with GET", plain().with(":path", "*"), 400},
		{"* with OPTIONS", plain().with(":method", "OPTIONS").with(":path", "*"), 0},
		{"absolute path", plain().with(":path", "http://a/"), 400},
		{"path with a fragment", plain().with(":path", "/a#b"), 400},
		{"path with a space", plain().with(":path", "/a b"), 400},
		{"path with a version", plain().with(":path", "/ HTTP/1.1"), 400},
		{"path beyond ASCII", plain().with(":path", "/\xe9"), 400},
		{"path that names a host", plain().with(":path", "//a"), 400},
		{"path that names a host once it is resolved", plain().with(":path", "/.//a"), 400},
		{"path with a broken escape", plain().with(":path", "/%2"), 400},
		{"path with an escaped NUL", plain().with(":path", "/%00"), 400},
		{"path with a backslash", plain().with(":path", `/a/..\b`), 400},
		{"path that climbs", plain().with(":path", "/../../a"), 0},
		{"long path", plain().with(":path", "/"+strings.Repeat("a", h1.DefaultTarget)), 414},
		{"scheme with more", plain().with(":scheme", "http://x/?"), 400},
		{"empty scheme", plain().with(":scheme", ""), 400},
		{"capital scheme", plain().with(":scheme", "HTTPS"), 400},
		{"another scheme", plain().with(":scheme", "ftp"), 400},
		{"scheme http", plain().with(":scheme", "http"), 0},
		{"CONNECT", plain().with(":method", "CONNECT"), 501},
		{"CONNECT as it is meant", pairs{":method", "CONNECT", ":authority", "a:1"}, 400},
	}
	for i := 0; i < len(plain()); i += 2 {
		name, value := plain()[i], plain()[i+1]
		cases = append(cases, headCase{name + " twice", append(pairs{name, value}, plain()...), 400})
	}
	checkRequests(t, nil, cases)
}

func TestDG7Authority(t *testing.T) {
	none := plain().without(":authority")
	with := func(p pairs, fields ...string) pairs { return append(append(pairs(nil), p...), fields...) }
	checkRequests(t, nil, []headCase{
		{"host is the same", plain("host", "a"), 0},
		{"host is the same in capitals", plain("host", "A"), 0},
		{"host is another", plain("host", "b"), 400},
		{"host has a port", plain("host", "a:443"), 400},
		{"host has a dot more", plain("host", "a."), 400},
		{"host is empty", plain("host", ""), 400},
		{"host twice", plain("host", "a", "host", "a"), 400},
		{"host alone", with(none, "host", "a"), 0},
		{"host alone, twice", with(none, "host", "a", "host", "a"), 400},
		{"neither", none, 400},
		{"host alone, empty", with(none, "host", ""), 400},
		{"authority empty", plain().with(":authority", ""), 400},
		{"both empty", plain("host", "").with(":authority", ""), 400},
		{"user information", plain().with(":authority", "u@a"), 400},
		{"user information in host alone", with(none, "host", "u:p@a"), 400},
		{"a path in it", plain().with(":authority", "a/b"), 400},
		{"a list", plain().with(":authority", "a,b"), 400},
		{"an empty port", plain().with(":authority", "a:"), 400},
		{"a port too large", plain().with(":authority", "a:65536"), 400},
		{"an escape", plain().with(":authority", "%61"), 400},
		{"IPv6", plain().with(":authority", "[::1]:8080"), 0},
		{"half of IPv6", plain().with(":authority", "[::1"), 400},
		{"a zone", plain().with(":authority", "[fe80::1%25eth0]"), 400},
	})

	r := mustRequest(t, with(none, "host", "A.Example:80"), true)
	if got, _ := r.Fields.Get(msg.Host); string(r.Authority) != "a.example:80" || string(r.Host) != "a.example" || string(got) != "A.Example:80" {
		t.Errorf("of host alone: Authority, Host, field = %s, %s, %s, want a.example:80, a.example, A.Example:80", r.Authority, r.Host, got)
	}
}

func TestDG8CookieCrumbs(t *testing.T) {
	for _, c := range []struct {
		name   string
		fields pairs
		want   [][2]string
	}{
		{"one", plain("cookie", "a=1; b=2"), [][2]string{{"cookie", "a=1; b=2"}}},
		{"two", plain("cookie", "a=1", "cookie", "b=2"), [][2]string{{"cookie", "a=1; b=2"}}},
		{
			"apart, where the first was", plain("x", "1", "cookie", "a", "y", "2", "cookie", "b", "cookie", "c", "z", "3"),
			[][2]string{{"x", "1"}, {"cookie", "a; b; c"}, {"y", "2"}, {"z", "3"}},
		},
		{"empty ones", plain("cookie", "", "cookie", "a", "cookie", "", "cookie", "b", "cookie", ""), [][2]string{{"cookie", "a; b"}}},
		{"nothing but empty ones", plain("cookie", "", "cookie", ""), [][2]string{{"cookie", ""}}},
	} {
		if got := fieldsOf(mustRequest(t, c.fields, true).Fields); !cmp.Equal(got, c.want) {
			t.Errorf("%s: Fields = %q, want %q", c.name, got, c.want)
		}
	}

	crumbs := func(n int, value string) pairs {
		p := plain()
		for range n {
			p = append(p, "cookie", value)
		}
		return p
	}
	checkRequests(t, nil, []headCase{
		{"as many as there may be fields", crumbs(h1.DefaultFields, "a"), 0},
		{"one more", crumbs(h1.DefaultFields+1, "a"), 431},
		{"thousands", crumbs(5000, "a=b"), 431},
		{"few, and large", crumbs(20, strings.Repeat("a", 4<<10)), 431},
	})
}

func TestDG9Limits(t *testing.T) {
	lim := &h1.Limits{Head: 1000, Fields: 10, Target: 100}
	size := 0
	for _, s := range plain("x", "") {
		size += len(s)
	}
	room := lim.Head - size - 5*fieldOverhead
	many := func(n int) pairs {
		p := plain()
		for range n {
			p = append(p, "x", "")
		}
		return p
	}
	checkRequests(t, lim, []headCase{
		{"as large as may be", plain("x", strings.Repeat("a", room)), 0},
		{"a byte more", plain("x", strings.Repeat("a", room+1)), 431},
		{"much more", plain("x", strings.Repeat("a", 100*room)), 431},
		{"more in a name", plain(strings.Repeat("a", room+2), ""), 431},
		{"more in a pseudo-field", plain().with(":path", "/"+strings.Repeat("a", 2*room)), 431},
		{"as many as may be", many(10), 0},
		{"one more", many(11), 431},
		{"many more", many(1000), 431},
		{"too large and malformed", plain("x", strings.Repeat("a", room+1), "X", "y"), 431},
		{"malformed and too large", plain("X", "y", "x", strings.Repeat("a", room)), 400},
		{"long target", plain().with(":path", "/"+strings.Repeat("a", 100)), 414},
	})
}

// TestDG9KeepsNothingOfWhatIsTooLarge has small references to a large field of the table come.
func TestDG9KeepsNothingOfWhatIsTooLarge(t *testing.T) {
	lim := &h1.Limits{Head: 10000}
	e := newEnds(lim)
	var r msg.Request
	first := e.block(t, plain("x", strings.Repeat("a", 3000)))
	if _, err := e.dec.Request(&r, nil, first, ofStream, true); err != nil {
		t.Fatal(err)
	}
	bomb := plain()
	for range 10000 {
		bomb = append(bomb, "x", strings.Repeat("a", 3000))
	}
	block := e.block(t, bomb)
	mem, err := e.dec.Request(&r, nil, block, ofStream, true)
	if got := refused(t, err); got != 431 || len(mem) > lim.Head {
		t.Errorf("%d bytes of references: status %d, %d bytes kept, want 431 and at most %d", len(block), got, len(mem), lim.Head)
	}
}

func TestDG12ExtendedConnect(t *testing.T) {
	connect := func(protocol string, fields ...string) pairs {
		return append(pairs{":protocol", protocol}, plain(fields...).with(":method", "CONNECT")...)
	}
	checkRequests(t, nil, []headCase{
		{"websocket", connect("websocket"), 0},
		{"another protocol, which an exchange refuses", connect("connect-udp"), 0},
		{"empty protocol", connect(""), 400},
		{"a protocol that is no token", connect("web socket"), 400},
		{"a protocol that splits", connect("x\r\ny: z"), 400},
		{"with GET", connect("websocket").with(":method", "GET"), 400},
		{"with another case of CONNECT", connect("websocket").with(":method", "connect"), 400},
		{"twice", append(pairs{":protocol", "websocket"}, connect("websocket")...), 400},
		{"without :scheme", connect("websocket").without(":scheme"), 400},
		{"without :path", connect("websocket").without(":path"), 400},
		{"without an authority", connect("websocket").without(":authority"), 400},
		{"upgrade beside it", connect("websocket", "upgrade", "websocket"), 400},
		{"behind another field", plain("x", "y", ":protocol", "websocket").with(":method", "CONNECT"), 400},
	})
	r := mustRequest(t, connect("websocket"), false)
	if string(r.Method) != "GET" || string(r.Protocol) != "websocket" || string(r.Path) != "/" || r.Length != 0 {
		t.Errorf("Method, Protocol, Path, Length = %s, %s, %s, %d, want GET, websocket, /, 0", r.Method, r.Protocol, r.Path, r.Length)
	}
}

func TestExpect(t *testing.T) {
	checkRequests(t, nil, []headCase{
		{"100-continue", upload("expect", "100-continue"), 0},
		{"in capitals", upload("expect", "100-Continue"), 0},
		{"another", upload("expect", "x"), 417},
		{"empty", upload("expect", ""), 417},
		{"another before it", upload("expect", "x", "expect", "100-continue"), 417},
		{"another behind it", upload("expect", "100-continue", "expect", "x"), 417},
	})
	if !mustRequest(t, upload("expect", "100-continue"), false).Expect100 {
		t.Error("Expect100 is not set")
	}
}

// TestBlocksThatCannotBeDecoded end the connection: the tables are no longer the same.
func TestBlocksThatCannotBeDecoded(t *testing.T) {
	for name, block := range map[string]string{
		"index 0":                         "\x80",
		"an index that nothing has":       "\xff\xff\x01",
		"an integer without end":          "\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01",
		"an end within a string":          "\x00\x05ab",
		"an end within an integer":        "\x7f\xff",
		"a table larger than may be":      "\x3f\xe2\x1f",
		"a table that shrinks too late":   "\x40\x01a\x01b\x20",
		"Huffman's end within":            "\x40\x81\xff\x00",
		"Huffman's padding that is wrong": "\x40\x81\x00\x00",
	} {
		for _, read := range []struct {
			name string
			as   func(d *Decoder) error
		}{
			{"Request", func(d *Decoder) error {
				var r msg.Request
				_, err := d.Request(&r, nil, []byte(block), ofStream, true)
				return err
			}},
			{"Response", func(d *Decoder) error {
				var r msg.Response
				_, err := d.Response(&r, nil, []byte(block), ofStream, true, nil)
				return err
			}},
			{"Trailers", func(d *Decoder) error {
				_, _, err := d.Trailers(nil, nil, []byte(block), ofStream)
				return err
			}},
			{"Skip", func(d *Decoder) error { return d.Skip([]byte(block)) }},
		} {
			err, ok := read.as(NewDecoder(nil)).(*Error)
			if !ok || err.Code != CompressionError || err.Stream != 0 {
				t.Errorf("%s: %s = %v, want COMPRESSION_ERROR of the connection", name, read.name, err)
			}
		}
	}
}

// TestSkipKeepsTheTable: a block that nobody wants changes the table all the same, and one that was refused does.
func TestSkipKeepsTheTable(t *testing.T) {
	e := newEnds(nil)
	if err := e.dec.Skip(e.block(t, plain("x-skipped", "first"))); err != nil {
		t.Fatal(err)
	}
	var r msg.Request
	if _, err := e.dec.Request(&r, nil, e.block(t, plain("X-Refused", "y", "x-behind", "second")), ofStream, true); refused(t, err) != 400 {
		t.Fatalf("Request = %v, want status 400", err)
	}
	if _, err := e.dec.Request(&r, nil, e.block(t, plain("x-skipped", "first", "x-behind", "second")), ofStream, true); err != nil {
		t.Fatal(err)
	}
	if got, want := fieldsOf(r.Fields), [][2]string{{"x-skipped", "first"}, {"x-behind", "second"}}; !cmp.Equal(got, want) {
		t.Errorf("Fields = %q, want %q", got, want)
	}
}

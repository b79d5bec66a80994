package wire

import (
	"fmt"
	"strings"
	"testing"
)

// A line end or a NUL anywhere in a head would begin another line where it is printed for HTTP/1.1. [RFC 9113 section 8.2.1]
func TestDG1ControlCharacters(t *testing.T) {
	t.Parallel()
	const hidden = " HTTP/1.1\r\nHost: example.test\r\n\r\nGET /smuggled"
	var attacks []malformed2
	add := func(name string, fields []string, reason string) {
		attacks = append(attacks, malformed2{name: name, fields: fields, reason: reason})
	}
	for _, c := range []string{"\r", "\n", "\x00", "\r\n", "\r\n\r\n", "\x01", "\x0b", "\x0c", "\x1b", "\x1f", "\x7f"} {
		add(fmt.Sprintf("%q in a name", c), ask2("x"+c+"y", "v"), "field name")
		add(fmt.Sprintf("%q in a value", c), ask2("x", "v"+c+"w"), "control character")
		add(fmt.Sprintf("%q at a value's end", c), ask2("x", "v"+c), "")
		add(fmt.Sprintf("%q at a value's beginning", c), ask2("x", c+"v"), "")
		add(fmt.Sprintf("%q in host", c), ask2("host", "example.test"+c), "")
		add(fmt.Sprintf("%q in a cookie", c), ask2("cookie", "a=b", "cookie", "c"+c+"=d"), "control character")
		for _, pseudo := range []string{":method", ":scheme", ":authority", ":path"} {
			value := map[string]string{":method": "GET", ":scheme": "http", ":authority": "example.test", ":path": "/smuggled"}[pseudo]
			add(fmt.Sprintf("%q in %s", c, pseudo), changed(ask2(), pseudo, value[:2]+c+value[2:]), "")
			add(fmt.Sprintf("%q at the end of %s", c, pseudo), changed(ask2(), pseudo, value+c), "")
		}
	}
	for _, pseudo := range []string{":scheme", ":authority", ":path"} {
		add("a request within "+pseudo, changed(ask2(), pseudo, "/x"+hidden), "")
	}
	add("a request within :method", changed(ask2(), ":method", "G /x HTTP/1.1\r\na: b\r\n\r\n"), "")
	add("a request within a value", ask2("x", "y\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: example.test"), "control character")
	add("a field within a value", ask2("x", "y\r\ntransfer-encoding: chunked"), "control character")
	add("a field within a name", ask2("x: y\r\ntransfer-encoding", "chunked"), "field name")
	refuse2(t, attacks)
}

// White space around a value, and names that HTTP/2 does not have, are read in more than one way by those behind. [RFC 9113 section 8.2.1]
func TestDG2NamesAndBlanks(t *testing.T) {
	t.Parallel()
	var attacks []malformed2
	for _, blank := range []string{" ", "\t", " \t "} {
		for _, name := range []string{"x", "content-length", "cookie", "host"} {
			value := map[string]string{"x": "v", "content-length": "0", "cookie": "a=b", "host": "example.test"}[name]
			attacks = append(attacks,
				malformed2{name: fmt.Sprintf("%q before %s", blank, name), fields: ask2(name, blank+value), reason: "white space"},
				malformed2{name: fmt.Sprintf("%q behind %s", blank, name), fields: ask2(name, value+blank), reason: "white space"})
		}
		attacks = append(attacks, malformed2{name: fmt.Sprintf("nothing but %q", blank), fields: ask2("x", blank), reason: "white space"})
	}
	for _, name := range []string{
		"X", "x-Y", "Content-Length", "TRANSFER-ENCODING", "Host", "Cookie", "x y", " x", "x ", "x\t", "x:", "x:y", "content-length:", "transfer-encoding:", "",
		"x(", "x)", "x<", "x@", "x,", "x;", "x\\", "x\"", "x/", "x[", "x=", "x?", "x{", "x\x80", "\xc3\xa9", "tran\xc5\xbffer-encoding", "x\xff",
	} {
		attacks = append(attacks, malformed2{name: fmt.Sprintf("name %q", name), fields: ask2(name, "chunked"), reason: "field name"})
	}
	for _, pseudo := range []string{":method", ":scheme", ":authority", ":path"} {
		for _, c := range []string{" ", "\t"} {
			value := map[string]string{":method": "GET", ":scheme": "http", ":authority": "example.test", ":path": "/smuggled"}[pseudo]
			attacks = append(attacks,
				malformed2{name: fmt.Sprintf("%q before %s", c, pseudo), fields: changed(ask2(), pseudo, c+value)},
				malformed2{name: fmt.Sprintf("%q in %s", c, pseudo), fields: changed(ask2(), pseudo, value[:2]+c+value[2:])},
				malformed2{name: fmt.Sprintf("%q behind %s", c, pseudo), fields: changed(ask2(), pseudo, value+c)})
		}
		attacks = append(attacks, malformed2{name: "capitals in " + pseudo, fields: replaced(ask2(), pseudo, strings.ToUpper(pseudo))})
	}
	refuse2(t, attacks)
}

package h2

import (
	"fmt"
	"strings"

	"golang.org/x/net/http2/hpack"

	"poise/internal/h1"
	"poise/internal/msg"
)

// The functions here say again which heads the decoder accepts, in the plainest way: what HTTP/2 alone asks for is looked up in the list of fields, and the
// rest is what HTTP/1.1's codec says to the same head written as text. So a request means the same whichever way it came.

// slow is a head as the twins see it: its pseudo-fields, and the text of the others.
type slow struct {
	pseudo map[string]string
	lines  strings.Builder
	length bool
	host   string
	hosts  int
	ok     bool
}

// slowHead reads fields, which may have only these pseudo-fields. A request's cookies are joined where the first is.
func slowHead(fields []hpack.HeaderField, names ...string) *slow {
	s := &slow{pseudo: map[string]string{}}
	size := 0
	var lines, cookies []string
	cookie := -1
	for _, f := range fields {
		size += len(f.Name) + len(f.Value) + 32
		if strings.HasPrefix(f.Name, ":") {
			_, twice := s.pseudo[f.Name]
			if twice || len(lines) > 0 || s.hosts > 0 || s.length || !strings.Contains(strings.Join(names, " ")+" ", f.Name+" ") || strings.Contains(f.Name, " ") {
				return s
			}
			s.pseudo[f.Name] = f.Value
			continue
		}
		if !slowField(f) {
			return s
		}
		switch f.Name {
		case "connection", "keep-alive", "proxy-connection", "transfer-encoding", "upgrade":
			return s
		case "te":
			if f.Value != "trailers" {
				return s
			}
		case "host":
			s.host = f.Value
			s.hosts++
		case "content-length":
			s.length = true
		case "cookie":
			if names[0] == ":status" {
				break
			}
			if f.Value != "" {
				cookies = append(cookies, f.Value)
			}
			if cookie >= 0 {
				continue
			}
			cookie = len(lines)
		}
		lines = append(lines, f.Name+": "+f.Value+"\r\n")
	}
	if cookie >= 0 {
		lines[cookie] = "cookie: " + strings.Join(cookies, "; ") + "\r\n"
	}
	s.lines.WriteString(strings.Join(lines, ""))
	s.ok = size <= h1.DefaultHead && len(fields)-len(s.pseudo) <= h1.DefaultFields
	return s
}

// slowField tells whether a field is one of HTTP/2 at all.
func slowField(f hpack.HeaderField) bool {
	for _, c := range f.Name {
		if !strings.ContainsRune("!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyz", c) {
			return false
		}
	}
	for _, c := range []byte(f.Value) {
		if (c < ' ' && c != '\t') || c == 0x7f {
			return false
		}
	}
	return f.Name != "" && strings.Trim(f.Value, " \t") == f.Value
}

// large are limits that hold what has become longer as text.
var large = &h1.Limits{Head: 4 * h1.DefaultHead, Fields: 2 * h1.DefaultFields}

// slowRequest is a request as HTTP/1.1's codec reads it; ok: it is one.
func slowRequest(fields []hpack.HeaderField, end bool) (r *msg.Request, ok bool) {
	s := slowHead(fields, ":method", ":scheme", ":authority", ":path", ":protocol")
	method, path, authority, scheme := s.pseudo[":method"], s.pseudo[":path"], s.pseudo[":authority"], s.pseudo[":scheme"]
	protocol, connect := s.pseudo[":protocol"]
	_, named := s.pseudo[":authority"]
	if !s.ok || len(method) == 0 || !strings.HasPrefix(path, "/") && path != "*" || scheme != "http" && scheme != "https" {
		return nil, false
	}
	if connect {
		if method != "CONNECT" || !h1.IsName([]byte(protocol)) {
			return nil, false
		}
		method = "GET"
		s.lines.WriteString("Upgrade: " + protocol + "\r\nConnection: upgrade\r\n")
	}
	if strings.ContainsAny(method+path+authority, " \t\r\n") || s.hosts > 1 || s.hosts == 1 && named && !asciiFold(s.host, authority) {
		return nil, false
	}
	if s.hosts == 0 {
		s.lines.WriteString("Host: " + authority + "\r\n")
	}
	if !end && !s.length && !connect {
		s.lines.WriteString("Transfer-Encoding: chunked\r\n")
	}
	text := method + " " + path + " HTTP/1.1\r\n" + s.lines.String() + "\r\n"
	r = new(msg.Request)
	n, err := h1.ParseRequest(r, []byte(text), large)
	return r, err == nil && n == len(text) && !(end && r.Length > 0)
}

// asciiFold tells whether a and b are equal but for the case of ASCII letters.
func asciiFold(a, b string) bool {
	lower := func(s string) string {
		return strings.Map(func(c rune) rune {
			if 'A' <= c && c <= 'Z' {
				return c + 'a' - 'A'
			}
			return c
		}, s)
	}
	return lower(a) == lower(b)
}

// slowResponse is a response as HTTP/1.1's codec reads it; ok: it is one.
func slowResponse(fields []hpack.HeaderField, end bool, method string) (r *msg.Response, ok bool) {
	s := slowHead(fields, ":status")
	status := s.pseudo[":status"]
	if !s.ok || len(status) != 3 || status[0] == '0' || status == "101" || status[0] == '1' && end {
		return nil, false
	}
	bodiless := method == "HEAD" || status[0] == '1' || status == "204" || status == "304"
	switch {
	case s.length || bodiless:
	case end:
		s.lines.WriteString("Content-Length: 0\r\n")
	default:
		s.lines.WriteString("Transfer-Encoding: chunked\r\n")
	}
	text := fmt.Sprintf("HTTP/1.1 %s \r\n%s\r\n", status, s.lines.String())
	r = new(msg.Response)
	n, err := h1.ParseResponse(r, []byte(text), []byte(method), large)
	return r, err == nil && n == len(text) && !(end && r.Length > 0)
}

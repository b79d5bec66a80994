package h1

import (
	"net/netip"
	"regexp"
	"strconv"
	"strings"

	"poise/internal/msg"
)

// The functions here say again what the codec accepts, in the plainest way: split, match, compare. The fuzz targets hold the codec
// to them. They take whole messages only, and say of a wrong one only that it is wrong.

// slow is a head as the twins read it.
type slow struct {
	method, scheme, authority, host, path, query string
	status                                       int
	reason                                       string
	minor                                        int
	fields                                       [][2]string
	options                                      []string
	length                                       int64
	keepAlive, expect100                         bool
}

func asciiLower(s string) string {
	return strings.Map(func(c rune) rune {
		if 'A' <= c && c <= 'Z' {
			return c + 'a' - 'A'
		}
		return c
	}, s)
}

// cut returns the lines of the head at the start of in, and the bytes of the head with the empty lines before it.
func cut(in string, blank int) (lines []string, n int, complete bool) {
	head := in
	for i := 0; i < blank && strings.HasPrefix(head, CRLF); i++ {
		head = head[2:]
	}
	head, _, complete = strings.Cut(head, "\r\n\r\n")
	if !complete {
		return nil, 0, false
	}
	n = strings.Index(in, head+"\r\n\r\n") + len(head) + 4
	return strings.Split(head, CRLF), n, true
}

const slowToken = "[0-9A-Za-z!#$%&'*+.^_`|~-]"

var (
	slowName     = regexp.MustCompile("^" + slowToken + "+$")
	slowRequest  = regexp.MustCompile("^(" + slowToken + `{1,32}) ([!-"$-~]+) HTTP/1\.([01])$`)
	slowStatus   = regexp.MustCompile(`^HTTP/1\.([01]) ([1-9][0-9][0-9])(?: ([^\x00-\x08\x0a-\x1f\x7f]*))?$`)
	slowNumber   = regexp.MustCompile(`^(0|[1-9][0-9]*)$`)
	slowHostName = regexp.MustCompile(`^[0-9a-z_~-]+(\.[0-9a-z_~-]+)*\.?$`)
)

// slowFields reads field lines into h.
func slowFields(h *slow, lines []string, response bool) bool {
	for _, line := range lines {
		name, value, ok := strings.Cut(line, ":")
		if response {
			name = strings.TrimRight(name, " \t")
		}
		bad := strings.ContainsFunc(value, func(c rune) bool { return c < 0x20 && c != '\t' || c == 0x7f })
		if !ok || !slowName.MatchString(name) || bad {
			return false
		}
		h.fields = append(h.fields, [2]string{name, strings.Trim(value, " \t")})
	}
	for _, v := range h.all("connection") {
		for _, option := range strings.Split(v, ",") {
			if option = strings.Trim(option, " \t"); option == "" {
				continue
			}
			if !slowName.MatchString(option) {
				return false
			}
			h.options = append(h.options, asciiLower(option))
		}
	}
	h.keepAlive = !h.has("close") && (h.minor == 1 || h.has("keep-alive"))
	return len(h.fields) <= DefaultFields && slowFraming(h)
}

// slowFraming finds the body's length as the fields give it; UntilClose stands for none.
func slowFraming(h *slow) bool {
	lengths, codings := h.all("content-length"), h.all("transfer-encoding")
	if len(lengths) > 1 || len(codings) > 1 || len(lengths)+len(codings) > 1 {
		return false
	}
	h.length = msg.UntilClose
	if len(lengths) == 1 {
		n, err := strconv.ParseInt(lengths[0], 10, 64)
		if err != nil || !slowNumber.MatchString(lengths[0]) {
			return false
		}
		h.length = n
	}
	if len(codings) == 1 {
		h.length = msg.Chunked
		return asciiLower(codings[0]) == "chunked" && h.minor == 1
	}
	return true
}

func (h *slow) has(option string) bool {
	return strings.Contains(","+strings.Join(h.options, ",")+",", ","+option+",")
}

func (h *slow) all(name string) (values []string) {
	for _, f := range h.fields {
		if asciiLower(f[0]) == name {
			values = append(values, f[1])
		}
	}
	return values
}

// slowParseRequest: n is 0 unless the head is complete and right.
func slowParseRequest(in string) (h slow, n int) {
	lines, n, complete := cut(in, maxBlank)
	if !complete || n > DefaultHead {
		return h, 0
	}
	line := slowRequest.FindStringSubmatch(lines[0])
	if line == nil || len(line[2]) > DefaultTarget {
		return h, 0
	}
	h.method, h.minor = line[1], int(line[3][0]-'0')
	if !slowFields(&h, lines[1:], false) {
		return h, 0
	}
	if h.length == msg.UntilClose {
		h.length = 0
	}
	for _, v := range h.all("expect") {
		if h.minor == 1 && asciiLower(v) != "100-continue" {
			return h, 0
		}
		h.expect100 = h.minor == 1
	}
	if !slowTarget(&h, line[2]) || !slowHost(&h) {
		return h, 0
	}
	return h, n
}

func slowTarget(h *slow, target string) bool {
	if h.method == "CONNECT" {
		return false
	}
	if target == "*" {
		h.path = "*"
		return h.method == "OPTIONS"
	}
	if target[0] != '/' {
		scheme, rest, ok := strings.Cut(target, "://")
		h.scheme = asciiLower(scheme)
		if !ok || h.scheme != "http" && h.scheme != "https" {
			return false
		}
		end := strings.IndexAny(rest+"/", "/?")
		h.authority, target = asciiLower(rest[:end]), rest[end:]
		switch {
		case target == "" && h.method == "OPTIONS":
			h.path = "*"
			return h.authority != ""
		case target == "" || target[0] == '?':
			target = "/" + target
		}
		if h.authority == "" {
			return false
		}
	}
	path := target
	if i := strings.IndexByte(target, '?'); i >= 0 {
		path, h.query = target[:i], target[i:]
	}
	var err error
	h.path, err = slowNormalize(path)
	return err == nil && !strings.HasPrefix(h.path, "//")
}

func slowHost(h *slow) bool {
	hosts := h.all("host")
	if len(hosts) > 1 || len(hosts) == 0 && h.minor == 1 {
		return false
	}
	for i, s := range hosts {
		hosts[i] = asciiLower(s)
		if _, ok := slowAuthority(hosts[i]); !ok {
			return false
		}
	}
	if h.authority == "" {
		if len(hosts) == 0 {
			return true
		}
		h.authority = hosts[0]
	}
	var ok bool
	h.host, ok = slowAuthority(h.authority)
	return ok
}

func slowAuthority(s string) (host string, ok bool) {
	host = regexp.MustCompile(`:[0-9]{1,5}$`).ReplaceAllString(s, "")
	if port := strings.TrimPrefix(s[len(host):], ":"); port != "" {
		if n, _ := strconv.Atoi(port); n > 65535 {
			return "", false
		}
	}
	if inner, bracket := strings.CutPrefix(host, "["); bracket {
		inner, closed := strings.CutSuffix(inner, "]")
		a, err := netip.ParseAddr(inner)
		return host, closed && err == nil && a.Is6() && a.Zone() == ""
	}
	return strings.TrimSuffix(host, "."), slowHostName.MatchString(host) && len(host) <= maxHost
}

// slowParseResponse: n is 0 unless the head is complete and right.
func slowParseResponse(in, method string) (h slow, n int) {
	lines, n, complete := cut(in, 0)
	if !complete || n > DefaultHead {
		return h, 0
	}
	line := slowStatus.FindStringSubmatch(lines[0])
	if line == nil {
		return h, 0
	}
	h.minor = int(line[1][0] - '0')
	h.status, _ = strconv.Atoi(line[2])
	h.reason = line[3]
	if !slowFields(&h, lines[1:], true) {
		return h, 0
	}
	switch {
	case method == "HEAD" || h.status < 200 || h.status == 204 || h.status == 304:
		if h.status == 204 && h.length != 0 && h.length != msg.UntilClose {
			h.keepAlive = false // what it announces must not be there, and may come all the same
		}
		h.length = 0
	case h.length == msg.UntilClose:
		h.keepAlive = false
	}
	return h, n
}

var slowChunk = regexp.MustCompile(`^([0-9A-Fa-f]{1,16})((?:;` + slowToken + `+(?:=(?:` + slowToken +
	`+|"(?:[^\x00-\x08\x0a-\x1f\x7f"\\]|\\[^\x00-\x08\x0a-\x1f\x7f])*"))?)*)\r\n`)

// slowDecode decodes a whole chunked body; n is 0 unless it is complete and right.
func slowDecode(in string) (data string, trailers int, n int) {
	rest, extensions := in, 0
	for {
		m := slowChunk.FindStringSubmatch(rest)
		if m == nil {
			return "", 0, 0
		}
		rest = rest[len(m[0]):]
		if extensions += len(m[2]); extensions > maxExtension {
			return "", 0, 0
		}
		size, err := strconv.ParseInt(m[1], 16, 64)
		if err != nil {
			return "", 0, 0
		}
		if size == 0 {
			break
		}
		if int64(len(rest)) < size || !strings.HasPrefix(rest[size:], CRLF) {
			return "", 0, 0
		}
		data += rest[:size]
		rest = rest[size+2:]
	}
	if after, ok := strings.CutPrefix(rest, CRLF); ok {
		return data, 0, len(in) - len(after)
	}
	section, after, ok := strings.Cut(rest, "\r\n\r\n")
	var h slow
	if !ok || len(section)+4 > maxTrailer || !slowTrailers(&h, strings.Split(section, CRLF)) {
		return "", 0, 0
	}
	return data, len(h.fields), len(in) - len(after)
}

func slowTrailers(h *slow, lines []string) bool {
	if len(lines) > maxTrailers {
		return false
	}
	for _, line := range lines {
		name, value, ok := strings.Cut(line, ":")
		if !ok || !slowName.MatchString(name) || !validValue([]byte(value)) {
			return false
		}
		if f := (msg.Field{Name: []byte(name), ID: msg.Lookup([]byte(name))}); msg.TrailerAllowed(&f) {
			h.fields = append(h.fields, [2]string{name, value})
		}
	}
	return true
}

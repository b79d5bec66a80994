package h1

import (
	"bytes"

	"poise/internal/msg"
)

// setTarget reads the target in its form (RFC 9112 §3.2) and sets Scheme, Authority, Path and Query.
func setTarget(r *msg.Request, line *requestLine) error {
	// A tunnel to wherever the client says is a forward proxy's job, and a way into the network behind us.
	if string(line.method) == "CONNECT" {
		return errConnect
	}
	t := line.target
	if t[0] == '/' {
		return setPath(r, t, line.work)
	}
	if t[0] == '*' {
		if len(t) > 1 || string(line.method) != "OPTIONS" {
			return errForm
		}
		r.Path = t
		return nil
	}
	return setAbsolute(r, line)
}

// setAbsolute reads scheme://authority[/path][?query].
func setAbsolute(r *msg.Request, line *requestLine) error {
	t := line.target
	i := bytes.IndexByte(t, ':')
	if i < 0 || len(t) < i+3 || t[i+1] != '/' || t[i+2] != '/' {
		return errForm
	}
	scheme := t[:i:i]
	if !msg.EqualFold(scheme, "http") && !msg.EqualFold(scheme, "https") {
		return errScheme
	}
	lower(scheme)
	r.Scheme = scheme
	end := i + 3
	for end < len(t) && t[end] != '/' && t[end] != '?' {
		end++
	}
	if end == i+3 {
		return errNoHost
	}
	r.Authority = t[i+3 : end : end]
	if end < len(t) && t[end] == '/' {
		return setPath(r, t[end:], line.work)
	}
	// The path is empty and so means "/", which is written over a slash of "://". OPTIONS then asks about the server as a
	// whole, unless there is a query (RFC 9112 §3.2.4).
	r.Path = t[i+1 : i+2 : i+2]
	if end < len(t) {
		r.Query = t[end:]
	} else if string(line.method) == "OPTIONS" {
		r.Path[0] = '*'
	}
	return nil
}

// setPath cuts path from query; work: the target has a byte that needs a look. A path that begins with "//", as it came or once dot
// segments are resolved, has two readings: as a reference it names a host (RFC 3986 §4.2), and a server that redirects to it
// sends the client there.
func setPath(r *msg.Request, t []byte, work bool) error {
	path := t
	if i := bytes.IndexByte(t, '?'); i >= 0 {
		path, r.Query = t[:i:i], t[i:]
	}
	if work && unusual(path) {
		var err error
		if path, err = normalize(path); err != nil {
			return err
		}
	}
	if len(path) > 1 && path[1] == '/' {
		return errSlashes
	}
	r.Path = path
	return nil
}

// unusual tells whether there is anything to normalise.
func unusual(path []byte) bool {
	return bytes.IndexByte(path, '%') >= 0 || bytes.IndexByte(path, '\\') >= 0 || bytes.Contains(path, []byte("/."))
}

// normalize brings a path into the one form that is both matched and forwarded, in place; it never grows.
//
//   - Escapes of unreserved characters are decoded, so that /%61dmin is /admin (RFC 3986 §6.2.2.2), and the hex digits of
//     other escapes become capitals (§6.2.2.1). Only %2f and %5c stay as they came, opaque within their segment: some
//     servers give them a meaning of their own. Nothing is decoded twice: %252f stays.
//   - Then "." and ".." segments are resolved (§5.2.4). ".." at the root stays at the root.
//   - Empty segments ("//") stay; setPath refuses one at the start. So do segments that only look like dots, such as "..;x": to us they are names.
//   - A bare "\", which some servers read as "/", an encoded NUL, and a "%" without two hex digits are refused.
func normalize(p []byte) ([]byte, error) {
	w, segment := 0, 0 // what is written, and where in it the current segment's slash is
	for i := 0; i < len(p); i++ {
		c := p[i]
		switch c {
		case '\\':
			return nil, errTarget
		case '/':
			w = endSegment(p, segment, w, false)
			segment = w
		case '%':
			if i+2 >= len(p) || class[p[i+1]]&class[p[i+2]]&isHex == 0 {
				return nil, errEscape
			}
			c = hexDigit(p[i+1])<<4 | hexDigit(p[i+2])
			if c == 0 {
				return nil, errNUL
			}
			if class[c]&isUnreserved == 0 {
				w += keepEscape(p[w:], p[i+1], p[i+2], c)
				i += 2
				continue
			}
			i += 2
		}
		p[w] = c
		w++
	}
	w = endSegment(p, segment, w, true)
	return p[:w:w], nil
}

// keepEscape writes the escape of c, which came with the digits h and l.
func keepEscape(dst []byte, h, l, c byte) int {
	if c != '/' && c != '\\' {
		h, l = upper(h), upper(l)
	}
	dst[0], dst[1], dst[2] = '%', h, l
	return 3
}

func upper(c byte) byte {
	if 'a' <= c && c <= 'z' {
		return c - 0x20
	}
	return c
}

// endSegment takes back a "." or ".." segment that was written from the slash at segment to w, and returns where to write
// on. The last segment leaves its slash.
func endSegment(p []byte, segment, w int, last bool) int {
	if w-segment > 3 || w == 0 {
		return w
	}
	switch string(p[segment+1 : w]) {
	case ".":
		w = segment
	case "..":
		w = max(bytes.LastIndexByte(p[:segment], '/'), 0)
	default:
		return w
	}
	if last {
		w++
	}
	return w
}

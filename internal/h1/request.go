package h1

import "poise/internal/msg"

// ParseRequest reads one request head at the start of b. n is the bytes that it took, with at most two empty lines before it; n == 0 and err == nil
// mean that more bytes are needed (use a Scanner while they come). An error is an *Error, and what r holds then is undefined.
//
// r's slices alias b: they live as long as b does. b is changed only when the head is complete: the target's path is
// normalised, and scheme, authority and the options of Connection become lower case, all in place.
func ParseRequest(r *msg.Request, b []byte, lim *Limits) (n int, err error) {
	r.Reset()
	maxHead := lim.head()
	if len(b) > maxHead {
		b = b[:maxHead]
	}
	var line requestLine
	p, err := line.read(b, lim.target())
	if err != nil {
		return 0, err
	}
	if p == 0 {
		return 0, unfinished(len(b) >= maxHead, errTooLong)
	}
	fields := fieldReader{fields: r.Fields, max: lim.fields()}
	fields.framing.minor, fields.framing.options, fields.framing.maxOptions = line.minor, r.Connection, fields.max
	p, err = fields.read(b, p)
	// Both keep their memory for the next head, whatever came of this one.
	r.Fields, r.Connection = fields.fields, fields.framing.options
	if err != nil {
		return 0, err
	}
	if p == 0 {
		return 0, unfinished(len(b) >= maxHead, errHeadSize)
	}
	if err := finishRequest(r, &line, &fields.framing); err != nil {
		return 0, err
	}
	return p, nil
}

// unfinished is the answer to bytes that end before the head does.
func unfinished(full bool, err *Error) error {
	if full {
		return err
	}
	return nil
}

// finishRequest sets what can be said only when all of the head is there.
func finishRequest(r *msg.Request, line *requestLine, f *framing) error {
	if err := f.check(); err != nil {
		return err
	}
	r.Method, r.Version = line.method, msg.Version(line.minor)
	if err := setTarget(r, line); err != nil {
		return err
	}
	if err := setHost(r, f); err != nil {
		return err
	}
	for _, option := range r.Connection {
		lower(option)
	}
	r.KeepAlive = f.lives()
	r.Expect100 = f.expect100
	switch {
	case f.codings > 0:
		r.Length = msg.Chunked
	case f.lengths > 0:
		r.Length, r.HasLength = f.length, true
	}
	return nil
}

// requestLine is a request line, cut at its two spaces.
type requestLine struct {
	method, target []byte
	work           bool // the target has a byte of isPathWork
	minor          uint8
}

// read reads empty lines and the request line; it returns where the fields begin, or 0 if b ends before that.
func (l *requestLine) read(b []byte, maxTarget int) (int, error) {
	p, err := skipBlank(b)
	if err != nil || p == len(b) {
		return 0, err
	}
	start := p
	for p < len(b) && class[b[p]]&isToken != 0 {
		p++
	}
	switch {
	case p-start > maxMethod:
		return 0, errLongWord
	case p == len(b):
		return 0, nil
	case p == start && b[p] == '\r' && p+1 == len(b):
		return 0, nil
	case p == start:
		return 0, errStart
	case b[p] != ' ':
		return 0, errMethod
	}
	l.method = b[start:p:p]
	p++
	start = p
	seen := uint8(0)
	for p < len(b) && class[b[p]]&isTarget != 0 {
		seen |= class[b[p]]
		p++
	}
	switch {
	case p-start > maxTarget:
		return 0, errTooLong
	case p == len(b):
		return 0, nil
	case b[p] == '\r' || b[p] == '\n':
		return 0, errVersion // HTTP/0.9
	case b[p] != ' ' || p == start:
		return 0, errTarget
	}
	l.target = b[start:p:p]
	l.work = seen&isPathWork != 0
	return l.readVersion(b, p+1)
}

// readVersion reads "HTTP/1.0" or "HTTP/1.1" and the line's end.
func (l *requestLine) readVersion(b []byte, p int) (int, error) {
	const size = len("HTTP/1.1\r\n")
	if len(b)-p < size {
		return 0, versionPrefix(b[p:])
	}
	v := b[p : p+size]
	if string(v[:7]) != "HTTP/1." || string(v[8:]) != "\r\n" || v[7]&^1 != '0' {
		return 0, versionError(v)
	}
	l.minor = v[7] - '0'
	return p + size, nil
}

// versionPrefix refuses a line that can no longer become right.
func versionPrefix(v []byte) error {
	for i, c := range v {
		if c == '\n' || c == '\r' && i != 8 {
			return errVersion
		}
	}
	return nil
}

// versionError tells a major version that we do not speak, the HTTP/2 preface among them, from what is no version. HTTP/1.2
// and above do not exist, and a sender of HTTP/0.9 would not have named it.
func versionError(v []byte) error {
	if string(v[:5]) != "HTTP/" || v[6] != '.' || v[7] < '0' || v[7] > '9' {
		return errVersion
	}
	if v[5] >= '2' && v[5] <= '9' {
		return errMajor
	}
	if string(v[:7]) == "HTTP/1." && v[7] <= '1' {
		return errLineEnd
	}
	return errVersion
}

// skipBlank passes over the empty lines that some clients send after a body.
func skipBlank(b []byte) (int, error) {
	p := 0
	for p+1 < len(b) && b[p] == '\r' && b[p+1] == '\n' {
		if p += 2; p > 2*maxBlank {
			return 0, errBlank
		}
	}
	return p, nil
}

package h1

import "poise/internal/msg"

// ParseResponse reads one response head, interim ones too, at the start of b. method is the request's: a response to HEAD has no
// body. n is the bytes that it took; n == 0 and err == nil mean that more bytes are needed. An error is an *Error with status 502.
//
// r's slices alias b: they live as long as b does. Only the options of Connection are changed, to lower case, in place.
func ParseResponse(r *msg.Response, b []byte, method []byte, lim *Limits) (n int, err error) {
	r.Reset()
	maxHead := lim.head()
	if len(b) > maxHead {
		b = b[:maxHead]
	}
	p, err := readStatusLine(r, b)
	if err != nil {
		return 0, badGateway(err)
	}
	if p == 0 {
		return 0, badGateway(unfinished(len(b) >= maxHead, errHeadSize))
	}
	fields := fieldReader{fields: r.Fields, max: lim.fields(), lenient: true}
	fields.framing.minor, fields.framing.options, fields.framing.maxOptions = uint8(r.Version), r.Connection, fields.max
	fields.framing.response, fields.framing.idle = true, -1
	p, err = fields.read(b, p)
	r.Fields, r.Connection = fields.fields, fields.framing.options
	if err == nil && p == 0 {
		err = unfinished(len(b) >= maxHead, errHeadSize)
	}
	if err == nil {
		err = fields.framing.check()
	}
	if p == 0 || err != nil {
		return 0, badGateway(err)
	}
	finishResponse(r, string(method) == "HEAD", &fields.framing)
	return p, nil
}

// badGateway gives a shared error the status that fits a server's fault. It allocates, on the way to closing a connection.
func badGateway(err error) error {
	if e, ok := err.(*Error); ok && e.Status != 502 {
		return &Error{Status: 502, Reason: e.Reason}
	}
	return err
}

func finishResponse(r *msg.Response, head bool, f *framing) {
	for _, option := range r.Connection {
		lower(option)
	}
	r.KeepAlive = f.lives()
	r.KeepAliveTimeout = f.idle
	r.HasLength, r.ContentLength = f.lengths > 0, f.length
	switch {
	case head || r.Status < 200 || r.Status == 204 || r.Status == 304:
		r.Length = 0 // whatever the fields say (RFC 9112 §6.3)
		if r.Status == 204 && (f.codings > 0 || f.length > 0) {
			r.KeepAlive = false // it has announced what must not be there, and may send it after the next request
		}
	case f.codings > 0:
		r.Length = msg.Chunked
	case r.HasLength:
		r.Length = f.length
	default:
		r.Length = msg.UntilClose
		r.KeepAlive = false
	}
}

const versionSize, statusSize = len("HTTP/1."), len("HTTP/1.1 200")

// StatusOf returns the status of the answer that begins with b; 0: that is still to come. An error says that b begins none.
func StatusOf(b []byte) (status int, err error) {
	if known := min(len(b), versionSize); string(b[:known]) != "HTTP/1."[:known] {
		return 0, errStatusLine
	}
	if len(b) < statusSize {
		return 0, nil
	}
	if b[versionSize]&^1 != '0' || b[versionSize+1] != ' ' {
		return 0, errStatusLine
	}
	for _, c := range b[statusSize-3 : statusSize] {
		if c < '0' || c > '9' {
			return 0, errStatusLine
		}
		status = status*10 + int(c-'0')
	}
	if status < 100 {
		return 0, errStatusLine
	}
	return status, nil
}

// readStatusLine reads `HTTP/1.x 200 reason`; it returns where the fields begin, or 0 if b ends before that. The reason may be
// missing, and many servers leave out the space before a missing one.
func readStatusLine(r *msg.Response, b []byte) (int, error) {
	status, err := StatusOf(b)
	if err != nil || len(b) <= statusSize {
		return 0, err
	}
	r.Status = status
	r.Version = msg.Version(b[versionSize] - '0')
	p := statusSize
	if b[p] != ' ' && b[p] != '\r' {
		return 0, errStatusLine
	}
	p = control(b, p)
	for p < len(b) && b[p] == '\t' {
		p = control(b, p+1)
	}
	if p+1 >= len(b) && (p == len(b) || b[p] == '\r') {
		return 0, nil
	}
	if b[p] != '\r' || b[p+1] != '\n' {
		return 0, lineError(b[p])
	}
	if p > statusSize {
		r.Reason = b[statusSize+1 : p : p]
	}
	return p + 2, nil
}

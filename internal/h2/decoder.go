package h2

import (
	"errors"

	"golang.org/x/net/http2/hpack"

	"poise/internal/h1"
	"poise/internal/msg"
)

// tableSize is how much the peer may have us remember of its fields: the protocol's own beginning. [RFC 7541 section 4.2; RFC 9113 section 6.5.2]
const tableSize = 4096

// fieldOverhead is counted for each field beside its bytes: what a head may be is announced so. [RFC 9113 section 6.5.2]
const fieldOverhead = 32

// Decoder opens the header blocks that come on one connection. Each is decoded to its end, whatever is wrong with it, since the next depends on it; but
// of one that is too large nothing more is kept.
type Decoder struct {
	hpack *hpack.Decoder
	lim   *h1.Limits

	// Of the block that is being decoded.
	mem     []byte
	fields  msg.Fields
	most    int // fields
	room    int // bytes
	err     *Error
	regular bool // a field has come that is no pseudo-field
	trailer bool
	cookies int
	pseudo  [numPseudo][]byte
	seen    [numPseudo]bool
	lengths int
	length  int64
	host    []byte
	hosts   int
	te      bool
	expect  []byte
}

// The pseudo-fields.
const (
	pseudoMethod = iota
	pseudoScheme
	pseudoAuthority
	pseudoPath
	pseudoProtocol
	pseudoStatus
	numPseudo
)

// NewDecoder returns one for a new connection.
func NewDecoder(lim *h1.Limits) *Decoder {
	d := &Decoder{lim: lim}
	d.hpack = hpack.NewDecoder(tableSize, d.emit)
	return d
}

var (
	errBlock    = &Error{Code: CompressionError, Reason: "a header block that cannot be decoded"}
	errTooMany  = &Error{Code: ProtocolError, Reason: "too many fields", Status: 431}
	errTooLarge = &Error{Code: ProtocolError, Reason: "the head is too large", Status: 431}
)

// malformed is an error of one stream, whose head breaks the grammar or has more than one reading.
func malformed(reason string) *Error {
	return &Error{Code: ProtocolError, Reason: reason, Status: 400}
}

// Skip decodes a block that nobody wants.
func (d *Decoder) Skip(block []byte) error {
	d.hpack.SetEmitEnabled(false)
	return d.write(block)
}

func (d *Decoder) write(block []byte) error {
	_, err := d.hpack.Write(block)
	if closed := d.hpack.Close(); err == nil {
		err = closed
	}
	if err != nil {
		return errBlock
	}
	return nil
}

// decode reads a block into d.
func (d *Decoder) decode(mem []byte, fields msg.Fields, block []byte, trailer bool) error {
	d.mem, d.fields, d.trailer = mem, fields, trailer
	d.most, d.room = d.lim.Count(), d.lim.Size()
	if trailer {
		d.most, d.room = h1.MaxTrailers, h1.MaxTrailer+h1.MaxTrailers*fieldOverhead
	}
	d.err, d.regular, d.cookies, d.lengths, d.length, d.hosts, d.host, d.te, d.expect = nil, false, 0, 0, 0, 0, nil, false, nil
	d.pseudo, d.seen = [numPseudo][]byte{}, [numPseudo]bool{}
	d.hpack.SetEmitEnabled(true)
	return d.write(block)
}

// emit takes in one field.
func (d *Decoder) emit(f hpack.HeaderField) {
	if d.err != nil {
		return
	}
	if d.room -= len(f.Name) + len(f.Value) + fieldOverhead; d.room < 0 {
		d.refuse(errTooLarge)
		return
	}
	isPseudo := len(f.Name) > 0 && f.Name[0] == ':' // of which there are few: each may come once
	if !isPseudo {
		d.most--
	}
	if d.most < 0 {
		d.refuse(errTooMany)
		return
	}
	from := len(d.mem)
	d.mem = append(append(d.mem, f.Name...), f.Value...)
	name, value := d.mem[from:from+len(f.Name):from+len(f.Name)], d.mem[from+len(f.Name):len(d.mem):len(d.mem)]
	var err *Error
	if isPseudo {
		err = d.takePseudo(name, value)
	} else {
		err = d.takeField(name, value)
	}
	if err != nil {
		d.refuse(err)
	}
}

func (d *Decoder) refuse(err *Error) {
	d.err = err
	d.hpack.SetEmitEnabled(false)
}

func (d *Decoder) takePseudo(name, value []byte) *Error {
	which := numPseudo
	switch string(name) {
	case ":method":
		which = pseudoMethod
	case ":scheme":
		which = pseudoScheme
	case ":authority":
		which = pseudoAuthority
	case ":path":
		which = pseudoPath
	case ":protocol":
		which = pseudoProtocol
	case ":status":
		which = pseudoStatus
	}
	switch {
	case d.regular:
		return malformed("a pseudo-field after other fields")
	case which == numPseudo || d.trailer:
		return malformed("an unknown pseudo-field")
	case d.seen[which]:
		return malformed("a pseudo-field twice")
	}
	d.seen[which], d.pseudo[which] = true, value
	return nil
}

func (d *Decoder) takeField(name, value []byte) *Error {
	d.regular = true
	if !h1.IsLowerName(name) {
		return malformed("malformed field name")
	}
	if !h1.IsValue(value) {
		return malformed("control character in a field value")
	}
	if n := len(value); n > 0 && (blank(value[0]) || blank(value[n-1])) {
		return malformed("white space around a field value")
	}
	id := msg.Lookup(name)
	switch id {
	case msg.Connection, msg.KeepAlive, msg.ProxyConnection, msg.TransferEncoding, msg.Upgrade:
		return malformed("a field of HTTP/1 connections")
	case msg.TE:
		if string(value) != "trailers" {
			return malformed("te with another value than trailers")
		}
		d.te = true
	case msg.ContentLength:
		if d.trailer {
			break
		}
		n, err := h1.ReadLength(value, d.lengths > 0)
		if err != nil {
			return asError(err)
		}
		d.lengths, d.length = 1, n
	case msg.Host:
		d.hosts++
		d.host = value
	case msg.Cookie:
		d.cookies++
	case msg.Expect:
		if d.expect == nil || msg.EqualFold(d.expect, "100-continue") { // an unknown one stays
			d.expect = value
		}
	}
	d.fields = append(d.fields, msg.Field{Name: name, Value: value, ID: id})
	return nil
}

func blank(c byte) bool { return c == ' ' || c == '\t' }

// asError makes an error of a stream of one of h1's.
func asError(err error) *Error {
	e := malformed("malformed head")
	var he *h1.Error
	if errors.As(err, &he) {
		e.Reason, e.Status = he.Reason, he.Status
	}
	return e
}

// of makes e one of a stream.
func (e *Error) of(stream uint32) error {
	own := *e
	own.Stream = stream
	return &own
}

// Request reads the header block of a request. Names and values are copied behind mem, whose growth is returned; end: no body follows. An error is an *Error:
// of the stream, or of the connection if the block cannot be decoded.
func (d *Decoder) Request(r *msg.Request, mem, block []byte, stream uint32, end bool) ([]byte, error) {
	r.Reset()
	if err := d.decode(mem, r.Fields, block, false); err != nil {
		return d.mem, err
	}
	r.Fields = d.fields
	if d.err == nil {
		d.err = d.finishRequest(r, end)
	}
	if d.err != nil {
		return d.mem, d.err.of(stream)
	}
	return d.mem, nil
}

func (d *Decoder) finishRequest(r *msg.Request, end bool) *Error {
	switch {
	case !d.seen[pseudoMethod] || !d.seen[pseudoScheme] || !d.seen[pseudoPath]:
		return malformed("a pseudo-field is missing")
	case d.seen[pseudoStatus]:
		return malformed(":status in a request")
	case d.seen[pseudoProtocol] && (string(d.pseudo[pseudoMethod]) != "CONNECT" || !h1.IsName(d.pseudo[pseudoProtocol])):
		return malformed(":protocol of no CONNECT")
	case d.seen[pseudoProtocol]: // and its method is what HTTP/1.1 would ask with [RFC 8441 section 5]
		r.Protocol = d.pseudo[pseudoProtocol]
		d.pseudo[pseudoMethod] = get
	}
	if err := h1.ReadMethod(r, d.pseudo[pseudoMethod]); err != nil {
		return asError(err)
	}
	if s := d.pseudo[pseudoScheme]; string(s) != "http" && string(s) != "https" {
		return malformed("scheme is neither http nor https")
	}
	r.Scheme, r.Version, r.KeepAlive, r.Trailers = d.pseudo[pseudoScheme], msg.HTTP2, true, d.te
	if err := h1.ReadTarget(r, d.pseudo[pseudoPath], d.lim); err != nil {
		return asError(err)
	}
	if err := d.finishHost(r); err != nil {
		return err
	}
	if d.expect != nil {
		if err := h1.ReadExpect(r, d.expect); err != nil {
			return asError(err)
		}
	}
	d.joinCookies()
	r.Fields = d.fields
	switch {
	case end && d.length > 0:
		return malformed("content-length of a request without a body")
	case d.lengths > 0:
		r.Length, r.HasLength = d.length, true
	case !end && len(r.Protocol) == 0:
		r.Length = msg.Chunked
	}
	return nil
}

var get = []byte("GET")

// finishHost finds the authority. Where Host says another, there is no telling whom the request is for. [RFC 9113 section 8.3.1]
func (d *Decoder) finishHost(r *msg.Request) *Error {
	authority := d.pseudo[pseudoAuthority]
	switch {
	case d.hosts > 1:
		return malformed("more than one host")
	case !d.seen[pseudoAuthority] && d.hosts == 0:
		return malformed("no host")
	case !d.seen[pseudoAuthority]:
		authority = append([]byte(nil), d.host...) // it becomes lower case, and the field stays as it came
	case d.hosts == 1 && !msg.EqualFoldBytes(authority, d.host):
		return malformed(":authority and host differ")
	}
	if err := h1.ReadAuthority(r, authority); err != nil {
		return asError(err)
	}
	return nil
}

// joinCookies makes one field of the parts that Cookie comes in. [RFC 9113 section 8.2.3]
func (d *Decoder) joinCookies() {
	if d.cookies < 2 {
		return
	}
	from, first := len(d.mem), -1
	kept := d.fields[:0]
	for _, f := range d.fields {
		if f.ID != msg.Cookie {
			kept = append(kept, f)
			continue
		}
		if first < 0 {
			first = len(kept)
			kept = append(kept, f)
		} else if len(f.Value) > 0 && len(d.mem) > from { // an empty part would leave a blank at an end, which HTTP/2 forbids
			d.mem = append(d.mem, "; "...)
		}
		d.mem = append(d.mem, f.Value...)
	}
	kept[first].Value = d.mem[from:len(d.mem):len(d.mem)]
	d.fields = kept
}

// Response reads the header block of an answer to a request with that method, as Request does.
func (d *Decoder) Response(r *msg.Response, mem, block []byte, stream uint32, end bool, method []byte) ([]byte, error) {
	r.Reset()
	if err := d.decode(mem, r.Fields, block, false); err != nil {
		return d.mem, err
	}
	r.Fields = d.fields
	if d.err == nil {
		d.err = d.finishResponse(r, end, method)
	}
	if d.err != nil {
		return d.mem, d.err.of(stream)
	}
	return d.mem, nil
}

func (d *Decoder) finishResponse(r *msg.Response, end bool, method []byte) *Error {
	for which, seen := range d.seen {
		if seen != (which == pseudoStatus) {
			return malformed("not the pseudo-fields of a response")
		}
	}
	s := d.pseudo[pseudoStatus]
	if len(s) != 3 || s[0] < '1' || s[0] > '9' || s[1] < '0' || s[1] > '9' || s[2] < '0' || s[2] > '9' {
		return malformed("malformed status")
	}
	r.Status = int(s[0]-'0')*100 + int(s[1]-'0')*10 + int(s[2]-'0')
	r.Version, r.KeepAlive = msg.HTTP2, true
	r.HasLength, r.ContentLength = d.lengths > 0, d.length
	bodiless := string(method) == "HEAD" || r.Status < 200 || r.Status == 204 || r.Status == 304
	switch {
	case r.Status == 101:
		return malformed("101, which HTTP/2 does not have")
	case r.Status < 200 && end:
		return malformed("an interim response that ends the stream")
	case bodiless || end:
		if end && !bodiless && d.length > 0 {
			return malformed("content-length of a response without a body")
		}
		r.HasLength = r.HasLength || !bodiless // and it is 0
	case r.HasLength:
		r.Length = d.length
	default:
		r.Length = msg.Chunked
	}
	return nil
}

// Trailers reads the header block that ends a stream, behind fields. Those that may not come after a body are left out.
func (d *Decoder) Trailers(fields msg.Fields, mem, block []byte, stream uint32) (msg.Fields, []byte, error) {
	if err := d.decode(mem, fields, block, true); err != nil {
		return fields, d.mem, err
	}
	if d.err != nil {
		return fields, d.mem, d.err.of(stream)
	}
	kept := d.fields[:len(fields)]
	for i := len(fields); i < len(d.fields); i++ {
		if f := &d.fields[i]; msg.TrailerAllowed(f) {
			kept = append(kept, *f)
		}
	}
	return kept, d.mem, nil
}

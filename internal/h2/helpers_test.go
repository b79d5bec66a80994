package h2

import (
	"bytes"
	"errors"
	"testing"

	"golang.org/x/net/http2/hpack"

	"poise/internal/h1"
	"poise/internal/msg"
)

// pairs are names and values, in turn.
type pairs []string

// plain is a request with these fields behind its pseudo-fields.
func plain(fields ...string) pairs {
	return append(pairs{":method", "GET", ":scheme", "https", ":authority", "a", ":path", "/"}, fields...)
}

// upload is the same with another method.
func upload(fields ...string) pairs {
	p := plain(fields...)
	p[1] = "POST"
	return p
}

// without leaves out the field of that name.
func (p pairs) without(name string) (kept pairs) {
	for i := 0; i < len(p); i += 2 {
		if p[i] != name {
			kept = append(kept, p[i], p[i+1])
		}
	}
	return kept
}

// with changes the value of the first field of that name.
func (p pairs) with(name, value string) pairs {
	changed := append(pairs(nil), p...)
	for i := 0; i < len(p); i += 2 {
		if p[i] == name {
			changed[i+1] = value
			return changed
		}
	}
	panic("no field " + name)
}

// ends are both ends of a connection, as far as header blocks go: what one block does to the tables, the next depends on.
type ends struct {
	enc *hpack.Encoder
	buf bytes.Buffer
	dec *Decoder
}

func newEnds(lim *h1.Limits) *ends {
	e := &ends{dec: NewDecoder(lim)}
	e.enc = hpack.NewEncoder(&e.buf)
	return e
}

// block is a header block. The encoder puts what it can into the table.
func (e *ends) block(t testing.TB, p pairs) []byte {
	t.Helper()
	e.buf.Reset()
	for i := 0; i < len(p); i += 2 {
		if err := e.enc.WriteField(hpack.HeaderField{Name: p[i], Value: p[i+1]}); err != nil {
			t.Fatal(err)
		}
	}
	return bytes.Clone(e.buf.Bytes())
}

// ofStream is the stream that tests decode heads of.
const ofStream = 7

// refused is the status of an error of the stream's; 0 for none. The code must be PROTOCOL_ERROR.
func refused(t testing.TB, err error) int {
	t.Helper()
	if err == nil {
		return 0
	}
	var e *Error
	if !errors.As(err, &e) || e.Stream != ofStream || e.Code != ProtocolError || e.Status == 0 || e.Reason == "" {
		t.Fatalf("error %#v is none of the stream's", err)
	}
	return e.Status
}

// headCase is a head and the status with which it is refused; 0: it is accepted.
type headCase struct {
	name   string
	fields pairs
	status int
}

// checkRequests decodes every case as the head of a request with a body, all on one connection.
func checkRequests(t *testing.T, lim *h1.Limits, cases []headCase) {
	t.Helper()
	e := newEnds(lim)
	for _, c := range cases {
		var r msg.Request
		_, err := e.dec.Request(&r, nil, e.block(t, c.fields), ofStream, false)
		if got := refused(t, err); got != c.status {
			t.Errorf("%s: Request(%.200q) = status %d (%v), want %d", c.name, c.fields, got, err, c.status)
		}
		if _, err := e.dec.Request(&r, nil, e.block(t, plain("x-kept", "in the table")), ofStream, true); err != nil {
			t.Errorf("%s: the next request: %v", c.name, err)
		}
	}
}

// mustRequest decodes a request.
func mustRequest(t testing.TB, p pairs, end bool) *msg.Request {
	t.Helper()
	e := newEnds(nil)
	var r msg.Request
	if _, err := e.dec.Request(&r, nil, e.block(t, p), ofStream, end); err != nil {
		t.Fatalf("Request(%q): %v", p, err)
	}
	return &r
}

func fieldsOf(fields msg.Fields) (out [][2]string) {
	for _, f := range fields {
		out = append(out, [2]string{string(f.Name), string(f.Value)})
	}
	return out
}

// decoded are the fields of a header block as x/net reads it.
func decoded(t testing.TB, block []byte) (out pairs) {
	t.Helper()
	fields, err := hpack.NewDecoder(tableSize, nil).DecodeFull(block)
	if err != nil {
		t.Fatalf("DecodeFull(%x): %v", block, err)
	}
	for _, f := range fields {
		out = append(out, f.Name, f.Value)
	}
	return out
}

// field is a field as the rules of an exchange leave it.
func field(name, value string) msg.Field {
	return msg.Field{Name: []byte(name), Value: []byte(value), ID: msg.Lookup([]byte(name))}
}

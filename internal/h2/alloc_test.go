package h2

import (
	"testing"

	"poise/internal/msg"
)

var (
	typicalRequest = plain(
		"user-agent", "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0", "accept", "text/html,application/xhtml+xml",
		"accept-language", "en-US,en;q=0.5", "accept-encoding", "gzip, deflate, br", "cookie", "session=0123456789abcdef", "cookie", "theme=dark", "priority", "u=1",
	).with(":path", "/shop/items?page=2")
	typicalResponse = pairs{
		":status", "200", "date", "Mon, 01 Jan 2024 00:00:00 GMT", "content-type", "text/html; charset=utf-8", "content-length", "12345", "cache-control", "no-cache",
	}
)

// literals are the names and values of the typical request, as we print it, that are in no table: seven values, but for that of one
// byte, and four names.
const literals = 11

// TestAllocations: a head whose fields are in the table, as on a connection that has carried one like it, is decoded without an allocation. Of what is not
// there, hpack makes one for each value, and for each name that the static table does not have. Printing makes none.
func TestAllocations(t *testing.T) {
	e := newEnds(nil)
	var r, fresh msg.Request
	var resp msg.Response
	var fields msg.Fields
	mem, block := make([]byte, 0, 4096), make([]byte, 0, 4096)
	blocks := func() [][]byte {
		return [][]byte{e.block(t, typicalRequest), e.block(t, typicalResponse), e.block(t, pairs{"grpc-status", "0"})}
	}
	decode := func(blocks [][]byte) {
		_, err := e.dec.Request(&r, mem, blocks[0], ofStream, true)
		if err == nil {
			_, err = e.dec.Response(&resp, mem, blocks[1], ofStream, false, nil)
		}
		if err == nil {
			fields, _, err = e.dec.Trailers(fields[:0], mem, blocks[2], ofStream)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	decode(blocks())
	again := blocks()

	head := headOf(mustRequest(t, typicalRequest, true))
	printed, err := AppendRequest(nil, &head)
	if err != nil {
		t.Fatal(err)
	}
	answer := msg.ResponseHead{Status: 200, Fields: msg.Fields{field("Server", "x"), field("X-Other", "y")}, Length: 12345}
	last := msg.Fields{field("grpc-status", "0")}
	for _, c := range []struct {
		name string
		want float64
		f    func()
	}{
		{"decoding what is in the table", 0, func() { decode(again) }},
		{"decoding what is not", literals, func() { _, _ = e.dec.Request(&fresh, mem, printed, ofStream, true) }},
		{"AppendRequest", 0, func() { _, _ = AppendRequest(block, &head) }},
		{"AppendResponse", 0, func() { _, _ = AppendResponse(block, &answer) }},
		{"AppendTrailers", 0, func() { _, _ = AppendTrailers(block, last) }},
	} {
		c.f()
		if n := testing.AllocsPerRun(100, c.f); n != c.want {
			t.Errorf("%s: %v allocations a run, want %v", c.name, n, c.want)
		}
	}
}

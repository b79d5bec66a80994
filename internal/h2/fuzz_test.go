package h2

import (
	"bytes"
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"poise/internal/h1"
	"poise/internal/msg"
)

// FuzzFrame reads one frame, and has x/net read it too: they must take it for the same, or both refuse it.
func FuzzFrame(f *testing.F) {
	for _, seed := range [][]byte{
		AppendBlock(nil, 1, true, []byte("block"), 16), append(AppendFrame(nil, HeadersFrame, Padded|HasPriority, 3, 11), "\x02\x00\x00\x00\x01\x05abc.."...),
		append(AppendFrame(nil, PriorityFrame, 0, 3, 5), 0, 0, 0, 3, 1), AppendReset(nil, 5, Cancel), AppendSettings(nil, Setting{SettingWindow, 1 << 31}),
		AppendSettings(nil, Setting{SettingFrame, 16384}, Setting{SettingPush, 1}, Setting{99, 1}), AppendSettingsAck(nil), AppendPing(nil, true, [8]byte{1}),
		AppendGoAway(nil, 7, NoError, "why"), AppendWindow(nil, 0, 0), AppendWindow(nil, 9, 1), append(AppendFrame(nil, PriorityUpdateFrame, 0, 0, 7), "\x00\x00\x00\x05u=1"...),
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		if len(in) < HeaderSize {
			return
		}
		fr := ReadFrame(in)
		if fr.Length > len(in)-HeaderSize || fr.Type == PriorityUpdateFrame || fr.Type > WindowUpdateFrame || fr.Type == DataFrame || fr.Type == PushFrame {
			return
		}
		p := in[HeaderSize : HeaderSize+fr.Length]
		framer := http2.NewFramer(nil, bytes.NewReader(in))
		framer.AllowIllegalReads = true
		framer.SetMaxReadFrameSize(1<<24 - 1)
		want, wantErr := framer.ReadFrame()
		differ := func(got any, err *Error) {
			t.Fatalf("%+v with %q = %v, %v; x/net: %v, %v", fr, p, got, err, want, wantErr)
		}
		got, err := parse(fr, p)
		itself := err != nil && err.Reason == "a stream that depends on itself" // x/net takes that
		if (err != nil) != (wantErr != nil) && !itself && !(fr.Type == SettingsFrame && fr.Flags&Ack == 0) {
			differ(got, err)
		}
		if err != nil {
			var se http2.StreamError
			if err.Reason == "" || (err.Stream != 0 && err.Stream != fr.Stream) || (errors.As(wantErr, &se) && fr.Type == WindowUpdateFrame && err.Stream != se.StreamID) {
				differ(got, err)
			}
			return
		}
		switch want := want.(type) {
		case *http2.HeadersFrame:
			if got != string(want.HeaderBlockFragment()) {
				differ(got, err)
			}
		case *http2.RSTStreamFrame:
			if code, _ := fr.Reset(p); code != Code(want.ErrCode) {
				differ(got, err)
			}
		case *http2.PingFrame:
			if data, _ := fr.Ping(p); data != want.Data {
				differ(got, err)
			}
		case *http2.GoAwayFrame:
			if last, code, _ := fr.GoAway(p); last != want.LastStreamID || code != Code(want.ErrCode) {
				differ(got, err)
			}
		case *http2.WindowUpdateFrame:
			if n, _ := fr.Window(p); n != int(want.Increment) {
				differ(got, err)
			}
		case *http2.SettingsFrame:
			s := Defaults()
			_ = fr.Settings(p, &s)
			if d := cmp.Diff(slowSettings(want), s); d != "" {
				t.Fatalf("%+v with %q (-want +got):\n%s", fr, p, d)
			}
		}
	})
}

func slowSettings(f *http2.SettingsFrame) Settings {
	s := Defaults()
	for i := range f.NumSettings() {
		switch v := f.Setting(i); v.ID {
		case http2.SettingHeaderTableSize:
			s.TableSize = v.Val
		case http2.SettingEnablePush:
			s.Push = v.Val == 1
		case http2.SettingMaxConcurrentStreams:
			s.Streams = v.Val
		case http2.SettingInitialWindowSize:
			s.Window = int(v.Val)
		case http2.SettingMaxFrameSize:
			s.Frame = int(v.Val)
		case http2.SettingMaxHeaderListSize:
			s.HeaderList = v.Val
		case http2.SettingEnableConnectProtocol:
			s.Connect = v.Val == 1
		}
	}
	return s
}

// headOf is a request as it is printed for a server.
func headOf(r *msg.Request) msg.RequestHead {
	h := msg.RequestHead{
		Method: r.Method, Path: r.Path, Query: r.Query, Authority: r.Authority, Secure: string(r.Scheme) == "https", Length: r.Length, HasLength: r.HasLength,
		Upgrade: r.Protocol, Trailers: r.Trailers,
	}
	for _, f := range r.Fields {
		if !h1.Printed(&f, true) {
			h.Fields = append(h.Fields, f)
		}
	}
	return h
}

// reading is what a block is, to a decoder that has seen nothing before.
func reading(block []byte) (fields []hpack.HeaderField, ok bool) {
	fields, err := hpack.NewDecoder(tableSize, nil).DecodeFull(block)
	return fields, err == nil
}

// FuzzRequestBlock has a request's header block decoded. What is accepted must be what the twin says, and be the same again once it was printed.
func FuzzRequestBlock(f *testing.F) {
	for i, p := range []pairs{
		typicalRequest, plain(), upload("content-length", "5", "expect", "100-continue"), plain("host", "A", "te", "trailers", "x", "\xe9").with(":path", "/a/%2e%2E/%2f%61?b"),
		plain("cookie", "a", "x", "y", "cookie", "b"), append(pairs{":protocol", "websocket"}, plain("sec-websocket-key", "k").with(":method", "CONNECT")...),
		plain().with(":method", "OPTIONS").with(":path", "*"), plain("host", "[::1]:80").without(":authority"), plain("http2-settings", "x", "content-length", "0"),
		upload("transfer-encoding", "chunked"), plain("X", " y"),
	} {
		f.Add(newEnds(nil).block(f, p), i%2 == 0)
	}
	f.Fuzz(func(t *testing.T, block []byte, end bool) {
		var r msg.Request
		dirty := append(make([]byte, 0, 64), "what was there before"...)
		mem, err := NewDecoder(nil).Request(&r, dirty[:0], block, ofStream, end)
		fields, whole := reading(block)
		want, ok := slowRequest(fields, end)
		ok = ok && whole
		if (err == nil) != ok {
			t.Fatalf("Request(%q, %t) = %v, want accepted: %t", fields, end, err, ok)
		}
		if err != nil {
			if e := new(Error); !errors.As(err, &e) || e.Stream == 0 && whole && e.Code != ProtocolError {
				t.Fatalf("Request(%q) = %#v", fields, err)
			}
			return
		}
		if len(mem) > 2*h1.DefaultHead {
			t.Fatalf("a request has %d bytes", len(mem))
		}
		checkRequest(t, &r, want)
		printAgain(t, &r, end)
	})
}

// checkRequest compares a request with one of HTTP/1.1, as which it is written otherwise.
func checkRequest(t *testing.T, got, want *msg.Request) {
	t.Helper()
	g, w := headOf(got), headOf(want)
	w.Secure, w.Upgrade, w.Trailers = g.Secure, g.Upgrade, g.Trailers
	if d := cmp.Diff(w, g, cmpopts.EquateEmpty()); d != "" {
		t.Fatalf("Request (-as HTTP/1.1 +got):\n%s", d)
	}
	if string(got.Host) != string(want.Host) || got.Expect100 != want.Expect100 {
		t.Fatalf("Host, Expect100 = %s, %t, want %s, %t", got.Host, got.Expect100, want.Host, want.Expect100)
	}
}

// printAgain prints a request for either version: both must read what it was.
func printAgain(t *testing.T, r *msg.Request, end bool) {
	t.Helper()
	h := headOf(r)
	text, err := h1.AppendRequestHead(nil, &h)
	if err != nil {
		t.Fatalf("AppendRequestHead of what was decoded: %v", err)
	}
	var plain msg.Request
	if n, err := h1.ParseRequest(&plain, text, large); n != len(text) || err != nil {
		t.Fatalf("ParseRequest(%q) = %d, %v, want %d", text, n, err, len(text))
	}
	checkRequest(t, r, &plain)

	block, err := AppendRequest(nil, &h)
	if err != nil {
		t.Fatalf("AppendRequest of what was decoded: %v", err)
	}
	var back msg.Request
	if _, err := NewDecoder(large).Request(&back, nil, block, ofStream, end); err != nil {
		t.Fatalf("Request(%q): %v", block, err)
	}
	b := headOf(&back)
	if len(h.Upgrade) > 0 {
		h.Fields = withoutKey(h.Fields)
	}
	if d := cmp.Diff(lowerNames(h), b, cmpopts.EquateEmpty()); d != "" {
		t.Fatalf("after a round trip (-sent +back):\n%s", d)
	}
	if len(reads(t, block)) > len(b.Fields)+10 {
		t.Fatal("more was printed than there is")
	}
}

// reads are the fields of a block that we have printed, which x/net must be able to read.
func reads(t *testing.T, block []byte) []hpack.HeaderField {
	t.Helper()
	fields, ok := reading(block)
	if !ok {
		t.Fatalf("x/net cannot read %x", block)
	}
	return fields
}

// lowerNames is the head as it comes back.
func lowerNames(h msg.RequestHead) msg.RequestHead {
	fields := h.Fields
	h.Fields = nil
	for _, f := range fields {
		f.Name = bytes.ToLower(f.Name)
		h.Fields = append(h.Fields, f)
	}
	return h
}

// FuzzResponseBlock does the same with a response's.
func FuzzResponseBlock(f *testing.F) {
	for i, p := range []pairs{
		typicalResponse,
		{":status", "200"},
		{":status", "100"},
		{":status", "204", "content-length", "5"},
		{":status", "304", "etag", "x", "content-length", "5"},
		{":status", "200", "content-length", "0"},
		{":status", "200", "te", "trailers", "http2-settings", "x", "host", "y", "expect", "z"},
		{":status", "101"},
		{":status", "999", "set-cookie", "a", "set-cookie", "b", "cookie", "c", "cookie", "d"},
	} {
		f.Add(newEnds(nil).block(f, p), i%2 == 0, i%3 == 0)
	}
	f.Fuzz(func(t *testing.T, block []byte, end, head bool) {
		method := "GET"
		if head {
			method = "HEAD"
		}
		var r msg.Response
		_, err := NewDecoder(nil).Response(&r, nil, block, ofStream, end, []byte(method))
		fields, whole := reading(block)
		want, ok := slowResponse(fields, end, method)
		ok = ok && whole
		if (err == nil) != ok {
			t.Fatalf("Response(%q, %t) to %s = %v, want accepted: %t", fields, end, method, err, ok)
		}
		if err != nil {
			return
		}
		checkResponse(t, &r, want)
		answerAgain(t, &r, end, method)
	})
}

// checkResponse compares a response with one of HTTP/1.1.
func checkResponse(t *testing.T, got, want *msg.Response) {
	t.Helper()
	if got.Status != want.Status || got.Length != want.Length || got.HasLength != want.HasLength && got.Length != 0 || got.ContentLength != want.ContentLength {
		t.Fatalf("Response = %+v, want %+v", got, want)
	}
	if d := cmp.Diff(answerOf(want).Fields, answerOf(got).Fields, cmpopts.EquateEmpty()); d != "" {
		t.Fatalf("Response (-as HTTP/1.1 +got):\n%s", d)
	}
}

// answerOf is a response as it is printed for a client.
func answerOf(r *msg.Response) msg.ResponseHead {
	h := msg.ResponseHead{Status: r.Status, Length: r.Length, NoLength: !r.HasLength && r.Length == 0}
	if r.HasLength {
		h.Length = r.ContentLength
	}
	for _, f := range r.Fields {
		if !h1.Printed(&f, false) {
			h.Fields = append(h.Fields, f)
		}
	}
	return h
}

// answerAgain prints a response for either version: both must read what it was.
func answerAgain(t *testing.T, r *msg.Response, end bool, method string) {
	t.Helper()
	h := answerOf(r)
	text, err := h1.AppendResponseHead(nil, &h)
	if err != nil {
		t.Fatalf("AppendResponseHead of what was decoded: %v", err)
	}
	var plain, back msg.Response
	if n, err := h1.ParseResponse(&plain, text, []byte(method), large); n != len(text) || err != nil {
		t.Fatalf("ParseResponse(%q) = %d, %v, want %d", text, n, err, len(text))
	}
	block, err := AppendResponse(nil, &h)
	if err != nil {
		t.Fatalf("AppendResponse of what was decoded: %v", err)
	}
	reads(t, block)
	if _, err := NewDecoder(large).Response(&back, nil, block, ofStream, end, []byte(method)); err != nil {
		t.Fatalf("Response(%q): %v", block, err)
	}
	for _, again := range []*msg.Response{&plain, &back} {
		if again.Status != r.Status || again.Length != r.Length {
			t.Fatalf("after a round trip: %+v, want %+v", again, r)
		}
		if d := cmp.Diff(h.Fields, answerOf(again).Fields, cmpopts.EquateEmpty()); d != "" {
			t.Fatalf("after a round trip (-sent +back):\n%s", d)
		}
	}
}

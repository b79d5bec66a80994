package wire

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/andybalholm/brotli"
	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"

	"poise/internal/testkit"
)

// decoder reads what is in a content coding.
func decoder(r io.Reader, coding string) (io.Reader, error) {
	switch coding {
	case "gzip":
		return gzip.NewReader(r)
	case "br":
		return brotli.NewReader(r), nil
	case "zstd":
		return zstd.NewReader(r, zstd.WithDecoderConcurrency(1))
	case "":
		return r, nil
	}
	return nil, fmt.Errorf("the coding %q is not known", coding)
}

func decoded(t *testing.T, body, coding string) string {
	t.Helper()
	r, err := decoder(strings.NewReader(body), coding)
	if err != nil {
		t.Fatal(err)
	}
	all, err := io.ReadAll(r)
	if err != nil {
		t.Errorf("the body in %s ends with %v", coding, err)
	}
	return string(all)
}

// prose is text of n bytes that can be compressed, and differs from place to place.
func prose(n int) string {
	var b strings.Builder
	for i := 0; b.Len() < n; i++ {
		fmt.Fprintf(&b, "line %d of a text that is much like the others\n", i)
	}
	return b.String()[:n]
}

func answerWith(body string, fields ...string) string {
	return fmt.Sprintf("HTTP/1.1 200 OK\r\n%sContent-Length: %d\r\n\r\n%s", lines(fields), len(body), body)
}

const compressing = `
listeners:
  - address: 127.0.0.1:0
    routes: [{ pool: app, compress: { %s } }]
pools: { app: { servers: [%q] } }
`

// TestCompress: what a client takes, and what may be compressed, is; and comes out the same.
func TestCompress(t *testing.T) {
	t.Parallel()
	text, large := prose(30_000), prose(3<<20)
	const html = "Content-Type: text/html; charset=utf-8"
	server := scripts{
		"/text":    testkit.Reply(answerWith(text, html, `ETag: "v1"`, "Accept-Ranges: bytes")),
		"/weak":    testkit.Reply(answerWith(text, html, `ETag: W/"v1"`, "Vary: Cookie, accept-encoding")),
		"/large":   testkit.Reply(answerWith(large, "Content-Type: Application/JSON")),
		"/chunked": testkit.Reply("HTTP/1.1 200 OK\r\n" + html + "\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n7530\r\n" + text + "\r\n0\r\nX-Sum: 7\r\n\r\n"),
		"/error":   testkit.Reply("HTTP/1.1 500 Oh\r\n" + html + "\r\nContent-Length: 30000\r\n\r\n" + text),
		"/empty":   testkit.Reply("HTTP/1.1 200 OK\r\n" + html + "\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
		"/same":    testkit.Reply("HTTP/1.1 304 Not Modified\r\nETag: \"v1\"\r\n\r\n"),
		"/head":    testkit.Reply("HTTP/1.1 200 OK\r\n" + html + "\r\nContent-Length: 30000\r\n\r\n"),
		// What stays as it is.
		"/small":    testkit.Reply(answerWith("small", html)),
		"/picture":  testkit.Reply(answerWith(text, "Content-Type: image/png")),
		"/untyped":  testkit.Reply(answerWith(text)),
		"/almost":   testkit.Reply(answerWith(text, "Content-Type: textual/html")),
		"/asked":    testkit.Reply(answerWith(text, html, "Cache-Control: public, no-transform")),
		"/digest":   testkit.Reply(answerWith(text, html, "Content-Digest: sha-256=:AAAA:")),
		"/encoded":  testkit.Reply(answerWith(text, html, "Content-Encoding: x-own")),
		"/identity": testkit.Reply(answerWith(text, html, "Content-Encoding: identity")),
		"/partly":   testkit.Reply("HTTP/1.1 206 Partial Content\r\n" + html + "\r\nContent-Range: bytes 0-29999/40000\r\nContent-Length: 30000\r\n\r\n" + text),
	}
	tests := []struct {
		path, accepts, want string // want: the coding
		varies              bool
	}{
		{"/text", "gzip", "gzip", true},
		{"/text", "br", "br", true},
		{"/text", "zstd", "zstd", true},
		{"/text", "gzip, deflate, br, zstd", "zstd", true},
		{"/text", "gzip;q=1.0, BR;q=0.9, zstd ; q=0", "gzip", true},
		{"/text", "*", "zstd", true},
		{"/text", "*;q=0.5, zstd;q=0.4", "br", true},
		{"/text", "*, gzip;q=0, zstd;q=0, br;q=0", "", true},
		{"/text", "identity", "", true},
		{"/text", "gzip;q=0.000, br;q=2, zstd;q=x", "", true},
		{"/text", "gzipped", "", true},
		{"/text", "", "", true},
		{"/weak", "gzip", "gzip", true},
		{"/large", "gzip", "gzip", true},
		{"/large", "br", "br", true},
		{"/large", "zstd", "zstd", true},
		{"/chunked", "br", "br", true},
		{"/error", "gzip", "gzip", true},
		{"/empty", "gzip", "gzip", true},
		{"/small", "gzip", "", false},
		{"/picture", "gzip", "", false},
		{"/untyped", "gzip", "", false},
		{"/almost", "gzip", "", false},
		{"/asked", "gzip", "", false},
		{"/digest", "gzip", "", false},
		{"/encoded", "gzip", "x-own", false},
		{"/identity", "gzip", "identity", false},
		{"/partly", "gzip", "", false},
	}
	testkit.Each(t, func(t *testing.T, s testkit.Setup) {
		app := testkit.Serve(t, testkit.Paths(server))
		p := testkit.Start(t, s, fmt.Sprintf(compressing, "", app.Addr))
		c := testkit.Dial(t, p.Addr)
		for _, tt := range tests {
			var fields []string
			if tt.accepts != "" {
				fields = []string{"Accept-Encoding: " + tt.accepts}
			}
			c.Send(getOf(tt.path, fields...))
			r := c.Read("GET")
			coding := r.Header.Get("Content-Encoding")
			varies := strings.Contains(strings.ToLower(strings.Join(r.Header.Values("Vary"), ", ")), "accept-encoding")
			if coding != tt.want || varies != tt.varies || len(r.Header.Values("Vary")) > 1 {
				t.Errorf("%s with %q has Content-Encoding %q, Vary %q, want %q, %v", tt.path, tt.accepts, coding, r.Header.Values("Vary"), tt.want, tt.varies)
			}
			want := map[string]string{"/large": large, "/small": "small", "/empty": ""}
			body := text
			if b, ok := want[tt.path]; ok {
				body = b
			}
			if coding == "x-own" || coding == "identity" {
				coding = ""
			}
			if got := decoded(t, r.Body, coding); got != body || r.Err != nil {
				t.Errorf("%s in %q has %d bytes (%v), want %d", tt.path, coding, len(got), r.Err, len(body))
			}
			if coding != "" && len(body) > 0 && len(r.Body) > len(body)/5 {
				t.Errorf("%s in %s has still %d of %d bytes", tt.path, coding, len(r.Body), len(body))
			}
			tag := map[string]string{"/text": `"v1"`, "/weak": `W/"v1"`}[tt.path]
			if tt.want != "" && tag != "" {
				tag = `W/"v1"`
			}
			if ranges := r.Header.Get("Accept-Ranges"); r.Header.Get("ETag") != tag || (ranges != "") != (tt.path == "/text" && tt.want == "") {
				t.Errorf("%s in %q has the tag %q, Accept-Ranges %q, want %q", tt.path, coding, r.Header.Get("ETag"), ranges, tag)
			}
			if tt.path == "/chunked" && r.Trailer.Get("X-Sum") != "7" {
				t.Errorf("the trailers are %v", r.Trailer)
			}
		}
		c.Send(getOf("/same", "Accept-Encoding: gzip", `If-None-Match: W/"v1"`))
		if r := c.Read("GET"); r.StatusCode != 304 || r.Header.Get("ETag") != `W/"v1"` || r.Header.Get("Content-Encoding") != "" || r.Header.Get("Vary") == "" {
			t.Errorf("a 304 has %v", r.Header)
		}
		c.Send(getOf("/same", "Accept-Encoding: gzip", `If-None-Match: "v1"`))
		if r := c.Read("GET"); r.StatusCode != 304 || r.Header.Get("ETag") != `"v1"` {
			t.Errorf("a 304 about a body that was not compressed has %v", r.Header)
		}
		c.Send("HEAD /head HTTP/1.1\r\nHost: a\r\nAccept-Encoding: gzip\r\n\r\n")
		if r := c.Read("HEAD"); r.Header.Get("Content-Encoding") != "gzip" || r.Header.Get("Content-Length") != "" || r.Header.Get("Vary") != "Accept-Encoding" {
			t.Errorf("the answer to HEAD has %v", r.Header)
		}
		c.Send(getOf("/text", "Accept-Encoding: gzip", "Cache-Control: no-transform"))
		if r := c.Read("GET"); r.Header.Get("Content-Encoding") != "" || r.Header.Get("Vary") == "" || r.Body != text {
			t.Errorf("with no-transform in the request the answer has %v", r.Header)
		}
		if !s.HTTP2 {
			old := testkit.Dial(t, p.Addr)
			old.Send("GET /text HTTP/1.0\r\nHost: a\r\nAccept-Encoding: gzip\r\n\r\n")
			if r := old.Read("GET"); r.Header.Get("Content-Encoding") != "" || r.Body != text {
				t.Errorf("over HTTP/1.0 the answer has %v", r.Header)
			}
		}
	})
}

// TestCompressLive: a server that says a little from time to time is heard at once, and not once it has said much.
func TestCompressLive(t *testing.T) {
	t.Parallel()
	testkit.Each(t, func(t *testing.T, s testkit.Setup) {
		for _, coding := range []string{"gzip", "br", "zstd"} {
			heard := make(chan struct{}, 1)
			app := testkit.Serve(t, always(func(p *testkit.Peer, _ string) bool {
				_ = p.Send("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n")
				for i := range 5 {
					_ = p.Send(fmt.Sprintf("8\r\nevent %d\n\r\n", i))
					if _, ok := <-heard; !ok {
						return false
					}
				}
				return p.Send("0\r\n\r\n") == nil
			}))
			p := testkit.Start(t, s, fmt.Sprintf(compressing, "encodings: "+coding, app.Addr))
			c := testkit.Dial(t, p.Addr)
			c.Send(getOf("/", "Accept-Encoding: "+coding))
			resp, err := http.ReadResponse(c.R, nil)
			if err != nil {
				t.Fatal(err)
			}
			r, err := decoder(resp.Body, resp.Header.Get("Content-Encoding"))
			if err != nil {
				t.Fatal(err)
			}
			for i := range 5 {
				var b [8]byte
				if _, err := io.ReadFull(r, b[:]); err != nil || string(b[:]) != fmt.Sprintf("event %d\n", i) {
					t.Errorf("in %s event %d is %q (%v)", coding, i, b, err)
					break
				}
				heard <- struct{}{}
			}
			close(heard)
		}
	})
}

// TestCompressLimit: beyond the limit an answer stays as it is, and until somebody is through.
func TestCompressLimit(t *testing.T) {
	t.Parallel()
	text := prose(30_000)
	testkit.Each(t, func(t *testing.T, s testkit.Setup) {
		if s.Loops != 1 {
			t.Skip("each loop has a limit of its own")
		}
		release := make(chan struct{})
		app := testkit.Serve(t, testkit.Paths(scripts{
			"/held": func(p *testkit.Peer, _ string) bool {
				_ = p.Send("HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 30000\r\n\r\n" + text[:20_000])
				<-release
				return p.Send(text[20_000:]) == nil
			},
			"/text": testkit.Reply(answerWith(text, "Content-Type: text/plain")),
		}))
		p := testkit.Start(t, s, fmt.Sprintf(compressing, "", app.Addr)+"limits: { compressions: 1 }\n")
		held, c := testkit.Dial(t, p.Addr), testkit.Dial(t, p.Addr)
		held.Send(getOf("/held", "Accept-Encoding: gzip"))
		if _, err := held.R.Peek(1); err != nil {
			t.Fatal(err)
		}
		ask := func(coding string) {
			t.Helper()
			c.Send(getOf("/text", "Accept-Encoding: gzip"))
			r := c.Read("GET")
			if r.Header.Get("Content-Encoding") != coding || r.Header.Get("Vary") != "Accept-Encoding" || decoded(t, r.Body, coding) != text {
				t.Errorf("an answer has %d bytes and %v, want the coding %q", len(r.Body), r.Header, coding)
			}
		}
		ask("")
		close(release)
		if r := held.Read("GET"); r.Err != nil || decoded(t, r.Body, "gzip") != text {
			t.Errorf("the answer that was compressed has %d bytes (%v)", len(r.Body), r.Err)
		}
		ask("gzip")
	})
}

// TestCompressBroken: an answer that breaks off is no whole body in its coding either.
func TestCompressBroken(t *testing.T) {
	t.Parallel()
	testkit.Each(t, func(t *testing.T, s testkit.Setup) {
		app := testkit.Serve(t, testkit.Paths(scripts{
			"/cut":  testkit.ReplyAndClose("HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 100000\r\n\r\n" + prose(50_000)),
			"/next": testkit.Reply(answerWith("ok", "Content-Type: text/plain")),
		}))
		p := testkit.Start(t, s, fmt.Sprintf(compressing, "", app.Addr)+"limits: { compressions: 1 }\n")
		for range 3 { // each gives back what it has taken
			c := testkit.Dial(t, p.Addr)
			c.Send(getOf("/cut", "Accept-Encoding: gzip"))
			r := c.Read("GET")
			whole := false
			if d, err := gzip.NewReader(strings.NewReader(r.Body)); err == nil {
				_, err = io.Copy(io.Discard, d)
				whole = err == nil
			}
			if r.Err == nil || whole || r.Header.Get("Content-Encoding") != "gzip" {
				t.Errorf("of an answer that is cut the end is %v, whole %v, coding %q", r.Err, whole, r.Header.Get("Content-Encoding"))
			}
		}
		wantOpen(t, testkit.Dial(t, p.Addr))
	})
}

// TestRS13PassesBombs: what is compressed already goes through as it is, in both directions: nobody unpacks it, and nobody compresses it once more.
func TestRS13PassesBombs(t *testing.T) {
	t.Parallel()
	var bomb bytes.Buffer
	w, _ := gzip.NewWriterLevel(&bomb, gzip.BestCompression)
	_, _ = w.Write(make([]byte, 10<<20))
	_ = w.Close()
	testkit.Each(t, func(t *testing.T, s testkit.Setup) {
		var got []string
		app := testkit.Serve(t, always(func(p *testkit.Peer, head string) bool {
			r, err := p.BodyOf(head)
			if err != nil {
				return false
			}
			got = append(got, r.Header.Get("Content-Encoding"), r.Body)
			return p.Send(answerWith(bomb.String(), "Content-Type: text/plain", "Content-Encoding: gzip")) == nil
		}))
		p := testkit.Start(t, s, fmt.Sprintf(compressing, "", app.Addr))
		c := testkit.Dial(t, p.Addr)
		c.Send(fmt.Sprintf("POST / HTTP/1.1\r\nHost: a\r\nContent-Encoding: gzip, gzip\r\nAccept-Encoding: br\r\nContent-Length: %d\r\n\r\n%s", bomb.Len(), bomb.String()))
		r := c.Read("POST")
		if r.Header.Get("Content-Encoding") != "gzip" || r.Body != bomb.String() || r.ContentLength != int64(bomb.Len()) {
			t.Errorf("of the answer's %d bytes in gzip %d are left, in %q", bomb.Len(), len(r.Body), r.Header.Get("Content-Encoding"))
		}
		if len(got) != 2 || got[0] != "gzip, gzip" || got[1] != bomb.String() {
			t.Errorf("of the request's body %d bytes came", len(strings.Join(got[1:], "")))
		}
	})
}

package h1

import (
	"math"
	"strings"
	"testing"

	"poise/internal/msg"
)

func TestSM1LengthAndTransferEncoding(t *testing.T) {
	checkHeads(t, []headCase{
		{"CL.TE", post("Content-Length: 5", "Transfer-Encoding: chunked"), 400},
		{"TE.CL", post("Transfer-Encoding: chunked", "Content-Length: 5"), 400},
		{"CL 0", post("Transfer-Encoding: chunked", "Content-Length: 0"), 400},
		{"any case", post("tRANSFER-eNCODING: CHUNKED", "cONTENT-lENGTH: 5"), 400},
		{"far apart", post("content-length: 5", "A: b", "C: d", "transfer-encoding: chunked"), 400},
	})
}

func TestSM2SM3ContentLengthTwice(t *testing.T) {
	checkHeads(t, []headCase{
		{"two values", post("Content-Length: 5", "Content-Length: 6"), 400},
		{"list of two values", post("Content-Length: 5, 6"), 400},
		{"same value", post("Content-Length: 5", "Content-Length: 5"), 400},
		{"list of the same", post("Content-Length: 5, 5"), 400},
		{"list with an empty element", post("Content-Length: 5,"), 400},
		{"two zeros", post("Content-Length: 0", "content-length: 0"), 400},
	})
}

func TestSM4ContentLengthSyntax(t *testing.T) {
	bad := []string{
		"", "+5", "-5", "-0", "0x5", "5_0", "5.0", "5e0", "5 0", "5\t0", "٥", "9223372036854775808", "18446744073709551621",
		strings.Repeat("9", 400), "5;", "\"5\"", "five", "\xa05", "5\x85",
	}
	cases := make([]headCase, 0, len(bad))
	for _, v := range bad {
		cases = append(cases, headCase{"value " + v, post("Content-Length: " + v), 400})
	}
	checkHeads(t, cases)
	for value, want := range map[string]int64{
		"0": 0, "5": 5, "  5\t ": 5, "9223372036854775807": math.MaxInt64, "1000000000000000000": 1e18,
	} {
		if r := mustParse(t, post("Content-Length:"+value)); r.Length != want || !r.HasLength {
			t.Errorf("Content-Length %q: Length, HasLength = %d, %t, want %d, true", value, r.Length, r.HasLength, want)
		}
	}
}

func TestSM5ContentLengthLeadingZeros(t *testing.T) {
	checkHeads(t, []headCase{
		{"octal", post("Content-Length: 010"), 400},
		{"padded", post("Content-Length: 00000000005"), 400},
		{"two zeros", post("Content-Length: 00"), 400},
	})
}

func TestSM6TransferEncodingValue(t *testing.T) {
	for value, status := range map[string]int{
		"chunked, chunked": 400, "gzip, chunked": 400, "chunked, gzip": 400, ",chunked": 400, "chunked,": 400, "": 400,
		`"chunked"`: 400, "chunked;x=1": 400, "=?utf-8?Q?chunked?=": 400, "chunked chunked": 400, "'chunked": 501,
		"identity": 501, "xchunked": 501, "gzip": 501, "chunke": 501, "chunkedd": 501,
		"chunked": 0, "Chunked": 0, "CHUNKED": 0, " chunked\t": 0,
	} {
		checkHeads(t, []headCase{{"value " + value, post("Transfer-Encoding: " + value), status}})
	}
	checkHeads(t, []headCase{
		{"two lines", post("Transfer-Encoding: chunked", "Transfer-Encoding: chunked"), 400},
		{"a known and an unknown", post("Transfer-Encoding: chunked", "Transfer-Encoding: identity"), 400},
	})
	if r := mustParse(t, post("Transfer-Encoding: cHunked")); r.Length != msg.Chunked || r.HasLength {
		t.Errorf("Length, HasLength = %d, %t, want Chunked, false", r.Length, r.HasLength)
	}
}

func TestSM7TransferEncodingObfuscated(t *testing.T) {
	var cases []headCase
	for _, c := range []string{" ", "\t", "\v", "\f", "\x00", "\x85", "\xa0", "\xad", "\xff", "\x7f", "\\"} {
		cases = append(
			cases,
			headCase{"before the name " + c, post(c + "Transfer-Encoding: chunked"), 400},
			headCase{"after the name " + c, post("Transfer-Encoding" + c + ": chunked"), 400},
			headCase{"in the name " + c, post("Transfer" + c + "Encoding: chunked"), 400},
		)
		if c == " " || c == "\t" {
			continue // optional white space around values has one reading
		}
		cases = append(
			cases,
			headCase{"before the value " + c, post("Transfer-Encoding: " + c + "chunked"), 400},
			headCase{"after the value " + c, post("Transfer-Encoding: chunked" + c), 400},
		)
	}
	for _, name := range []string{"Transfer\\-Encoding", "Tr\u00e4nsfer-Encoding", "Tran\u017ffer-Encoding", "Transfer Encoding"} {
		cases = append(cases, headCase{name, post(name + ": chunked"), 400})
	}
	cases = append(
		cases,
		headCase{"long s in the value", post("Transfer-Encoding: chunked\u017f"), 400},
		headCase{"Kelvin sign in the value", post("Transfer-Encoding: chun\u212aed"), 400},
	)
	checkHeads(t, cases)

	r := mustParse(t, post("Transfer_Encoding: chunked", "Content_Length: 5"))
	if r.Length != 0 || r.Fields[1].ID != msg.Other || !r.Fields[1].HasUnderscore() {
		t.Errorf("names with an underscore frame the body: Length %d, fields %v", r.Length, r.Fields)
	}
}

func TestSM18TransferEncodingInHTTP10(t *testing.T) {
	checkHeads(t, []headCase{
		{"chunked", "POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n", 400},
		{"keep-alive", "POST / HTTP/1.0\r\nConnection: keep-alive\r\nTransfer-Encoding: chunked\r\n\r\n", 400},
		{"and a length", "POST / HTTP/1.0\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n", 400},
	})
}

func TestSM19BodyWithAnyMethod(t *testing.T) {
	for _, method := range []string{"GET", "HEAD", "OPTIONS", "DELETE", "POST"} {
		r := mustParse(t, method+" / HTTP/1.1\r\nHost: a\r\nContent-Length: 7\r\n\r\n")
		if r.Length != 7 {
			t.Errorf("%s with a length: Length = %d, want 7", method, r.Length)
		}
		r = mustParse(t, method+" / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n")
		if r.Length != msg.Chunked {
			t.Errorf("%s with chunks: Length = %d, want Chunked", method, r.Length)
		}
	}
	checkHeads(t, []headCase{
		{"CONNECT", "CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\n\r\n", 501},
		{"CONNECT with a body", "CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\nContent-Length: 7\r\n\r\n", 501},
	})
}

func TestRS6Expectation(t *testing.T) {
	checkHeads(t, []headCase{
		{"unknown", post("Expect: 200-ok"), 417},
		{"empty", post("Expect:"), 417},
		{"list", post("Expect: 100-continue, x"), 417},
		{"parameter", post("Expect: 100-continue;q=1"), 417},
		{"unknown in HTTP/1.0", "POST / HTTP/1.0\r\nExpect: x\r\n\r\n", 0},
	})
	if r := mustParse(t, post("Expect: 100-Continue")); !r.Expect100 {
		t.Error("Expect100 = false, want true")
	}
	if r := mustParse(t, "POST / HTTP/1.0\r\nExpect: 100-continue\r\n\r\n"); r.Expect100 {
		t.Error("Expect100 of HTTP/1.0 = true, want false")
	}
}

func TestKeepAlive(t *testing.T) {
	for _, c := range []struct {
		version, connection string
		want                bool
	}{
		{"1.1", "", true},
		{"1.1", "Connection: close\r\n", false},
		{"1.1", "Connection: keep-alive, CLOSE\r\n", false},
		{"1.1", "Connection: foo\r\nConnection: , close ,\r\n", false},
		{"1.1", "Connection: closed\r\n", true},
		{"1.0", "", false},
		{"1.0", "Connection: Keep-Alive\r\n", true},
		{"1.0", "Connection: keep-alive, close\r\n", false},
		{"1.0", "Proxy-Connection: keep-alive\r\n", false},
	} {
		r := mustParse(t, "GET / HTTP/"+c.version+"\r\nHost: a\r\n"+c.connection+"\r\n")
		if r.KeepAlive != c.want {
			t.Errorf("HTTP/%s %q: KeepAlive = %t, want %t", c.version, c.connection, r.KeepAlive, c.want)
		}
	}
}

func TestConnectionOptions(t *testing.T) {
	r := mustParse(t, get("Connection: X-A , ,close", "Connection:", "Connection: Upgrade"))
	var got []string
	for _, o := range r.Connection {
		got = append(got, string(o))
	}
	if s := strings.Join(got, "|"); s != "x-a|close|upgrade" {
		t.Errorf("Connection = %s, want x-a|close|upgrade", s)
	}
	checkHeads(t, []headCase{
		{"no token", get("Connection: a b"), 400},
		{"quoted", get(`Connection: "close"`), 400},
		{"obs-text", get("Connection: clos\xe9"), 400},
		{"as many as fields", get("Connection: " + strings.Repeat("a,", 99) + "a"), 0},
		{"too many", get("Connection: " + strings.Repeat("a,", 100) + "a"), 431},
		{"too many empty ones", get("Connection: " + strings.Repeat(",", 100)), 431},
		{"too many in two", get("Connection: "+strings.Repeat("a,", 60)+"a", "Connection: "+strings.Repeat("a,", 60)+"a"), 431},
	})
}

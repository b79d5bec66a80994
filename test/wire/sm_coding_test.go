package wire

import (
	"strings"
	"testing"

	"poise/internal/testkit"
)

const chunkedHello = "5\r\nhello\r\n0\r\n\r\n"

func TestSM6TransferEncoding(t *testing.T) {
	t.Parallel()
	refuse(t, []attack{
		{"chunked twice", post(chunkedHello, "Transfer-Encoding: chunked, chunked"), 0},
		{"gzip, chunked", post(chunkedHello, "Transfer-Encoding: gzip, chunked"), 0},
		{"chunked, gzip", post(chunkedHello, "Transfer-Encoding: chunked, gzip"), 0},
		{"chunked, identity", post(chunkedHello, "Transfer-Encoding: chunked, identity"), 0},
		{"identity, chunked", post(chunkedHello, "Transfer-Encoding: identity, chunked"), 0},
		{"identity", post(chunkedHello, "Transfer-Encoding: identity"), 501},
		{"gzip", post(chunkedHello, "Transfer-Encoding: gzip"), 501},
		{"xchunked", post(chunkedHello, "Transfer-Encoding: xchunked"), 501},
		{"chunkedx", post(chunkedHello, "Transfer-Encoding: chunkedx"), 501},
		{"comma before", post(chunkedHello, "Transfer-Encoding: ,chunked"), 0},
		{"comma behind", post(chunkedHello, "Transfer-Encoding: chunked,"), 0},
		{"comma alone", post(chunkedHello, "Transfer-Encoding: ,"), 0},
		{"empty", post(chunkedHello, "Transfer-Encoding:"), 0},
		{"space alone", post(chunkedHello, "Transfer-Encoding:  \t "), 0},
		{"quoted", post(chunkedHello, `Transfer-Encoding: "chunked"`), 0},
		{"single quotes", post(chunkedHello, `Transfer-Encoding: 'chunked'`), 501},
		{"parameter", post(chunkedHello, "Transfer-Encoding: chunked;x=1"), 0},
		{"parameter without value", post(chunkedHello, "Transfer-Encoding: chunked;"), 0},
		{"RFC 2047", post(chunkedHello, "Transfer-Encoding: =?iso-8859-1?B?Y2h1bmtlZA==?="), 0},
		{"two lines", post(chunkedHello, "Transfer-Encoding: chunked", "Transfer-Encoding: chunked"), 0},
		{"two lines, the last unknown", post(chunkedHello, "Transfer-Encoding: chunked", "Transfer-Encoding: x"), 0},
		{"two lines, the first unknown", post(chunkedHello, "Transfer-Encoding: x", "Transfer-Encoding: chunked"), 501},
		{"two lines, the last empty", post(chunkedHello, "Transfer-Encoding: chunked", "Transfer-Encoding:"), 0},
		{"space within", post(chunkedHello, "Transfer-Encoding: chun ked"), 0},
		{"q-value", post(chunkedHello, "Transfer-Encoding: chunked;q=0.5"), 0},
	})
}

// Names and values that some reader takes for "Transfer-Encoding: chunked".
func TestSM7ObscuredTransferEncoding(t *testing.T) {
	t.Parallel()
	var attacks []attack
	add := func(name, line string) {
		attacks = append(attacks, attack{name, post(chunkedHello+second, "Content-Length: 5", line), 0})
		attacks = append(attacks, attack{name + ", alone", post(chunkedHello+second, line), 0})
	}
	for name, c := range map[string]string{
		"space": " ", "tab": "\t", "vertical tab": "\v", "form feed": "\f", "NUL": "\x00", "NEL": "\x85", "no-break space": "\xa0", "soft hyphen": "\xad",
		"0xff": "\xff", "backspace": "\b", "DEL": "\x7f", "bare CR": "\r", "bare LF": "\n", "byte order mark": "\ufeff", "zero-width space": "\u200b",
	} {
		add(name+" before the name", c+"Transfer-Encoding: chunked")
		add(name+" before the colon", "Transfer-Encoding"+c+": chunked")
		add(name+" within the name", "Transfer"+c+"-Encoding: chunked")
		if c == " " || c == "\t" || c == "\r" { // white space that a value may have around it, and the beginning of a line's end
			continue
		}
		add(name+" before the value", "Transfer-Encoding: "+c+"chunked")
		add(name+" after the colon", "Transfer-Encoding:"+c+"chunked")
		add(name+" behind the value", "Transfer-Encoding: chunked"+c)
	}
	for name, line := range map[string]string{
		"CR after the colon": "Transfer-Encoding:\rchunked", "CR before the end": "Transfer-Encoding: chunked\r",
		"space for dash": "Transfer Encoding: chunked", "backslash": `Transfer\-Encoding: chunked`, "accented": "Tränsfer-Encoding: chunked",
		"long s": "Tranſfer-Encoding: chunked", "no colon": "Transfer-Encoding chunked", "two colons": "Transfer-Encoding:: chunked", "quoted name": `"Transfer-Encoding": chunked`,
		"bracketed": "(Transfer-Encoding): chunked", "equals": "Transfer-Encoding= chunked", "name ends in LF": "Transfer-Encoding\n : chunked",
		"folded value": "Transfer-Encoding:\r\n chunked", "folded name": "Transfer-\r\n Encoding: chunked", "behind a bare CR": "X: a\rTransfer-Encoding: chunked",
		"behind a bare LF": "X: a\nTransfer-Encoding: chunked", "Kelvin sign in the name": "X-\u212a: a", "fullwidth hyphen": "Transfer－Encoding: chunked",
		"behind LF CR": "X: a\n\rTransfer-Encoding: chunked", "behind two CRs": "X: a\r\r\nTransfer-Encoding: chunked",
	} {
		add(name, line)
	}
	refuse(t, attacks)
}

// Values of a real Transfer-Encoding that fold to "chunked" only outside ASCII are unknown or malformed codings.
func TestSM7FoldingBeyondASCII(t *testing.T) {
	t.Parallel()
	refuse(t, []attack{
		{"Kelvin sign", post(chunkedHello, "Transfer-Encoding: chun\u212aed"), 0},
		{"dotless", post(chunkedHello, "Transfer-Encoding: chunĸed"), 0},
		{"fullwidth", post(chunkedHello, "Transfer-Encoding: ｃhunked"), 0},
	})
}

// A name that only looks alike after "_" became "-" is dropped, and the request goes by its real framing.
func TestSM7UnderscoreIsDropped(t *testing.T) {
	t.Parallel()
	testkit.Each(t, func(t *testing.T, s testkit.Setup) {
		server := serveReader(t, ok)
		c := testkit.Dial(t, short(t, s, server.Server).Addr)
		for i, line := range []string{"Transfer_Encoding: chunked", "transfer_encoding: gzip", "Content_Length: 3", "X-Transfer_Encoding: chunked"} {
			c.Send(post("hello", "Content-Length: 5", line))
			if r := c.Read("POST"); r.StatusCode != 200 {
				t.Fatalf("%s: status %d, want 200", line, r.StatusCode)
			}
			f := server.requests(t, i+1)[i]
			if f.body != "hello" || !f.whole || len(f.all("Content-Length")) != 1 {
				t.Errorf("%s: body %q, want hello", line, f.body)
			}
			if all := strings.Join(f.fields, "\n"); strings.Contains(all, "_") {
				t.Errorf("%s: forwarded fields\n%s\nhave an underscore", line, all)
			}
		}
	})
}

// What is right in spite of its looks is forwarded in the one canonical form.
func TestSM7WhiteSpaceAroundAValue(t *testing.T) {
	t.Parallel()
	testkit.Each(t, func(t *testing.T, s testkit.Setup) {
		server := serveReader(t, ok)
		c := testkit.Dial(t, short(t, s, server.Server).Addr)
		for i, line := range []string{
			"Transfer-Encoding:chunked", "Transfer-Encoding: \t chunked", "Transfer-Encoding: chunked \t ", "transfer-encoding: CHUNKED", "TRANSFER-ENCODING: Chunked",
		} {
			c.Send(post(chunkedHello, line))
			if r := c.Read("POST"); r.StatusCode != 200 {
				t.Fatalf("%s: status %d, want 200", line, r.StatusCode)
			}
			f := server.requests(t, i+1)[i]
			if v := f.all("Transfer-Encoding"); f.body != "hello" || !s.HTTP2 && (len(v) != 1 || v[0] != "chunked") {
				t.Errorf("%s: body %q, Transfer-Encoding %q, want hello, chunked", line, f.body, v)
			}
		}
	})
}

func TestSM18CodingInHTTP10(t *testing.T) {
	t.Parallel()
	refuse(t, []attack{
		{"chunked", "POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n" + chunkedHello, 0},
		{"without Host", "POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n" + chunkedHello, 0},
		{"kept alive", "POST / HTTP/1.0\r\nConnection: keep-alive\r\nTransfer-Encoding: chunked\r\n\r\n" + chunkedHello + second, 0},
		{"with a length", "POST / HTTP/1.0\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n" + chunkedHello, 0},
		{"unknown coding", "POST / HTTP/1.0\r\nTransfer-Encoding: gzip\r\n\r\n" + chunkedHello, 501},
	})
}

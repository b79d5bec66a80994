package h1

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"poise/internal/msg"
)

func TestFields(t *testing.T) {
	r := mustParse(t, "GET / HTTP/1.1\r\nhost: a\r\nX-Empty:\r\nX-Blank: \t \r\nX-Tab:\ta\tb\t\r\n!#$%&'*+-.^_`|~9: \xe9\r\nCOOKIE:c=\"d;e\"\r\n\r\n")
	got := make([][2]string, 0, len(r.Fields))
	for _, f := range r.Fields {
		got = append(got, [2]string{string(f.Name), string(f.Value)})
	}
	want := [][2]string{
		{"host", "a"}, {"X-Empty", ""}, {"X-Blank", ""}, {"X-Tab", "a\tb"}, {"!#$%&'*+-.^_`|~9", "\xe9"}, {"COOKIE", `c="d;e"`},
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("fields (-want +got):\n%s", d)
	}
	if r.Fields[0].ID != msg.Host || r.Fields[5].ID != msg.Cookie || r.Fields[1].ID != msg.Other {
		t.Errorf("IDs = %v %v %v, want host, cookie and none", r.Fields[0].ID, r.Fields[5].ID, r.Fields[1].ID)
	}
}

func TestSM8SM9Folding(t *testing.T) {
	checkHeads(t, []headCase{
		{"SP", get("A: b", " c"), 400},
		{"TAB", get("A: b", "\tc"), 400},
		{"a blank line that is none", get("A: b", " "), 400},
		{"before the first field, SP", "GET / HTTP/1.1\r\n Host: a\r\n\r\n", 400},
		{"before the first field, TAB", "GET / HTTP/1.1\r\n\tX: y\r\nHost: a\r\n\r\n", 400},
		{"before the first field, empty", "GET / HTTP/1.1\r\n \r\nHost: a\r\n\r\n", 400},
		{"with bare LF", get("A: b\n c"), 400},
		{"with bare CR", get("A: b\r c"), 400},
		{"transfer-encoding", post("Transfer-Encoding:", " chunked"), 400},
	})
}

func TestSM10BareLF(t *testing.T) {
	checkHeads(t, []headCase{
		{"start line", "GET / HTTP/1.1\nHost: a\r\n\r\n", 400},
		{"field", "GET / HTTP/1.1\r\nHost: a\n\r\n", 400},
		{"last line", "GET / HTTP/1.1\r\nHost: a\r\n\n", 400},
		{"everywhere", "GET / HTTP/1.1\nHost: a\n\n", 400},
		{"before the start line", "\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", 400},
		{"in a name", get("Transfer\n-Encoding: chunked"), 400},
		{"after LF CR", "GET / HTTP/1.1\r\nHost: a\r\nX: y\n\r\r\n\r\n", 400},
	})
}

func TestSM11BareCR(t *testing.T) {
	checkHeads(t, []headCase{
		{"in a value", get("X: a\rTransfer-Encoding: chunked"), 400},
		{"at a value's end", get("X: a\r"), 400},
		{"at a line's start", get("A: b", "\rX: y"), 400},
		{"for the last line", "GET / HTTP/1.1\r\nHost: a\r\n\rX", 400},
		{"start line", "GET / HTTP/1.1\rHost: a\r\n\r\n", 400},
		{"in the version", "GET / HTTP/1.1\r\r\nHost: a\r\n\r\n", 400},
		{"in the target", "GET /\ra HTTP/1.1\r\nHost: a\r\n\r\n", 400},
		{"before the start line", "\rGET / HTTP/1.1\r\nHost: a\r\n\r\n", 400},
		{"in a name", get("X\rY: a"), 400},
	})
}

func TestSM12ControlCharacters(t *testing.T) {
	var cases []headCase
	for c := range 0x80 {
		if c >= 0x20 && c < 0x7f {
			continue
		}
		s := string(rune(c))
		name := fmt.Sprintf("%#02x ", c)
		cases = append(
			cases,
			headCase{name + "in a name", get("X" + s + "Y: z"), 400},
			headCase{name + "in the target", "GET /a" + s + "b HTTP/1.1\r\nHost: a\r\n\r\n", 400},
			headCase{name + "in the query", "GET /?a" + s + "b HTTP/1.1\r\nHost: a\r\n\r\n", 400},
			headCase{name + "in the method", "G" + s + "T / HTTP/1.1\r\nHost: a\r\n\r\n", 400},
			headCase{name + "in the host", "GET / HTTP/1.1\r\nHost: a" + s + "b\r\n\r\n", 400},
		)
		if c != '\t' {
			cases = append(
				cases,
				headCase{name + "in a value", get("X: y" + s + "z"), 400},
				headCase{name + "in a long value", get("X: 0123456789abcdef" + s + "0123456789"), 400},
				headCase{name + "at a value's end", get("X: y" + s), 400},
			)
		}
	}
	checkHeads(t, cases)
}

func TestSM13FieldNames(t *testing.T) {
	cases := []headCase{
		{"empty", get(": x"), 400},
		{"only a colon", get(":"), 400},
		{"no colon", get("X"), 400},
		{"no colon, a space", get("X y"), 400},
		{"space before the colon", get("X : y"), 400},
		{"tab before the colon", get("X\t: y"), 400},
		{"obs-text", get("X\xe9: y"), 400},
	}
	for _, c := range "()[]{}\"/\\@,;<=>?" {
		cases = append(cases, headCase{"with " + string(c), get("X" + string(c) + "Y: z"), 400})
	}
	checkHeads(t, cases)
}

func TestRX4HeadLimits(t *testing.T) {
	long := strings.Repeat("a", 64<<10)
	manyFields := strings.Repeat("a: b\r\n", 99)
	checkHeads(t, []headCase{
		{"64 KiB target", "GET /" + long + " HTTP/1.1\r\nHost: a\r\n\r\n", 414},
		{"32 KiB target", "GET /" + long[:DefaultTarget-1] + " HTTP/1.1\r\nHost: a\r\n\r\n", 0},
		{"a byte more", "GET /" + long[:DefaultTarget] + " HTTP/1.1\r\nHost: a\r\n\r\n", 414},
		{"64 KiB method", long + " / HTTP/1.1\r\nHost: a\r\n\r\n", 501},
		{"64 KiB name", get(long + ": b"), 431},
		{"64 KiB value", get("A: " + long), 431},
		{"1 MiB value", get("A: " + strings.Repeat(long, 16)), 431},
		{"100 fields", "GET / HTTP/1.1\r\nHost: a\r\n" + manyFields + "\r\n", 0},
		{"101 fields", "GET / HTTP/1.1\r\nHost: a\r\nc: d\r\n" + manyFields + "\r\n", 431},
		{"10000 fields", get(strings.Repeat("a: b\r\n", 10000)), 431},
	})
	head := get("A: b")
	for _, c := range []struct {
		lim    Limits
		status int
	}{
		{Limits{Head: len(head)}, 0},
		{Limits{Head: len(head) - 1}, 431},
		{Limits{Head: 5}, 414},
		{Limits{Fields: 2}, 0},
		{Limits{Fields: 1}, 431},
		{Limits{Target: 1}, 0},
	} {
		var r msg.Request
		// What follows the head does not count towards it.
		_, err := ParseRequest(&r, []byte(head+"more"), &c.lim)
		if got := statusOf(t, err); got != c.status {
			t.Errorf("ParseRequest with %+v = status %d, want %d", c.lim, got, c.status)
		}
		if _, err := arrive(&r, head+"more", 1, &c.lim); statusOf(t, err) != c.status {
			t.Errorf("byte by byte with %+v: %v, want status %d", c.lim, err, c.status)
		}
	}
}

package wire

import (
	"strings"
	"testing"
)

func TestSM8FoldedLines(t *testing.T) {
	t.Parallel()
	refuse(t, []attack{
		{"space", get("A: b", " c"), 0},
		{"tab", get("A: b", "\tc"), 0},
		{"hides a coding", post(chunkedHello, "A: b", " Transfer-Encoding: chunked"), 0},
		{"hides a length", post("hello", "A: b", "\tContent-Length: 5"), 0},
		{"folded length", post("hello", "Content-Length:", " 5"), 0},
		{"folded Host", "GET / HTTP/1.1\r\nHost:\r\n example.test\r\n\r\n", 0},
		{"of white space alone", get("A: b", " "), 0},
		{"after the last field", "GET / HTTP/1.1\r\nHost: a\r\n \r\n\r\n", 0},
		{"behind a bare CR", get("A: b\r c: d"), 0},
		{"behind a bare LF", get("A: b\n c: d"), 0},
		{"in HTTP/1.0", "GET / HTTP/1.0\r\nA: b\r\n c\r\n\r\n", 0},
	})
}

func TestSM9FirstLineBeginsWithWhiteSpace(t *testing.T) {
	t.Parallel()
	refuse(t, []attack{
		{"space", "GET / HTTP/1.1\r\n Host: a\r\n\r\n", 0},
		{"tab", "GET / HTTP/1.1\r\n\tHost: a\r\n\r\n", 0},
		{"a line beside Host", "GET / HTTP/1.1\r\n X: y\r\nHost: a\r\n\r\n", 0},
		{"white space alone", "GET / HTTP/1.1\r\n \r\nHost: a\r\n\r\n", 0},
		{"hides a coding", "POST / HTTP/1.1\r\n Transfer-Encoding: chunked\r\nHost: a\r\nContent-Length: 5\r\n\r\n" + chunkedHello, 0},
		{"before the request line", " GET / HTTP/1.1\r\nHost: a\r\n\r\n", 0},
		{"tab before the request line", "\tGET / HTTP/1.1\r\nHost: a\r\n\r\n", 0},
		{"line of white space before the request line", " \r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", 0},
	})
}

func TestSM10BareLF(t *testing.T) {
	t.Parallel()
	refuse(t, []attack{
		{"everywhere", "GET / HTTP/1.1\nHost: a\n\n", 0},
		{"request line", "GET / HTTP/1.1\nHost: a\r\n\r\n", 0},
		{"field line", "GET / HTTP/1.1\r\nHost: a\nA: b\r\n\r\n", 0},
		{"last field line", "GET / HTTP/1.1\r\nHost: a\n\r\n", 0},
		{"empty line", "GET / HTTP/1.1\r\nHost: a\r\n\n", 0},
		{"hides a coding", post(chunkedHello, "A: b\nTransfer-Encoding: chunked"), 0},
		{"LF CR", "GET / HTTP/1.1\n\rHost: a\n\r\n\r", 0},
		{"within a name", get("A\nB: c"), 0},
		{"behind a name", get("A\n: c"), 0},
		{"before the request line", "\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", 0},
		{"hides a request", get("A: b\n\nGET /second HTTP/1.1\nHost: a"), 0},
	})
}

func TestSM11BareCR(t *testing.T) {
	t.Parallel()
	refuse(t, []attack{
		{"hides a coding", post(chunkedHello, "X: a\rTransfer-Encoding: chunked"), 0},
		{"before an empty line", "GET / HTTP/1.1\r\nHost: a\r\n\rX: y\r\n\r\n", 0},
		{"request line", "GET / HTTP/1.1\rHost: a\r\n\r\n", 0},
		{"everywhere", "GET / HTTP/1.1\rHost: a\r\r", 0},
		{"within a value", get("A: b\rc"), 0},
		{"at a value's start", get("A:\rb"), 0},
		{"at a value's end", get("A: b\r"), 0},
		{"within a name", get("A\rB: c"), 0},
		{"behind a name", get("A\r: c"), 0},
		{"at a line's start", get("\rA: b"), 0},
		{"in the target", "GET /\rx HTTP/1.1\r\nHost: a\r\n\r\n", 0},
		{"in the method", "GE\rT / HTTP/1.1\r\nHost: a\r\n\r\n", 0},
		{"behind the version", "GET / HTTP/1.1\r\r\nHost: a\r\n\r\n", 0},
		{"three of them", "GET / HTTP/1.1\r\nHost: a\r\n\r\r\n\r\n", 0},
	})
}

func TestSM12ControlCharacters(t *testing.T) {
	t.Parallel()
	var attacks []attack
	for name, c := range map[string]string{
		"NUL": "\x00", "SOH": "\x01", "BEL": "\a", "backspace": "\b", "vertical tab": "\v", "form feed": "\f", "ESC": "\x1b", "US": "\x1f", "DEL": "\x7f",
	} {
		attacks = append(attacks,
			attack{name + " in a value", get("A: b" + c + "c"), 0},
			attack{name + " before a value", get("A: " + c + "b"), 0},
			attack{name + " behind a value", get("A: b" + c), 0},
			attack{name + " in a name", get("A" + c + "B: c"), 0},
			attack{name + " before a name", get(c + "A: b"), 0},
			attack{name + " behind a name", get("A" + c + ": b"), 0},
			attack{name + " in the target", "GET /a" + c + "b HTTP/1.1\r\nHost: a\r\n\r\n", 0},
			attack{name + " in the query", "GET /a?b" + c + " HTTP/1.1\r\nHost: a\r\n\r\n", 0},
			attack{name + " in the method", "GE" + c + "T / HTTP/1.1\r\nHost: a\r\n\r\n", 0},
			attack{name + " in Host", "GET / HTTP/1.1\r\nHost: a" + c + "b\r\n\r\n", 0},
			attack{name + " in the version", "GET / HTTP/1.1" + c + "\r\nHost: a\r\n\r\n", 0})
	}
	attacks = append(attacks,
		attack{"tab in a name", get("A\tB: c"), 0},
		attack{"NUL in an unknown field after 60 others", get(strings.Repeat("A: b\r\n", 60) + "X: \x00"), 0})
	refuse(t, attacks)
}

func TestSM13FieldNames(t *testing.T) {
	t.Parallel()
	attacks := []attack{
		{"empty name", get(": x"), 0},
		{"empty name hides those behind", post(chunkedHello, ": x", "Transfer-Encoding: chunked"), 0},
		{"empty name and value", get(":"), 0},
		{"empty name in the first line", "GET / HTTP/1.1\r\n: x\r\nHost: a\r\n\r\n", 0},
		{"no colon", get("A"), 0},
		{"no colon but a value", get("A b"), 0},
		{"no colon in the last line", "GET / HTTP/1.1\r\nHost: a\r\nA\r\n\r\n", 0},
		{"space before the colon", get("A : b"), 0},
		{"space in the name", get("A B: c"), 0},
		{"a request line", get("GET /second HTTP/1.1"), 0},
		{"UTF-8", get("Ä: b"), 0},
		{"0x80", get("A\x80: b"), 0},
		{"0xff", get("\xff: b"), 0},
	}
	for _, c := range `()[]{}"/\@,;<=>?` {
		attacks = append(attacks, attack{string(c) + " in a name", get("A" + string(c) + "B: c"), 0}, attack{string(c) + " alone", get(string(c) + ": c"), 0})
	}
	refuse(t, attacks)
}

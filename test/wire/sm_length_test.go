package wire

import (
	"strings"
	"testing"
)

// RFC 9112 section 6.3: a body's length has one reading, or the request is refused.

func TestSM1LengthAndCoding(t *testing.T) {
	t.Parallel()
	const chunked = "0\r\n\r\n" + second
	refuse(t, []attack{
		{"length then coding", post(chunked, "Content-Length: 5", "Transfer-Encoding: chunked"), 0},
		{"coding then length", post(chunked, "Transfer-Encoding: chunked", "Content-Length: 5"), 0},
		{"the length covers what follows", post(chunked, "Content-Length: 60", "Transfer-Encoding: chunked"), 0},
		{"length of nothing", post(chunked, "Content-Length: 0", "Transfer-Encoding: chunked"), 0},
		{"other case", post(chunked, "cOnTeNt-LeNgTh: 5", "TRANSFER-ENCODING: CHUNKED"), 0},
		{"far apart", post(chunked, "Content-Length: 5", "A: b", "Accept: */*", "Transfer-Encoding: chunked"), 0},
		{"before Host", "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\nHost: a\r\n\r\n" + chunked, 0},
		{"in a GET", get("Content-Length: 5", "Transfer-Encoding: chunked") + chunked, 0},
		{"the coding named by Connection", post(chunked, "Content-Length: 5", "Connection: transfer-encoding", "Transfer-Encoding: chunked"), 0},
		{"a coding that is none", post(chunked, "Content-Length: 5", "Transfer-Encoding: identity"), 501},
		{"three of them", post(chunked, "Content-Length: 5", "Transfer-Encoding: chunked", "Content-Length: 5"), 0},
	})
}

func TestSM2DifferentLengths(t *testing.T) {
	t.Parallel()
	refuse(t, []attack{
		{"two fields", post("hello"+second, "Content-Length: 5", "Content-Length: 6"), 0},
		{"the small one last", post("hello"+second, "Content-Length: 50", "Content-Length: 5"), 0},
		{"list", post("hello"+second, "Content-Length: 5, 6"), 0},
		{"list without space", post("hello"+second, "Content-Length: 5,6"), 0},
		{"zero and more", post("hello"+second, "Content-Length: 0", "Content-Length: 5"), 0},
		{"other case", post("hello"+second, "Content-Length: 5", "CONTENT-LENGTH: 6"), 0},
		{"far apart", post("hello"+second, "Content-Length: 5", "A: b", "C: d", "Content-Length: 6"), 0},
		{"one is none", post("hello"+second, "Content-Length: 5", "Content-Length:"), 0},
	})
}

func TestSM3EqualLengths(t *testing.T) {
	t.Parallel()
	refuse(t, []attack{
		{"two fields", post("hello", "Content-Length: 5", "Content-Length: 5"), 0},
		{"list", post("hello", "Content-Length: 5, 5"), 0},
		{"list without space", post("hello", "Content-Length: 5,5"), 0},
		{"list with an empty element", post("hello", "Content-Length: 5,"), 0},
		{"list that begins empty", post("hello", "Content-Length: ,5"), 0},
		{"zeros", post("", "Content-Length: 0", "Content-Length: 0"), 0},
	})
}

func TestSM4LengthThatIsNoNumber(t *testing.T) {
	t.Parallel()
	var attacks []attack
	for name, v := range map[string]string{
		"empty": "", "space alone": "  ", "plus": "+5", "minus": "-5", "minus zero": "-0", "hexadecimal": "0x5", "hexadecimal digits": "a",
		"underscore": "5_0", "fraction": "5.0", "exponent": "5e0", "space within": "5 0", "tab within": "5\t0", "arabic digit": "٥", "fullwidth digit": "５",
		"two to the 63": "9223372036854775808", "two to the 64": "18446744073709551616", "two to the 64 and 5": "18446744073709551621",
		"400 digits": strings.Repeat("9", 400), "quoted": `"5"`, "parameter": "5;x=1", "word": "five", "comma": ",", "percent": "%35",
		"vertical tab before": "\v5", "form feed before": "\f5", "no-break space before": "\xa05", "NUL behind": "5\x00",
		"superscript": "²", "minus behind": "5-", "plus behind": "5+",
	} {
		attacks = append(attacks, attack{name, post("hello"+second, "Content-Length: "+v), 0}, attack{name + " in a GET", get("Content-Length: "+v) + "hello", 0})
	}
	refuse(t, attacks)
}

func TestSM5LeadingZeros(t *testing.T) {
	t.Parallel()
	refuse(t, []attack{
		{"octal", post("hellohello"+second, "Content-Length: 010"), 0},
		{"many", post("hello"+second, "Content-Length: 00000000005"), 0},
		{"two zeros", post(second, "Content-Length: 00"), 0},
		{"400 zeros", post("h"+second, "Content-Length: "+strings.Repeat("0", 400)+"1"), 0},
	})
}

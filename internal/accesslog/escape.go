package accesslog

import (
	"unicode"
	"unicode/utf8"
)

// plain are the bytes that stand for themselves inside a JSON string and on a terminal: printable ASCII but `"` and `\`.
var plain = func() (t [256]bool) {
	for c := ' '; c <= '~'; c++ {
		t[c] = c != '"' && c != '\\'
	}
	return t
}()

// appendText prints at most limit bytes of s as the inside of a JSON string. A decoder gets the same text back, with U+FFFD for
// each byte that is not UTF-8.
func appendText[T []byte | string](b []byte, s T, limit int) []byte {
	if len(s) > limit {
		return append(appendText(b, s[:limit], limit), "..."...)
	}
	i := 0
	for i < len(s) && plain[s[i]] {
		i++
	}
	b = append(b, s[:i]...)
	if i < len(s) {
		b = appendEscaped(b, s[i:])
	}
	return b
}

// appendEscaped escapes whatever could end the string or the line, or steer a terminal: C0 and C1 controls, line and
// paragraph separators, text direction marks.
func appendEscaped[T []byte | string](b []byte, s T) []byte {
	for i := 0; i < len(s); {
		c := s[i]
		switch {
		case plain[c]:
			b = append(b, c)
			i++
			continue
		case c == '"' || c == '\\':
			b = append(b, '\\', c)
			i++
			continue
		}
		r, n := utf8.DecodeRuneInString(string(s[i:min(i+utf8.UTFMax, len(s))]))
		switch {
		case r == utf8.RuneError && n == 1:
			b = append(b, `\ufffd`...)
		case unicode.IsPrint(r):
			b = append(b, s[i:i+n]...)
		case r > 0xffff:
			r -= 0x10000
			b = appendUnit(b, 0xd800|r>>10)
			b = appendUnit(b, 0xdc00|r&0x3ff)
		default:
			b = appendUnit(b, r)
		}
		i += n
	}
	return b
}

// appendUnit prints one UTF-16 unit as \uXXXX.
func appendUnit(b []byte, r rune) []byte {
	const hex = "0123456789abcdef"
	return append(b, '\\', 'u', hex[r>>12&15], hex[r>>8&15], hex[r>>4&15], hex[r&15])
}

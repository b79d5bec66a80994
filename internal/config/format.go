package config

import (
	"bufio"
	"fmt"
	"io"
	"strings"
	"unicode"
)

// maxQuoted is how many characters of a line are shown at most.
const maxQuoted = 120

// Format writes each problem for a person: file:line:col: message, the line, and a caret with the hint below the place.
func (p Problems) Format(w io.Writer, color bool) error {
	b := bufio.NewWriter(w)
	for _, x := range p {
		x.format(b, palette(color))
	}
	return b.Flush()
}

// colors are the terminal's sequences around the parts of a message.
type colors struct{ place, err, warning, hint, off string }

func palette(color bool) colors {
	if !color {
		return colors{}
	}
	return colors{place: "\x1b[1m", err: "\x1b[31m", warning: "\x1b[33m", hint: "\x1b[32m", off: "\x1b[0m"}
}

func (x Problem) format(w *bufio.Writer, c colors) {
	w.WriteString(c.place + printable(x.File))
	if x.Line > 0 {
		fmt.Fprintf(w, ":%d:%d", x.Line, x.Col)
	}
	w.WriteString(":" + c.off + " ")
	if x.Severity == Warning {
		w.WriteString(c.warning + "warning: " + c.off + printable(x.Message) + "\n")
	} else {
		w.WriteString(c.err + printable(x.Message) + c.off + "\n")
	}
	if strings.TrimSpace(x.Source) == "" {
		if x.Hint != "" {
			w.WriteString("      = " + c.hint + printable(x.Hint) + c.off + "\n")
		}
		return
	}
	line, pad := quote(x.Source, x.Col)
	fmt.Fprintf(w, "%5d | %s\n      | %s%s^", x.Line, line, pad, c.err)
	if x.Hint != "" {
		w.WriteString(c.off + " " + c.hint + printable(x.Hint))
	}
	w.WriteString(c.off + "\n")
}

// quote returns the part of a line around a column, and the white space that brings a caret below that column: tabs stay tabs, so
// that both lines are as wide on any terminal.
func quote(source string, col int) (line, pad string) {
	runes := []rune(strings.TrimRightFunc(source, unicode.IsSpace))
	at := min(max(col-1, 0), len(runes))
	lead := ""
	if len(runes) > maxQuoted {
		start := min(max(at-maxQuoted/2, 0), len(runes)-maxQuoted)
		if start > 0 {
			lead = "..."
		}
		runes = runes[start : start+maxQuoted]
		at -= start
	}
	var p strings.Builder
	p.WriteString(strings.Repeat(" ", len(lead)))
	for _, r := range runes[:at] {
		if r == '\t' {
			p.WriteByte('\t')
		} else {
			p.WriteByte(' ')
		}
	}
	return lead + printable(string(runes)), p.String()
}

// printable takes out what would command the terminal instead of being shown.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if r == '\t' || unicode.IsPrint(r) {
			return r
		}
		return '\ufffd'
	}, s)
}

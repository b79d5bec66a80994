package config

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v4"
)

// parse turns a file into its one document's top node; nil after a problem that leaves nothing to look at.
func (o *origin) parse(name string, data []byte) *yaml.Node {
	o.add(name, data[:min(len(data), maxFile)])
	if len(data) > maxFile {
		o.report(Pos{File: name}, "the file is larger than 1 MiB", "")
		return nil
	}
	if !utf8.Valid(data) {
		o.report(notUTF8(name, data), "the file is not UTF-8 text", "")
		return nil
	}
	// The YAML parser does not count all that it takes for the end of a line: not a carriage return after a comment.
	data = []byte(lineEnds.Replace(string(data)))
	loader, err := yaml.NewLoader(bytes.NewReader(data))
	if err != nil {
		o.report(Pos{File: name}, err.Error(), "")
		return nil
	}
	var doc yaml.Node
	if err := loader.Load(&doc); err != nil {
		o.syntax(name, data, err)
		return nil
	}
	var next yaml.Node
	if err := loader.Load(&next); err == nil {
		o.report(Pos{name, next.Line, next.Column}, "a second document", "a configuration is one document; remove the ---")
	} else if !errors.Is(err, io.EOF) {
		o.syntax(name, data, err)
	}
	if len(doc.Content) == 0 || !o.bounded(name, doc.Content[0]) {
		return nil
	}
	if isNull(doc.Content[0]) {
		o.report(Pos{name, 1, 1}, "the file is empty", "")
		return nil
	}
	return doc.Content[0]
}

// notUTF8 is the place of the first byte that is no text.
func notUTF8(name string, data []byte) Pos {
	good := 0
	for {
		r, size := utf8.DecodeRune(data[good:])
		if r == utf8.RuneError && size <= 1 {
			break
		}
		good += size
	}
	before := lineEnds.Replace(strings.TrimPrefix(string(data[:good]), "\ufeff"))
	last := before[strings.LastIndexByte(before, '\n')+1:]
	return Pos{name, 1 + strings.Count(before, "\n"), 1 + utf8.RuneCountInString(last)}
}

// syntax reports what the YAML parser says.
func (o *origin) syntax(name string, data []byte, err error) {
	if errors.Is(err, io.EOF) {
		o.report(Pos{name, 1, 1}, "the file is empty", "")
		return
	}
	var e *yaml.LoadError
	if !errors.As(err, &e) {
		o.report(Pos{File: name}, "not YAML: "+err.Error(), "")
		return
	}
	at, hint := Pos{name, e.Mark.Line, e.Mark.Column}, ""
	if at.Line == 0 {
		at = controlCharacter(name, data)
	}
	began := Pos{name, e.ContextMark.Line, e.ContextMark.Column}
	switch end := lastCharacter(name, data); {
	case began.Line > 0 && strings.Contains(e.Message, "end of stream"):
		o.report(began, "not YAML: "+e.Message, "it is never closed")
		return
	case at.Line > end.Line:
		o.report(end, "not YAML: the file ends too early", e.Message)
		return
	case began.Line > 0 && began.Line != at.Line:
		hint = fmt.Sprintf("%s, which began in line %d", strings.TrimPrefix(e.ContextMsg, "while "), began.Line)
	}
	message, better := o.plainer(at, e.Message)
	if better != "" {
		hint = better
	}
	o.report(at, "not YAML: "+message, hint)
}

// lastCharacter is the place behind the last character that is no white space.
func lastCharacter(name string, data []byte) Pos {
	text := strings.TrimRight(strings.TrimPrefix(string(data), "\ufeff"), " \t\r\n")
	last := text[strings.LastIndexByte(text, '\n')+1:]
	return Pos{name, strings.Count(text, "\n") + 1, utf8.RuneCountInString(last) + 1}
}

// plainer says what the parser says in words of this file, and what to do about it, where that is known.
func (o *origin) plainer(at Pos, message string) (plain, hint string) {
	line := o.problem(at, Error, "", "").Source
	rest := []rune(line)
	rest = rest[min(max(at.Col-1, 0), len(rest)):]
	switch {
	case strings.Contains(message, "cannot start any token") && len(rest) > 0 && rest[0] == '\t':
		return "a tab where the line is indented", "indent with spaces"
	case strings.Contains(message, "cannot start any token") && len(rest) > 0:
		return fmt.Sprintf("a value cannot begin with %q", rest[0]), "put it in quotes"
	case strings.Contains(message, "did not find expected ','") && strings.Contains(line, "${"):
		return message, "inside of [ ] and { } a value with a variable must be in quotes"
	case strings.HasPrefix(message, "unknown anchor"):
		name := strings.TrimSuffix(strings.TrimPrefix(message, "unknown "), " referenced")
		return name + " is not defined", "a value that begins with * must be in quotes"
	case strings.Contains(message, "mapping values are not allowed"):
		return "a colon where no key can be", "check the indentation, or put the value in quotes"
	}
	return message, ""
}

// controlCharacter finds the first character that YAML does not allow.
func controlCharacter(name string, data []byte) Pos {
	at := Pos{name, 1, 1}
	for _, r := range strings.TrimPrefix(string(data), "\ufeff") {
		switch {
		case r == '\n':
			at.Line, at.Col = at.Line+1, 1
			continue
		case r < ' ' && r != '\t' && r != '\r', r >= 0x7f && r < 0xa0 && r != 0x85, r == 0xfffe, r == 0xffff:
			return at
		}
		at.Col++
	}
	return Pos{File: name}
}

// bounded refuses what is small as a file and large as a configuration.
func (o *origin) bounded(name string, top *yaml.Node) bool {
	m := measurer{sizes: map[*yaml.Node]int{}}
	m.measure(top, 1)
	at := Pos{name, top.Line, top.Column}
	if m.at != nil {
		at = Pos{name, m.at.Line, m.at.Column}
	}
	if m.wrong != "" {
		o.report(at, m.wrong, "")
	}
	return m.wrong == ""
}

// measurer adds up what a tree holds once its aliases are followed.
type measurer struct {
	sizes    map[*yaml.Node]int // what an alias of a node adds; 0 while the node is being measured
	aliases  int
	repeated int
	wrong    string
	at       *yaml.Node
}

func (m *measurer) refuse(n *yaml.Node, why string) {
	if m.wrong == "" {
		m.wrong, m.at = why, n
	}
}

// measure returns how many values n has with its aliases followed.
func (m *measurer) measure(n *yaml.Node, depth int) int {
	if m.wrong != "" {
		return 0
	}
	if depth > maxDepth && n.Kind != yaml.ScalarNode {
		m.refuse(n, fmt.Sprintf("more than %d mappings and lists inside each other", maxDepth))
		return 0
	}
	if n.Kind == yaml.AliasNode {
		return m.alias(n, depth)
	}
	if n.Anchor != "" {
		m.sizes[n] = 0
	}
	size := 1
	for _, c := range n.Content {
		size += m.measure(c, depth+1)
	}
	if n.Anchor != "" {
		m.sizes[n] = size
	}
	return size
}

func (m *measurer) alias(n *yaml.Node, depth int) int {
	size, known := m.sizes[n.Alias]
	m.aliases++
	m.repeated += size
	switch {
	case !known || size == 0:
		m.refuse(n, "an alias of what it stands in")
	case m.aliases > maxAliases:
		m.refuse(n, fmt.Sprintf("more than %d aliases", maxAliases))
	case m.repeated > maxRepeated:
		m.refuse(n, fmt.Sprintf("aliases repeat more than %d values", maxRepeated))
	}
	return size
}

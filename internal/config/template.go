package config

import (
	"fmt"
	"slices"
	"strings"
)

// Template is text in which {fact} stands for something of the request; {{ and }} stand for single braces.
type Template string

// Part is a piece of a template: text as it is, or a fact.
type Part struct {
	Text string // where Fact is empty
	Fact string // one of Facts
	Name string // of the header field, cookie or query parameter; in lower case for a header field
}

// The facts that templates can have, those with a name behind a dot apart.
var (
	facts      = []string{"scheme", "host", "path", "path_rest", "query", "method", "client_ip", "request_id", "server_name", "client_subject", "user"}
	namedFacts = []string{"header", "cookie", "query"}
)

// Parts reads the template.
func (t Template) Parts() ([]Part, error) {
	var parts []Part
	var text strings.Builder
	flush := func() {
		if text.Len() > 0 {
			parts = append(parts, Part{Text: text.String()})
			text.Reset()
		}
	}
	for rest := string(t); rest != ""; {
		switch {
		case strings.HasPrefix(rest, "{{"), strings.HasPrefix(rest, "}}"):
			text.WriteByte(rest[0])
			rest = rest[2:]
		case rest[0] == '}':
			return nil, &mistake{"a } without a {", "write }} for the sign itself"}
		case rest[0] == '{':
			inner, after, closed := strings.Cut(rest[1:], "}")
			if !closed {
				return nil, &mistake{"a { without a }", "write {{ for the sign itself"}
			}
			part, err := fact(inner)
			if err != nil {
				return nil, err
			}
			flush()
			parts = append(parts, part)
			rest = after
		default:
			text.WriteByte(rest[0])
			rest = rest[1:]
		}
	}
	flush()
	return parts, nil
}

// fact reads what stands in braces.
func fact(text string) (Part, error) {
	kind, name, named := strings.Cut(text, ".")
	switch {
	case named && slices.Contains(namedFacts, kind):
		if kind == "header" {
			name = strings.ToLower(name)
		}
		if name == "" || kind != "query" && !isToken(name) {
			return Part{}, &mistake{fmt.Sprintf("{%s} has no name that can come", text), ""}
		}
		return Part{Fact: kind, Name: name}, nil
	case !named && slices.Contains(facts, text):
		return Part{Fact: text}, nil
	case !named && slices.Contains(namedFacts, text):
		return Part{}, &mistake{fmt.Sprintf("{%s} needs a name", text), "write {" + text + ".NAME}"}
	}
	all := slices.Clone(facts)
	for _, f := range namedFacts {
		all = append(all, f+".NAME")
	}
	return Part{}, &mistake{fmt.Sprintf("{%s} is not known", text), didYouMean(text, all)}
}

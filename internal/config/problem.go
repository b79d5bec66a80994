package config

import (
	"cmp"
	"slices"
	"strings"
)

// Pos is a place in a configuration file. Line and Col count from 1, Col in characters; the zero Pos is nowhere in particular.
type Pos struct {
	File string `json:"file"`
	Line int    `json:"line"`
	Col  int    `json:"col"`
}

// Severity tells mistakes from advice.
type Severity uint8

// The severities.
const (
	Error   Severity = iota // the configuration cannot be used
	Warning                 // it can, and is probably not what was meant
)

func (s Severity) String() string {
	if s == Warning {
		return "warning"
	}
	return "error"
}

// MarshalText writes "error" or "warning".
func (s Severity) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// Problem is one mistake in a configuration.
type Problem struct {
	Pos
	Severity Severity `json:"severity"`
	// Message says what is wrong, Hint what was probably meant; Hint may be empty.
	Message string `json:"message"`
	Hint    string `json:"hint,omitempty"`
	// Source is the line of the file that Pos points into, or empty.
	Source string `json:"source,omitempty"`

	file int // the file's number, in the order in which they were read
}

// Problems are all mistakes of a configuration, in the order of the files.
type Problems []Problem

// HasErrors tells whether there is more than warnings.
func (p Problems) HasErrors() bool {
	return slices.ContainsFunc(p, func(x Problem) bool { return x.Severity == Error })
}

// Sort puts the problems in the order of the files, and takes out those said twice (an alias repeats its mistakes).
func (p *Problems) Sort() {
	slices.SortStableFunc(*p, func(a, b Problem) int {
		return cmp.Or(cmp.Compare(a.file, b.file), cmp.Compare(a.Line, b.Line), cmp.Compare(a.Col, b.Col), cmp.Compare(a.Severity, b.Severity))
	})
	*p = slices.CompactFunc(*p, func(a, b Problem) bool { return a.Pos == b.Pos && a.Message == b.Message })
}

// origin remembers where the fields of a Config came from, and collects what is wrong with them.
//
// Fields are known by their address: a key is a pointer such as &route.Pool, so fields stay where they were decoded.
type origin struct {
	at       map[any]Pos  // where a field's value stands; no entry: the field was not set
	broken   map[any]bool // fields that were complained about already: what follows from that is not worth a message
	sources  []source
	problems Problems
}

// source is one file that was read.
type source struct {
	name  string
	lines []string
}

func newOrigin() *origin {
	return &origin{at: map[any]Pos{}, broken: map[any]bool{}}
}

// add takes in a file, so that problems can quote it.
func (o *origin) add(name string, data []byte) {
	text := strings.TrimPrefix(string(data), "\ufeff")
	o.sources = append(o.sources, source{name, strings.Split(lineEnds.Replace(text), "\n")})
}

// lineEnds are what the YAML parser counts as the ends of lines (YAML 1.1 section 4.2).
var lineEnds = strings.NewReplacer("\r\n", "\n", "\r", "\n", "\u0085", "\n", "\u2028", "\n", "\u2029", "\n")

// set tells whether the file gives the field a value, be it a good one or not.
func (o *origin) set(field any) bool {
	_, ok := o.at[field]
	return ok
}

// good tells whether the file gives the field a value that nothing was said about yet.
func (o *origin) good(field any) bool { return o.set(field) && !o.broken[field] }

// problem makes a problem that quotes its line.
func (o *origin) problem(at Pos, s Severity, message, hint string) Problem {
	p := Problem{Pos: at, Severity: s, Message: message, Hint: hint}
	for i, src := range o.sources {
		if src.name != at.File {
			continue
		}
		p.file = i
		if at.Line > 0 && at.Line <= len(src.lines) {
			p.Source = src.lines[at.Line-1]
		}
	}
	return p
}

func (o *origin) report(at Pos, message, hint string) {
	o.problems = append(o.problems, o.problem(at, Error, message, hint))
}

func (o *origin) warn(at Pos, message, hint string) {
	o.problems = append(o.problems, o.problem(at, Warning, message, hint))
}

// complain reports a field and marks it broken.
func (o *origin) complain(field any, message, hint string) {
	o.broken[field] = true
	p := o.problem(o.at[field], Error, message, hint)
	if _, secret := field.(*Secret); secret {
		p.Source = ""
	}
	o.problems = append(o.problems, p)
}

// Pos tells where a field's value stands, field being its address, as in c.Pos(&route.Pool). Also routes, listeners, pools and
// servers have one, as in c.Pos(route). What the file does not set has the zero Pos.
func (c *Config) Pos(field any) Pos {
	if c.origin == nil {
		return Pos{}
	}
	return c.origin.at[field]
}

// Problem makes a problem at a field (see Pos), for what only those can find who build from the Config.
func (c *Config) Problem(field any, s Severity, message, hint string) Problem {
	if c.origin == nil {
		return Problem{Severity: s, Message: message, Hint: hint}
	}
	return c.origin.problem(c.origin.at[field], s, message, hint)
}

package config

import (
	"net/netip"
	"reflect"

	"go.yaml.in/yaml/v4"
)

// Match is what a request must have.
type Match struct {
	// Use is the name of one of the matches at the top of the file: the request must meet that as well.
	Use string `yaml:"use"`
	// Host is a name, or *.example.com for every name below it. Case, port and a trailing dot do not matter.
	Host string `yaml:"host"`
	// Path to match: exact, or /v1/* for /v1 and everything below it.
	Path string `yaml:"path"`
	// PathRegex is a regular expression (RE2) that the whole path must match, in place of path.
	PathRegex string `yaml:"path_regex"`
	// Methods: any of these, such as GET.
	Methods Strings `yaml:"methods"`
	// Headers must all be there with these values. Names in any case, values exact unless written otherwise. Of several with a name one must be so.
	Headers Conditions `yaml:"headers"`
	// Query parameters must all be there with these values, after percent-decoding.
	Query Conditions `yaml:"query"`
	// Cookies must all be there with these values.
	Cookies Conditions `yaml:"cookies"`
	// Source is the networks, any of them, that the client's address must be in: the connection's, or what a trusted proxy says.
	Source []netip.Prefix `yaml:"source"`
	// TLS is what the client's handshake must have shown.
	TLS MatchTLS `yaml:"tls"`

	// Used is the match that Use names; nil: none. What both have stands apart in each.
	Used *Match `yaml:"-"`
}

// MatchTLS is what a client's handshake must have shown. Without TLS nothing is.
type MatchTLS struct {
	// ServerName is the host that the handshake was for (SNI): a name, or *.example.com for every name below it.
	ServerName string `yaml:"server_name"`
	// Subject of the certificate that the client has shown, as RFC 4514 writes it, such as CN=app,O=Example. Needs client_certificates.
	Subject Text `yaml:"subject"`
}

// Matches is a list of matches, that may be written as a single one.
type Matches []*Match

// Condition is a name and what its value must be.
type Condition struct {
	Name string
	Text Text
}

// Conditions are names and what their values must be, in the order of the file; a mapping in YAML.
type Conditions []Condition

// Text is how a value must be. A single value in its place is short for exact.
type Text struct {
	// Exact is the value to the byte.
	Exact string `yaml:"exact"`
	// Prefix is what the value must begin with.
	Prefix string `yaml:"prefix"`
	// Regex is a regular expression (RE2) that the whole value must match. Of a value beyond 1 KiB nobody can tell: such a request is refused.
	Regex string `yaml:"regex"`
	// Present: true takes any value, an empty one too.
	Present bool `yaml:"present" default:"false"`
	// Absent: true is there being none.
	Absent bool `yaml:"absent" default:"false"`
}

// NamedMatch is a match that routes may use.
type NamedMatch struct {
	// Name is the key in matches.
	Name string
	Match
}

// NamedMatches are matches by name, in the order of the file.
type NamedMatches []*NamedMatch

// decode reads one match or a list.
func (m *Matches) decode(d *decoder, n *yaml.Node, f *field) {
	switch {
	case n.Kind == yaml.SequenceNode || isNull(n):
		d.list(n, reflect.ValueOf(m).Elem(), f)
		return
	case n.Kind != yaml.MappingNode:
		d.wrongKind(n, m, f, "a mapping (key: value), or a list of them")
		return
	}
	*m = make(Matches, 1)
	d.value(n, reflect.ValueOf(m).Elem().Index(0), f)
}

// decode reads a mapping from names to what their values must be.
func (c *Conditions) decode(d *decoder, n *yaml.Node, f *field) {
	pairs := d.named(n, c, f, "a mapping (name: value)")
	*c = make(Conditions, len(pairs))
	for i, x := range pairs {
		e := &(*c)[i]
		e.Name = x.name
		d.at[&e.Name] = d.pos(x.key)
		d.value(x.value, reflect.ValueOf(&e.Text).Elem(), &field{name: x.name, typ: reflect.TypeFor[Text]()})
	}
}

// decode reads a value, or a mapping.
func (t *Text) decode(d *decoder, n *yaml.Node, f *field) {
	if n.Kind == yaml.MappingNode {
		d.mapping(n, reflect.ValueOf(t).Elem(), f)
		return
	}
	d.value(n, reflect.ValueOf(&t.Exact).Elem(), &field{name: f.name, typ: reflect.TypeFor[string]()})
}

// decode reads a mapping from names to matches.
func (m *NamedMatches) decode(d *decoder, n *yaml.Node, f *field) {
	for _, x := range d.named(n, m, f, "a mapping from names to matches") {
		match := &NamedMatch{Name: x.name}
		d.at[&match.Name] = d.pos(x.key)
		d.value(x.value, reflect.ValueOf(&match.Match).Elem(), &field{name: x.name})
		*m = append(*m, match)
	}
}

func (m *Matches) encode(w writer) *yaml.Node {
	if len(*m) == 1 {
		return w.mapping(reflect.ValueOf((*m)[0]).Elem(), true)
	}
	n := &yaml.Node{Kind: yaml.SequenceNode}
	for _, x := range *m {
		n.Content = append(n.Content, w.mapping(reflect.ValueOf(x).Elem(), true))
	}
	return n
}

func (c *Conditions) encode(w writer) *yaml.Node {
	n := &yaml.Node{Kind: yaml.MappingNode}
	for i := range *c {
		n.Content = append(n.Content, scalar("!!str", (*c)[i].Name), (*c)[i].Text.encode(w))
	}
	return n
}

func (t *Text) encode(w writer) *yaml.Node {
	if n := w.mapping(reflect.ValueOf(t).Elem(), true); len(n.Content) > 0 && n.Content[0].Value != "exact" {
		n.Style = yaml.FlowStyle
		return n
	}
	return text(t.Exact)
}

func (m *NamedMatches) encode(w writer) *yaml.Node {
	n := &yaml.Node{Kind: yaml.MappingNode}
	for _, x := range *m {
		n.Content = append(n.Content, scalar("!!str", x.Name), w.mapping(reflect.ValueOf(&x.Match).Elem(), true))
	}
	return n
}

// Get returns the match of that name, or nil.
func (m NamedMatches) Get(name string) *NamedMatch {
	for _, x := range m {
		if x.Name == name {
			return x
		}
	}
	return nil
}

// hosts are the hosts of a route's matches; "" stands for every host.
func (r *Route) hosts() []string {
	if len(r.Match) == 0 {
		return []string{""}
	}
	var all []string
	for _, m := range r.Match {
		host := m.Host
		if m.Used != nil && host == "" {
			host = m.Used.Host
		}
		all = append(all, host)
	}
	return all
}

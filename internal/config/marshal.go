package config

import (
	"net/netip"
	"reflect"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v4"
)

// Marshal writes the configuration as a file that Parse reads back: what the file set that it came from, or, of one that was
// built on Default, what differs from the defaults (zero is unset inside of lists). Included files become part of it, variables
// stay replaced, and secrets are written out.
func (c *Config) Marshal() ([]byte, error) {
	o := c.origin
	if o == nil {
		o = newOrigin()
	}
	w := writer{o, c.origin != nil, len(c.Listen) > 0 || len(c.Single.Servers) > 0}
	return yaml.Dump(w.mapping(reflect.ValueOf(c).Elem(), false), yaml.WithV4Defaults())
}

// writer turns structs into nodes.
type writer struct {
	*origin
	parsed bool // the origin knows what was set
	short  bool
}

// encoder is a type that writes itself; the counterpart of custom.
type encoder interface {
	encode(w writer) *yaml.Node
}

// mapping writes a struct's keys. inList: it is part of a list's element.
func (w writer) mapping(v reflect.Value, inList bool) *yaml.Node {
	n := &yaml.Node{Kind: yaml.MappingNode}
	for _, f := range fieldsOf(v.Type()) {
		field := v.FieldByIndex(f.index)
		if w.skipped(f) || w.unset(field, f, inList) {
			continue
		}
		value := w.value(field, inList)
		if value.Kind == yaml.MappingNode && len(value.Content) == 0 && field.Kind() == reflect.Struct {
			continue
		}
		n.Content = append(n.Content, scalar("!!str", f.name), value)
	}
	return n
}

// skipped tells what is written elsewhere: what files were included, address as addresses, and the short shape's listener and pool.
func (w writer) skipped(f field) bool {
	switch f.owner {
	case reflect.TypeFor[Parts]():
		return w.short || f.goName == "Include"
	case reflect.TypeFor[Listener]():
		return f.goName == "Address"
	}
	return false
}

// unset tells whether a field needs no line.
func (w writer) unset(v reflect.Value, f field, inList bool) bool {
	switch v.Kind() {
	case reflect.Slice:
		if !f.hasDef || (inList && !w.parsed) {
			return v.Len() == 0 && (v.IsNil() || w.usual(v, f)) // an empty list may be meant so
		}
		return w.usual(v, f)
	case reflect.Pointer:
		return v.IsNil()
	case reflect.Struct:
		if _, ok := v.Addr().Interface().(encoder); !ok {
			return false
		}
	}
	return !w.parsed && inList && v.IsZero() || w.usual(v, f)
}

// usual tells whether a field has its default: because nothing else was set, or, where that is not known, by its value.
func (w writer) usual(v reflect.Value, f field) bool {
	if w.parsed {
		return !w.set(v.Addr().Interface())
	}
	usual := reflect.New(f.typ).Elem()
	if f.hasDef {
		newOrigin().decoder("", noVariables).value(scalar("!!str", f.def), usual, &f)
	}
	return reflect.DeepEqual(v.Interface(), usual.Interface())
}

func (w writer) value(v reflect.Value, inList bool) *yaml.Node {
	if v.Kind() == reflect.Pointer {
		v = v.Elem()
	}
	if e, ok := v.Addr().Interface().(encoder); ok {
		return e.encode(w)
	}
	switch x := v.Interface().(type) {
	case time.Duration:
		return scalar("!!str", formatDuration(x))
	case Size:
		return scalar("!!str", x.String())
	case netip.Prefix:
		return text(strings.TrimSuffix(x.String(), "/"+strconv.Itoa(x.Addr().BitLen())))
	}
	switch v.Kind() {
	case reflect.Struct:
		return w.mapping(v, inList)
	case reflect.Slice:
		n := &yaml.Node{Kind: yaml.SequenceNode}
		for i := range v.Len() {
			n.Content = append(n.Content, w.value(v.Index(i), true))
		}
		return n
	case reflect.Int:
		return scalar("!!int", strconv.FormatInt(v.Int(), 10))
	case reflect.Bool:
		return scalar("!!bool", strconv.FormatBool(v.Bool()))
	}
	return text(v.String())
}

func scalar(tag, value string) *yaml.Node {
	return &yaml.Node{Kind: yaml.ScalarNode, Tag: tag, Value: value}
}

// text writes what a person wrote, so that no variable is seen in it.
func text(s string) *yaml.Node { return scalar("!!str", strings.ReplaceAll(s, "${", "$${")) }

// oneOrAll writes a list of one as its element, others in one line.
func oneOrAll(items []*yaml.Node) *yaml.Node {
	if len(items) == 1 {
		return items[0]
	}
	return &yaml.Node{Kind: yaml.SequenceNode, Style: yaml.FlowStyle, Content: items}
}

func (a *Addresses) encode(writer) *yaml.Node {
	var items []*yaml.Node
	for _, x := range *a {
		items = append(items, text(string(x)))
	}
	return oneOrAll(items)
}

func (s *Strings) encode(writer) *yaml.Node {
	var items []*yaml.Node
	for _, x := range *s {
		items = append(items, text(x))
	}
	return oneOrAll(items)
}

func (s *Statuses) encode(writer) *yaml.Node {
	var items []*yaml.Node
	for _, x := range *s {
		items = append(items, scalar("!!str", x.String()))
	}
	return oneOrAll(items)
}

func (c *Causes) encode(writer) *yaml.Node {
	var items []*yaml.Node
	for _, x := range *c {
		word := x.Name
		if word == "" {
			word = x.Status.String()
		}
		items = append(items, scalar("!!str", word))
	}
	return oneOrAll(items)
}

func (p *Percent) encode(writer) *yaml.Node { return scalar("!!str", strconv.Itoa(int(*p))+"%") }

func (x *Factor) encode(writer) *yaml.Node {
	return scalar("!!str", strconv.FormatFloat(float64(*x), 'f', -1, 64))
}

func (p *Pairs) encode(writer) *yaml.Node {
	n := &yaml.Node{Kind: yaml.MappingNode}
	for _, x := range *p {
		n.Content = append(n.Content, scalar("!!str", x.Name), text(x.Value))
	}
	return n
}

func (p *Pools) encode(w writer) *yaml.Node {
	n := &yaml.Node{Kind: yaml.MappingNode}
	for _, x := range *p {
		n.Content = append(n.Content, scalar("!!str", x.Name), w.mapping(reflect.ValueOf(x).Elem(), true))
	}
	return n
}

func (s *Server) encode(w writer) *yaml.Node {
	n := w.mapping(reflect.ValueOf(s).Elem(), true)
	if len(n.Content) == 2 && n.Content[0].Value == "address" {
		return n.Content[1]
	}
	n.Style = yaml.FlowStyle
	return n
}

func (p *Policy) encode(writer) *yaml.Node {
	name := scalar("!!str", p.Name)
	if p.Choices == 0 {
		return name
	}
	choices := scalar("!!int", strconv.Itoa(p.Choices))
	if p.Choices == AllChoices {
		choices = scalar("!!str", "all")
	}
	settings := &yaml.Node{Kind: yaml.MappingNode, Content: []*yaml.Node{scalar("!!str", "choices"), choices}}
	return &yaml.Node{Kind: yaml.MappingNode, Style: yaml.FlowStyle, Content: []*yaml.Node{name, settings}}
}

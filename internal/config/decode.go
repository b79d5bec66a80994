package config

import (
	"fmt"
	"net/netip"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"go.yaml.in/yaml/v4"
)

// decoder turns one file's nodes into structs, and goes on after each mistake.
type decoder struct {
	*origin
	file   string
	env    func(string) (string, bool)
	fields map[reflect.Type][]field
}

func (o *origin) decoder(file string, env func(string) (string, bool)) *decoder {
	return &decoder{origin: o, file: file, env: env, fields: map[reflect.Type][]field{}}
}

// custom is a type that reads itself.
type custom interface {
	decode(d *decoder, n *yaml.Node, f *field)
}

func (d *decoder) pos(n *yaml.Node) Pos { return Pos{d.file, n.Line, n.Column} }

func (d *decoder) fieldsOf(t reflect.Type) []field {
	fields, ok := d.fields[t]
	if !ok {
		fields = fieldsOf(t)
		d.fields[t] = fields
	}
	return fields
}

// value decodes a node into v, which is addressable. f is the key that it belongs to.
func (d *decoder) value(n *yaml.Node, v reflect.Value, f *field) {
	n = resolved(n)
	if v.Kind() == reflect.Pointer && v.Type().Elem().Kind() == reflect.Struct {
		v.Set(reflect.New(v.Type().Elem()))
		d.at[v.Addr().Interface()] = d.pos(n)
		v = v.Elem()
	}
	self := v.Addr().Interface()
	d.at[self] = d.pos(n)
	if c, ok := self.(custom); ok {
		c.decode(d, n, f)
		return
	}
	switch {
	case v.Type() == reflect.TypeFor[netip.Prefix]():
		d.parsed(n, self, f, func(text string) error {
			prefix, err := parsePrefix(text)
			v.Set(reflect.ValueOf(prefix))
			return err
		})
	case v.Kind() == reflect.Struct:
		d.mapping(n, v, f)
	case v.Kind() == reflect.Slice:
		d.list(n, v, f)
	default:
		d.parsed(n, self, f, func(text string) error { return d.basic(text, v, f) })
	}
}

// resolved follows an alias.
func resolved(n *yaml.Node) *yaml.Node {
	for n.Kind == yaml.AliasNode {
		n = n.Alias
	}
	return n
}

func isNull(n *yaml.Node) bool { return n.Kind == yaml.ScalarNode && n.ShortTag() == "!!null" }

// mapping decodes a mapping into a struct; nothing at all is an empty mapping.
func (d *decoder) mapping(n *yaml.Node, v reflect.Value, f *field) {
	if isNull(n) {
		return
	}
	if n.Kind != yaml.MappingNode {
		d.wrongKind(n, v.Addr().Interface(), f, "a mapping (key: value)")
		return
	}
	fields := d.fieldsOf(v.Type())
	for _, p := range d.pairs(n) {
		known := false
		for i := range fields {
			if fields[i].name == p.name {
				d.value(p.value, v.FieldByIndex(fields[i].index), &fields[i])
				known = true
			}
		}
		if !known {
			d.unknown(p, v, fields)
		}
	}
}

// unknown reports a key that is not allowed, and takes the field that was probably meant as set, so that it is not also missing.
func (d *decoder) unknown(p pair, v reflect.Value, fields []field) {
	hint := "allowed: " + strings.Join(keys(fields), ", ")
	if len(fields) == 0 {
		hint = "nothing is allowed here"
	}
	meant := nearest(p.name, keys(fields))
	if resolved(p.value).Kind == yaml.SequenceNode && meant == "pools" && fieldNamed(fields, "servers") != nil {
		meant = "servers" // what other products call by one word
	}
	root := reflect.TypeFor[Config]()
	switch elsewhere, top := whereIs(p.name, v.Type(), false), fieldNamed(d.fieldsOf(root), p.name); {
	case meant != "" && (distance(p.name, meant) <= 2 || elsewhere == ""):
		hint = fmt.Sprintf("did you mean %q?", meant)
	case elsewhere != "":
		hint = fmt.Sprintf("it belongs under %s", elsewhere)
	case v.Type() == reflect.TypeFor[Parts]():
		hint = "an included file has only listeners, pools, matches and include"
	case top != nil:
		hint = fmt.Sprintf("%s belongs at the top of the file", p.name)
	default:
		if path := whereIs(p.name, root, true); strings.Contains(path, ".") {
			hint = "it belongs under " + path
		} else if path != "" {
			hint = "it belongs under " + path + " at the top of the file"
		}
	}
	if strings.Contains(p.name, "${") {
		hint = "variables are put into values, not into keys"
	}
	d.report(d.pos(p.key), fmt.Sprintf("unknown key %q %s", p.name, typeNames[v.Type()]), hint)
	if f := fieldNamed(fields, meant); f != nil {
		field := v.FieldByIndex(f.index).Addr().Interface()
		if !d.set(field) {
			d.at[field] = d.pos(p.value)
		}
		d.broken[field] = true
	}
}

func fieldNamed(fields []field, name string) *field {
	for i := range fields {
		if fields[i].name == name {
			return &fields[i]
		}
	}
	return nil
}

// pair is one key of a mapping and its value.
type pair struct {
	name       string
	key, value *yaml.Node
}

// pairs lists a mapping's keys in order, those merged by "<<" last, and reports what is no key or is there twice.
func (d *decoder) pairs(n *yaml.Node) []pair {
	var own, merged []pair
	first := map[string]*yaml.Node{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := resolved(n.Content[i]), n.Content[i+1]
		if key.Kind == yaml.ScalarNode && key.ShortTag() == "!!merge" {
			merged = append(merged, d.merge(resolved(value))...)
			continue
		}
		if key.Kind != yaml.ScalarNode || isNull(key) {
			d.report(d.pos(n.Content[i]), "a key must be text", "")
			continue
		}
		if before := first[key.Value]; before != nil {
			d.report(d.pos(key), fmt.Sprintf("the key %q is there twice", key.Value), fmt.Sprintf("first in line %d", before.Line))
			continue
		}
		first[key.Value] = key
		own = append(own, pair{key.Value, key, value})
	}
	for _, p := range merged {
		if first[p.name] == nil {
			first[p.name] = p.key
			own = append(own, p)
		}
	}
	return own
}

// merge returns the pairs that a "<<" brings: of a mapping, or of several, the first of which wins.
func (d *decoder) merge(n *yaml.Node) []pair {
	switch n.Kind {
	case yaml.MappingNode:
		return d.pairs(n)
	case yaml.SequenceNode:
		var all []pair
		for _, c := range n.Content {
			if c = resolved(c); c.Kind != yaml.MappingNode {
				d.report(d.pos(c), "<< takes in mappings only", "")
				continue
			}
			all = append(all, d.pairs(c)...)
		}
		return all
	}
	d.report(d.pos(n), "<< takes in mappings only", "")
	return nil
}

// list decodes a list into a slice. Its elements stay where they are from then on: positions are known by address.
func (d *decoder) list(n *yaml.Node, v reflect.Value, f *field) {
	if isNull(n) {
		return
	}
	if n.Kind != yaml.SequenceNode {
		self := v.Addr().Interface()
		if n.Kind == yaml.ScalarNode {
			d.complain(self, f.name+" must be a list", "write ["+n.Value+"]")
			return
		}
		d.wrongKind(n, self, f, "a list")
		return
	}
	v.Set(reflect.MakeSlice(v.Type(), len(n.Content), len(n.Content)))
	for i, c := range n.Content {
		if e := v.Index(i); e.Kind() == reflect.Pointer && isNull(resolved(c)) {
			e.Set(reflect.New(e.Type().Elem()))
			d.broken[e.Interface()] = true
			d.report(d.pos(c), "an empty entry in "+f.name, "")
			continue
		}
		d.value(c, v.Index(i), f)
	}
}

// wrongKind reports a node that is not of the wanted shape.
func (d *decoder) wrongKind(n *yaml.Node, self any, f *field, want string) {
	got := "text"
	switch n.Kind {
	case yaml.MappingNode:
		got = "a mapping"
	case yaml.SequenceNode:
		got = "a list"
	default:
		if isNull(n) {
			got = "empty"
		}
	}
	d.broken[self] = true
	if f == nil {
		d.report(d.pos(n), fmt.Sprintf("the file must be %s, and is %s", want, got), "")
		return
	}
	d.report(d.pos(n), fmt.Sprintf("%s must be %s, and is %s", f.name, want, got), "")
}

// text returns a scalar's text with its variables put in; false after a complaint about the field self.
func (d *decoder) text(n *yaml.Node, self any, f *field) (string, bool) {
	switch {
	case n.Kind != yaml.ScalarNode:
		d.wrongKind(n, self, f, "a single value")
		return "", false
	case isNull(n):
		d.broken[self] = true
		d.report(d.pos(n), f.name+" has no value", "")
		return "", false
	case n.Style&yaml.TaggedStyle != 0 && n.ShortTag() != "!!str":
		d.broken[self] = true
		d.report(d.pos(n), fmt.Sprintf("the tag %s has no meaning here", n.ShortTag()), "")
		return "", false
	}
	text, bad := expand(n.Value, d.env)
	if bad != nil {
		d.broken[self] = true
		d.report(d.locate(n, bad.text), bad.message, bad.hint)
		return "", false
	}
	return text, true
}

// locate finds a part of a scalar in its source line; where the scalar begins if it is not there as it is.
func (d *decoder) locate(n *yaml.Node, part string) Pos {
	at := d.pos(n)
	for _, s := range d.sources {
		if s.name != d.file || n.Line < 1 || n.Line > len(s.lines) {
			continue
		}
		runes := []rune(s.lines[n.Line-1])
		if n.Column > len(runes) {
			continue
		}
		rest := string(runes[max(n.Column-1, 0):])
		if i := strings.Index(rest, part); i >= 0 {
			at.Col += utf8.RuneCountInString(rest[:i])
		}
	}
	return at
}

// parsed reads a scalar by parse, whose error is the complaint.
func (d *decoder) parsed(n *yaml.Node, self any, f *field, parse func(text string) error) {
	text, ok := d.text(n, self, f)
	if !ok {
		return
	}
	if err := parse(text); err != nil {
		hint := ""
		if m, ok := err.(*mistake); ok {
			hint = m.hint
		}
		d.complain(self, f.name+": "+err.Error(), hint)
	}
}

// basic sets a string, number, truth value, duration or size, within the field's range.
func (d *decoder) basic(text string, v reflect.Value, f *field) error {
	switch v.Interface().(type) {
	case time.Duration, Size:
		n, err := quantity(text, v.Type())
		if err != nil {
			return err
		}
		v.SetInt(n)
		return inRange(n, text, f)
	}
	switch v.Kind() {
	case reflect.Int:
		n, err := strconv.Atoi(text)
		if err != nil {
			return &mistake{fmt.Sprintf("%q is not a whole number", text), ""}
		}
		v.SetInt(int64(n))
		return inRange(int64(n), text, f)
	case reflect.Bool:
		return setBool(text, v)
	default:
		v.SetString(text)
		if len(f.enum) > 0 && !slices.Contains(f.enum, text) {
			return &mistake{fmt.Sprintf("%q is not known", text), didYouMean(text, f.enum)}
		}
	}
	return nil
}

func setBool(text string, v reflect.Value) error {
	switch strings.ToLower(text) {
	case "true", "false":
		v.SetBool(strings.EqualFold(text, "true"))
		return nil
	case "yes", "on", "1", "enabled":
		return &mistake{fmt.Sprintf("%q is neither true nor false", text), "write true"}
	case "no", "off", "0", "disabled":
		return &mistake{fmt.Sprintf("%q is neither true nor false", text), "write false"}
	}
	return &mistake{fmt.Sprintf("%q is neither true nor false", text), ""}
}

// quantity parses a duration, a size or a whole number.
func quantity(text string, t reflect.Type) (int64, error) {
	switch t {
	case reflect.TypeFor[time.Duration]():
		d, err := parseDuration(text)
		return int64(d), err
	case reflect.TypeFor[Size]():
		s, err := parseSize(text)
		return int64(s), err
	case reflect.TypeFor[Percent]():
		return parsePercent(text)
	}
	return strconv.ParseInt(text, 10, 64)
}

// inRange holds a quantity against the field's min and max.
func inRange(n int64, text string, f *field) error {
	if f.min != "" {
		if least, err := quantity(f.min, f.typ); err == nil && n < least {
			return &mistake{fmt.Sprintf("%s is less than %s", text, f.min), ""}
		}
	}
	if f.max != "" {
		if most, err := quantity(f.max, f.typ); err == nil && n > most {
			return &mistake{fmt.Sprintf("%s is more than %s", text, f.max), ""}
		}
	}
	return nil
}

package config

import (
	"fmt"
	"net/netip"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v4"
)

// decode reads one address or a list.
func (a *Addresses) decode(d *decoder, n *yaml.Node, f *field) {
	d.oneOrMore(n, reflect.ValueOf(a).Elem(), f)
}

// decode reads one text or a list.
func (s *Strings) decode(d *decoder, n *yaml.Node, f *field) {
	d.oneOrMore(n, reflect.ValueOf(s).Elem(), f)
}

// oneOrMore reads a list, or a single value as a list of one.
func (d *decoder) oneOrMore(n *yaml.Node, v reflect.Value, f *field) {
	if n.Kind != yaml.ScalarNode || isNull(n) {
		d.list(n, v, f)
		return
	}
	v.Set(reflect.MakeSlice(v.Type(), 1, 1))
	d.value(n, v.Index(0), f)
}

// decode reads a mapping from names to values.
func (p *Pairs) decode(d *decoder, n *yaml.Node, f *field) {
	pairs := d.named(n, p, f, "a mapping (name: value)")
	*p = make(Pairs, len(pairs))
	for i, x := range pairs {
		e := &(*p)[i]
		e.Name = x.name
		d.at[&e.Name] = d.pos(x.key)
		d.value(x.value, reflect.ValueOf(&e.Value).Elem(), &field{name: x.name, typ: reflect.TypeFor[string]()})
	}
}

// named lists what a mapping from names has; nothing at all is an empty one. want says what self must be.
func (d *decoder) named(n *yaml.Node, self any, f *field, want string) []pair {
	switch {
	case isNull(n):
		return nil
	case n.Kind != yaml.MappingNode:
		d.wrongKind(n, self, f, want)
		return nil
	}
	return d.pairs(n)
}

// decode reads a mapping from names to pools.
func (p *Pools) decode(d *decoder, n *yaml.Node, f *field) {
	if isNull(n) {
		return
	}
	if n.Kind != yaml.MappingNode {
		hint := ""
		if n.Kind == yaml.SequenceNode {
			hint = "write each pool as NAME: {servers: [...]}"
		}
		d.broken[p] = true
		d.report(d.pos(n), "pools must be a mapping from names to pools", hint)
		return
	}
	for _, x := range d.pairs(n) {
		pool := &Pool{Name: x.name}
		d.at[&pool.Name] = d.pos(x.key)
		d.at[pool] = d.pos(x.key)
		value := resolved(x.value)
		if value.Kind == yaml.SequenceNode {
			d.broken[pool] = true
			d.report(d.pos(value), fmt.Sprintf("the pool %q must be a mapping, and is a list", x.name), "write servers: before the list")
		} else {
			d.mapping(value, reflect.ValueOf(pool).Elem(), &field{name: x.name})
			d.broken[pool] = value.Kind != yaml.MappingNode && !isNull(value)
		}
		*p = append(*p, pool)
	}
}

// decode reads an address alone, or a mapping.
func (s *Server) decode(d *decoder, n *yaml.Node, f *field) {
	if n.Kind == yaml.ScalarNode {
		d.value(n, reflect.ValueOf(&s.Address).Elem(), &field{name: "address", typ: reflect.TypeFor[Address]()})
		return
	}
	if n.Kind != yaml.MappingNode {
		d.wrongKind(n, s, &field{name: "a server"}, "an address or a mapping")
		return
	}
	d.mapping(n, reflect.ValueOf(s).Elem(), f)
}

// decode reads a policy's name, or a mapping from its name to its settings.
func (p *Policy) decode(d *decoder, n *yaml.Node, f *field) {
	switch {
	case n.Kind == yaml.ScalarNode:
		d.parsed(n, p, f, p.named)
	case n.Kind != yaml.MappingNode:
		d.wrongKind(n, p, f, "a policy's name, or a mapping from it to its settings")
	default:
		pairs := d.pairs(n)
		if len(pairs) != 1 {
			d.broken[p] = true
			d.report(d.pos(n), "policy must have exactly one policy's name as its key", "one of "+strings.Join(policies, ", "))
			return
		}
		if err := p.named(pairs[0].name); err != nil {
			d.broken[p] = true
			d.report(d.pos(pairs[0].key), "policy: "+err.Error(), didYouMean(pairs[0].name, policies))
			return
		}
		p.settings(d, resolved(pairs[0].value))
	}
}

func (p *Policy) named(name string) error {
	p.Name = name
	if !slices.Contains(policies, name) {
		return &mistake{fmt.Sprintf("%q is not known", name), didYouMean(name, policies)}
	}
	return nil
}

// settings reads what stands under a policy's name.
func (p *Policy) settings(d *decoder, n *yaml.Node) {
	if isNull(n) {
		return
	}
	if n.Kind != yaml.MappingNode {
		d.wrongKind(n, p, &field{name: p.Name}, "a mapping (key: value)")
		return
	}
	for _, x := range d.pairs(n) {
		switch {
		case p.Name != LeastRequests:
			d.report(d.pos(x.key), fmt.Sprintf("unknown key %q in %s", x.name, p.Name), p.Name+" has no settings")
		case x.name != "choices":
			d.report(d.pos(x.key), fmt.Sprintf("unknown key %q in %s", x.name, p.Name), didYouMean(x.name, []string{"choices"}))
		default:
			value := resolved(x.value)
			d.at[&p.Choices] = d.pos(value)
			d.parsed(value, &p.Choices, &field{name: "choices"}, p.choices)
		}
	}
}

// maxChoices bounds Policy.Choices; more is "all".
const maxChoices = 1000

func (p *Policy) choices(text string) error {
	if text == "all" {
		p.Choices = AllChoices
		return nil
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 2 || n > maxChoices {
		return &mistake{fmt.Sprintf("%q is neither a number from 2 to %d nor all", text, maxChoices), ""}
	}
	p.Choices = n
	return nil
}

// decode reads a status code, a range of them, or a list of both.
func (s *Statuses) decode(d *decoder, n *yaml.Node, f *field) {
	if n.Kind == yaml.SequenceNode {
		*s = make(Statuses, len(n.Content))
		if len(n.Content) == 0 {
			d.complain(s, f.name+" is empty", "")
		}
		for i, c := range n.Content {
			e := &(*s)[i]
			d.at[e] = d.pos(resolved(c))
			d.parsed(resolved(c), e, f, e.parse)
		}
		return
	}
	*s = make(Statuses, 1)
	d.parsed(n, s, f, (*s)[0].parse)
}

// decode reads a cause, several with commas between them, or a list.
func (c *Causes) decode(d *decoder, n *yaml.Node, f *field) {
	if n.Kind == yaml.SequenceNode {
		*c = make(Causes, len(n.Content))
		for i, x := range n.Content {
			e := &(*c)[i]
			d.at[e] = d.pos(resolved(x))
			d.parsed(resolved(x), e, f, e.parse)
		}
		return
	}
	d.parsed(n, c, f, func(text string) error {
		for one := range strings.SplitSeq(text, ",") {
			var x Cause
			if err := x.parse(strings.TrimSpace(one)); err != nil {
				return err
			}
			*c = append(*c, x)
		}
		return nil
	})
}

func (c *Cause) parse(text string) error {
	if text != "" && '0' <= text[0] && text[0] <= '9' {
		return c.Status.parse(text)
	}
	c.Name = text
	if !slices.Contains(causes, text) {
		hint := didYouMean(text, causes)
		if hint == "" {
			hint = "write " + strings.Join(causes, ", ") + " or a status such as 503"
		}
		return &mistake{fmt.Sprintf("%q is not known", text), hint}
	}
	return nil
}

// decode reads a number with a percent sign.
func (p *Percent) decode(d *decoder, n *yaml.Node, f *field) {
	d.parsed(n, p, f, func(text string) error {
		x, err := parsePercent(text)
		if err != nil {
			return err
		}
		*p = Percent(x)
		return inRange(x, text, f)
	})
}

func parsePercent(text string) (int64, error) {
	number, ok := strings.CutSuffix(text, "%")
	x, err := strconv.ParseInt(strings.TrimSpace(number), 10, 32)
	switch {
	case err == nil && !ok:
		return 0, &mistake{fmt.Sprintf("%q has no percent sign", text), "write " + text + "%"}
	case err != nil:
		return 0, &mistake{fmt.Sprintf("%q is not a percentage", text), "write a whole number such as 20%"}
	}
	return x, nil
}

// decode reads a decimal number.
func (x *Factor) decode(d *decoder, n *yaml.Node, f *field) {
	d.parsed(n, x, f, func(text string) error {
		v, err := strconv.ParseFloat(text, 64)
		if strings.Trim(text, "-0123456789.") != "" {
			err = strconv.ErrSyntax // no exponents, no hexadecimal digits: the schema has none either
		}
		least, _ := strconv.ParseFloat(f.min, 64) // the tags are numbers
		most, _ := strconv.ParseFloat(f.max, 64)
		switch {
		case err != nil || v != v:
			return &mistake{fmt.Sprintf("%q is not a number", text), "write a number such as 1.9"}
		case v < least:
			return &mistake{fmt.Sprintf("%s is less than %s", text, f.min), ""}
		case v > most:
			return &mistake{fmt.Sprintf("%s is more than %s", text, f.max), ""}
		}
		*x = Factor(v)
		return nil
	})
}

func (r *StatusRange) parse(text string) error {
	first, last, isRange := strings.Cut(text, "-")
	if !isRange {
		last = first
	}
	var err1, err2 error
	r.First, err1 = strconv.Atoi(strings.TrimSpace(first))
	r.Last, err2 = strconv.Atoi(strings.TrimSpace(last))
	switch {
	case len(text) == 3 && strings.HasSuffix(strings.ToLower(text), "xx") && '1' <= text[0] && text[0] <= '5':
		return &mistake{fmt.Sprintf("%q is no status code", text), fmt.Sprintf("write %c00-%c99", text[0], text[0])}
	case err1 != nil || err2 != nil:
		return &mistake{fmt.Sprintf("%q is no status code", text), "write a code, or a range such as 200-399"}
	case r.First < 100 || r.Last > 599:
		return &mistake{fmt.Sprintf("%q is outside of 100-599", text), ""}
	case r.First > r.Last:
		return &mistake{fmt.Sprintf("%q ends before it begins", text), fmt.Sprintf("write %d-%d", r.Last, r.First)}
	}
	return nil
}

// String writes the range as the file would have it.
func (r StatusRange) String() string {
	if r.First == r.Last {
		return strconv.Itoa(r.First)
	}
	return fmt.Sprintf("%d-%d", r.First, r.Last)
}

// parsePrefix reads a network, or an address as the network of one.
func parsePrefix(text string) (netip.Prefix, error) {
	if addr, err := netip.ParseAddr(text); err == nil && addr.Zone() == "" {
		addr = addr.Unmap()
		return netip.PrefixFrom(addr, addr.BitLen()), nil
	}
	prefix, err := netip.ParsePrefix(text)
	if err != nil {
		return netip.Prefix{}, &mistake{fmt.Sprintf("%q is neither an address nor a network", text), "write 10.0.0.0/8 or 127.0.0.1"}
	}
	if prefix != prefix.Masked() {
		return netip.Prefix{}, &mistake{fmt.Sprintf("%q has bits beyond its length", text), "write " + prefix.Masked().String()}
	}
	return prefix, nil
}

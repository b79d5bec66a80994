package config

import (
	"reflect"
	"strconv"

	"go.yaml.in/yaml/v4"
)

// Default returns a configuration with every default and nothing else: without addresses and servers it is not valid yet.
func Default() *Config {
	c := &Config{}
	newOrigin().fill(reflect.ValueOf(c).Elem())
	return c
}

// fill gives every field that the file does not set its default, down through lists.
func (o *origin) fill(v reflect.Value) {
	filler{o, newOrigin().decoder("", noVariables), map[reflect.Type][]filled{}}.fill(v)
}

func noVariables(string) (string, bool) { return "", false }

// filled is a field with its default as a value.
type filled struct {
	field
	value reflect.Value
}

// filler decodes the tags' defaults once for each type.
type filler struct {
	*origin
	decoder *decoder
	types   map[reflect.Type][]filled
}

func (l filler) defaults(t reflect.Type) []filled {
	if known, ok := l.types[t]; ok {
		return known
	}
	var all []filled
	for _, f := range fieldsOf(t) {
		x := filled{field: f}
		if f.hasDef {
			x.value = reflect.New(f.typ).Elem()
			l.decoder.value(&yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: f.def}, x.value, &f)
		}
		all = append(all, x)
	}
	l.types[t] = all
	return all
}

func (l filler) fill(v reflect.Value) {
	switch v.Kind() {
	case reflect.Pointer:
		if !v.IsNil() {
			l.fill(v.Elem())
		}
	case reflect.Slice:
		for i := range v.Len() {
			l.fill(v.Index(i))
		}
	case reflect.Struct:
		for _, f := range l.defaults(v.Type()) {
			field := v.FieldByIndex(f.index)
			if f.hasDef && !l.set(field.Addr().Interface()) {
				field.Set(f.value)
			} else if !f.hasDef {
				l.fill(field)
			}
		}
	}
}

// unify makes of the short shape a listener and a pool, and of address a list.
func (c *Config) unify() {
	o := c.origin
	if o.set(&c.Listen) || o.set(&c.Single.Servers) {
		l := &Listener{Addresses: c.Listen, Pool: shortPool, Protocol: "http", HTTP2: true, Upgrades: Strings{"websocket"}}
		o.at[l], o.broken[l] = o.at[&c.Listen], !o.good(&c.Listen)
		o.at[&l.Addresses] = o.at[l]
		c.Listeners = append(c.Listeners, l)
		c.Single.Name = shortPool
		o.at[&c.Single], o.broken[&c.Single] = o.at[&c.Single.Servers], !o.good(&c.Single.Servers)
		c.Pools = append(c.Pools, &c.Single)
	}
	for _, l := range c.Listeners {
		if o.set(&l.Address) && !o.set(&l.Addresses) {
			l.Addresses, l.Address = Addresses{l.Address}, ""
			o.at[&l.Addresses] = o.at[&l.Address]
			o.at[&l.Addresses[0]], o.broken[&l.Addresses[0]] = o.at[&l.Address], o.broken[&l.Address]
		}
	}
}

// shortPool is the name of the short shape's pool.
const shortPool = "default"

// derive fills in names that nobody gave, and inherited timeouts.
func (c *Config) derive() {
	for _, l := range c.Listeners {
		if l.Name == "" && len(l.Addresses) > 0 {
			l.Name = string(l.Addresses[0])
		}
		c.inherit(reflect.ValueOf(&l.Timeouts).Elem(), reflect.ValueOf(c.Timeouts.ListenerTimeouts))
		for i, r := range l.Routes {
			if !c.origin.set(&r.Upgrades) {
				r.Upgrades = l.Upgrades
			}
			if r.Name == "" {
				r.Name = l.Name + "/" + strconv.Itoa(i+1)
			}
			c.inherit(reflect.ValueOf(&r.Timeouts).Elem(), reflect.ValueOf(l.Timeouts.RouteTimeouts))
		}
	}
}

// inherit copies the fields that the file does not set.
func (c *Config) inherit(to, from reflect.Value) {
	for i := range to.NumField() {
		field := to.Field(i)
		if field.Kind() == reflect.Struct {
			c.inherit(field, from.Field(i))
		} else if !c.origin.set(field.Addr().Interface()) {
			field.Set(from.Field(i))
		}
	}
}

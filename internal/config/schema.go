package config

import (
	_ "embed"
	"encoding/json"
	"net/netip"
	"reflect"
	"strconv"
	"strings"
	"time"

	"github.com/invopop/jsonschema"
)

// comments are the structs' doc comments, by "Type" and "Type.Field": a program has no source to read them from. A test keeps them current.
//
//go:embed comments.json
var comments []byte

// descriptions returns the doc comments as a reader of the configuration wants them.
func descriptions() (map[string]string, error) {
	all := map[string]string{}
	err := json.Unmarshal(comments, &all)
	return all, err
}

// Schema returns the JSON Schema (draft 2020-12) of the configuration, for editors.
func Schema() ([]byte, error) {
	texts, err := descriptions()
	if err != nil {
		return nil, err
	}
	r := &jsonschema.Reflector{
		Anonymous: true, ExpandedStruct: true, FieldNameTag: "yaml", RequiredFromJSONSchemaTags: true, Mapper: customSchema,
		LookupComment: func(t reflect.Type, name string) string {
			if name == "" {
				return texts[t.Name()]
			}
			return texts[t.Name()+"."+name]
		},
	}
	s := r.Reflect(&Config{})
	for name, def := range r.Reflect(&struct { // what Config holds by way of customSchema
		Pool   Pool
		Server serverFields
		Match  Match
		Text   textFields
	}{}).Definitions {
		s.Definitions[name] = def
	}
	s.Definitions["variable"] = &jsonschema.Schema{Type: "string", Pattern: `\$\{`, Description: "a value with a variable, such as ${NAME:-default}"}
	s.Title = "Poise configuration"
	decorate(s, reflect.TypeFor[Config](), texts)
	for _, t := range structs() {
		if def := s.Definitions[t.Name()]; def != nil {
			decorate(def, t, texts)
		}
	}
	server := s.Definitions["serverFields"]
	decorate(server, reflect.TypeFor[Server](), texts)
	server.Required = []string{"address"}
	decorate(s.Definitions["textFields"], reflect.TypeFor[Text](), texts)
	s.Definitions["Share"].Required = []string{"pool"}
	return json.MarshalIndent(s, "", "  ")
}

// serverFields is a server's mapping form without its short one, which customSchema stands for.
type serverFields Server

// textFields is a comparison's mapping form likewise.
type textFields Text

// structs lists the structs below Config.
func structs() []reflect.Type {
	seen := map[reflect.Type]bool{reflect.TypeFor[Config](): true}
	var all []reflect.Type
	for queue := []reflect.Type{reflect.TypeFor[Config]()}; len(queue) > 0; queue = queue[1:] {
		all = append(all, queue[0])
		for _, f := range fieldsOf(queue[0]) {
			if inner, _, ok := below(f.typ); ok && !seen[inner] {
				seen[inner] = true
				queue = append(queue, inner)
			}
		}
	}
	return all
}

const (
	durationPattern = `^([0-9]+(\.[0-9]*)?(ns|us|µs|ms|s|m|h))+$|^0$|\$\{`
	sizePattern     = `^[0-9]+ *(B|KB|MB|GB|KiB|MiB|GiB)?$|\$\{`
	percentPattern  = `^[0-9]+ *%$|\$\{`
	statusPattern   = `^[1-5][0-9][0-9]( *- *[1-5][0-9][0-9])?$|\$\{`
)

// causePattern is the form of one or several causes in one text.
func causePattern() string {
	one := "(" + strings.Join(causes, "|") + `|[1-5][0-9][0-9]( *- *[1-5][0-9][0-9])?)`
	return "^" + one + "( *, *" + one + `)*$|\$\{`
}

// customSchema is the schema of types that are written in a way of their own; nil for the others.
func customSchema(t reflect.Type) *jsonschema.Schema {
	str := &jsonschema.Schema{Type: "string"}
	switch t {
	case reflect.TypeFor[time.Duration]():
		return &jsonschema.Schema{Type: "string", Pattern: durationPattern}
	case reflect.TypeFor[Size]():
		return anyOf(&jsonschema.Schema{Type: "string", Pattern: sizePattern}, &jsonschema.Schema{Type: "integer", Minimum: "0"})
	case reflect.TypeFor[Address](), reflect.TypeFor[Secret](), reflect.TypeFor[Template](), reflect.TypeFor[netip.Prefix]():
		return str
	case reflect.TypeFor[Addresses](), reflect.TypeFor[Strings]():
		return anyOf(str, &jsonschema.Schema{Type: "array", Items: str})
	case reflect.TypeFor[Pairs]():
		return &jsonschema.Schema{Type: "object", AdditionalProperties: anyOf(str, &jsonschema.Schema{Type: "number"}, &jsonschema.Schema{Type: "boolean"})}
	case reflect.TypeFor[Text]():
		return anyOf(str, &jsonschema.Schema{Type: "number"}, &jsonschema.Schema{Type: "boolean"}, &jsonschema.Schema{Ref: "#/$defs/textFields"})
	case reflect.TypeFor[Conditions]():
		return &jsonschema.Schema{Type: "object", AdditionalProperties: customSchema(reflect.TypeFor[Text]())}
	case reflect.TypeFor[Matches]():
		one := &jsonschema.Schema{Ref: "#/$defs/Match"}
		return anyOf(one, &jsonschema.Schema{Type: "array", Items: one})
	case reflect.TypeFor[NamedMatches]():
		return &jsonschema.Schema{Type: "object", AdditionalProperties: &jsonschema.Schema{Ref: "#/$defs/Match"}}
	case reflect.TypeFor[Pools]():
		return &jsonschema.Schema{Type: "object", AdditionalProperties: &jsonschema.Schema{Ref: "#/$defs/Pool"}}
	case reflect.TypeFor[Statuses]():
		one := anyOf(&jsonschema.Schema{Type: "integer", Minimum: "100", Maximum: "599"}, &jsonschema.Schema{Type: "string", Pattern: statusPattern})
		return anyOf(append(one.AnyOf, &jsonschema.Schema{Type: "array", Items: one})...)
	case reflect.TypeFor[Causes]():
		one := anyOf(&jsonschema.Schema{Type: "integer", Minimum: "100", Maximum: "599"}, &jsonschema.Schema{Type: "string", Pattern: causePattern()})
		return anyOf(append(one.AnyOf, &jsonschema.Schema{Type: "array", Items: one})...)
	case reflect.TypeFor[Percent]():
		return &jsonschema.Schema{Type: "string", Pattern: percentPattern}
	case reflect.TypeFor[Factor]():
		return anyOf(&jsonschema.Schema{Type: "number", Minimum: "0"}, &jsonschema.Schema{Type: "string", Pattern: `^[0-9.]+$|\$\{`})
	case reflect.TypeFor[Server]():
		return anyOf(str, &jsonschema.Schema{Ref: "#/$defs/serverFields"})
	case reflect.TypeFor[Policy]():
		return policySchema()
	}
	return nil
}

func anyOf(all ...*jsonschema.Schema) *jsonschema.Schema { return &jsonschema.Schema{AnyOf: all} }

func policySchema() *jsonschema.Schema {
	names := &jsonschema.Schema{Type: "string"}
	settings := &jsonschema.Schema{
		Type: "object", AdditionalProperties: jsonschema.FalseSchema, MinProperties: ptr(1), MaxProperties: ptr(1), Properties: jsonschema.NewProperties(),
	}
	for _, p := range policies {
		names.Enum = append(names.Enum, p)
		inner := &jsonschema.Schema{Type: "object", AdditionalProperties: jsonschema.FalseSchema, Properties: jsonschema.NewProperties()}
		if p == LeastRequests {
			inner.Properties.Set("choices", anyOf(
				&jsonschema.Schema{Type: "integer", Minimum: "2", Maximum: json.Number(strconv.Itoa(maxChoices))},
				&jsonschema.Schema{Type: "string", Enum: []any{"all"}}))
		}
		settings.Properties.Set(p, inner)
	}
	return anyOf(names, settings)
}

func ptr(n uint64) *uint64 { return &n }

// decorate adds to a struct's schema what the tags say, and that a variable may stand for a number or a truth value.
func decorate(s *jsonschema.Schema, t reflect.Type, texts map[string]string) {
	s.Description = texts[t.Name()]
	for _, f := range fieldsOf(t) {
		p, ok := s.Properties.Get(f.name)
		if !ok {
			continue
		}
		description := texts[f.owner.Name()+"."+f.goName]
		value := *p
		value.Description = ""
		for _, e := range f.enum {
			value.Enum = append(value.Enum, e)
		}
		if f.typ.Kind() == reflect.Int && f.typ != reflect.TypeFor[Percent]() {
			value.Minimum, value.Maximum = json.Number(f.min), json.Number(f.max)
		}
		if value.Ref != "" || f.typ.Kind() == reflect.Int || f.typ.Kind() == reflect.Bool {
			both := []*jsonschema.Schema{&value}
			if value.Ref == "" {
				both = append(both, &jsonschema.Schema{Ref: "#/$defs/variable"})
			}
			*p = jsonschema.Schema{AnyOf: both}
		} else {
			*p = value
		}
		p.Description = description
		if f.hasDef && !inherits(t) {
			p.Default = defaultValue(f)
		}
	}
}

// defaultValue is a default as JSON has it.
func defaultValue(f field) any {
	switch f.typ.Kind() {
	case reflect.Int:
		n, err := strconv.Atoi(f.def)
		if err == nil {
			return n
		}
	case reflect.Bool:
		return strings.EqualFold(f.def, "true")
	}
	return f.def
}

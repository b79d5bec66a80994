package config

import (
	_ "embed"
	"fmt"
	"net/netip"
	"reflect"
	"strings"
	"time"
)

// introduction is the part of the reference that is written by hand.
//
//go:embed introduction.md
var introduction string

// Reference returns docs/configuration.md: the introduction, then every key with its type, default, range and meaning.
func Reference() (string, error) {
	texts, err := descriptions()
	if err != nil {
		return "", err
	}
	var b strings.Builder
	b.WriteString(introduction)
	paths := places()
	for _, t := range structs() {
		section(&b, t, paths, texts)
	}
	return b.String(), nil
}

// inherits tells whether a struct's fields come from above where the file does not set them.
func inherits(t reflect.Type) bool {
	return t == reflect.TypeFor[ListenerTimeouts]() || t == reflect.TypeFor[RouteTimeouts]()
}

// places returns, for each struct, where in the file it stands.
func places() map[reflect.Type][]string {
	paths := map[reflect.Type][]string{}
	var walk func(t reflect.Type, path string)
	walk = func(t reflect.Type, path string) {
		paths[t] = append(paths[t], path)
		for _, f := range fieldsOf(t) {
			if inner, step, ok := below(f.typ); ok {
				walk(inner, strings.TrimPrefix(path+"."+f.name+step, "."))
			}
		}
	}
	walk(reflect.TypeFor[Config](), "")
	return paths
}

// section writes one struct's table.
func section(b *strings.Builder, t reflect.Type, paths map[reflect.Type][]string, texts map[string]string) {
	title := "The top of the file"
	if at := paths[t]; at[0] != "" {
		title = "`" + strings.Join(at, "`, `") + "`"
	}
	fmt.Fprintf(b, "\n## %s\n\n%s\n", title, strings.TrimSpace(texts[t.Name()]))
	fields := fieldsOf(t)
	if len(fields) == 0 {
		return
	}
	b.WriteString("\n| key | value | default | meaning |\n|---|---|---|---|\n")
	for _, f := range fields {
		def := "-"
		switch {
		case inherits(t):
			def = "inherited"
		case f.hasDef:
			def = "`" + f.def + "`"
		}
		meaning := strings.ReplaceAll(texts[f.owner.Name()+"."+f.goName], "|", "\\|")
		fmt.Fprintf(b, "| `%s` | %s | %s | %s |\n", f.name, valueWords(f), def, meaning)
	}
}

// valueWords says what may be written after a key.
func valueWords(f field) string {
	words := typeWords(f.typ)
	switch {
	case len(f.enum) > 0:
		words = "`" + strings.Join(f.enum, "`, `") + "`"
	case f.min != "" && f.max != "":
		words += ", " + f.min + " to " + f.max
	}
	return words
}

func typeWords(t reflect.Type) string {
	switch t {
	case reflect.TypeFor[time.Duration]():
		return "duration"
	case reflect.TypeFor[Size]():
		return "size"
	case reflect.TypeFor[Address]():
		return "address"
	case reflect.TypeFor[Addresses]():
		return "address, or list of them"
	case reflect.TypeFor[Strings]():
		return "text, or list of it"
	case reflect.TypeFor[Pairs]():
		return "mapping of names to values"
	case reflect.TypeFor[Template]():
		return "template"
	case reflect.TypeFor[Text]():
		return "text, or mapping"
	case reflect.TypeFor[Conditions]():
		return "mapping of names to texts, or to mappings"
	case reflect.TypeFor[Matches]():
		return "mapping, or list of them"
	case reflect.TypeFor[NamedMatches]():
		return "mapping of names to matches"
	case reflect.TypeFor[Pools]():
		return "mapping of names to pools"
	case reflect.TypeFor[Statuses]():
		return "status, range, or list of them"
	case reflect.TypeFor[Causes]():
		return "`" + strings.Join(causes, "`, `") + "`, a status or range, or list of them"
	case reflect.TypeFor[Percent]():
		return "percentage"
	case reflect.TypeFor[Factor]():
		return "number"
	case reflect.TypeFor[Policy]():
		return "`" + strings.Join(policies, "`, `") + "`, or `{least_requests: {choices: N}}` with 2 to 1000 or `all`"
	case reflect.TypeFor[[]*Server]():
		return "list of addresses or mappings"
	case reflect.TypeFor[[]netip.Prefix]():
		return "list of addresses or networks"
	}
	switch t.Kind() {
	case reflect.Int:
		return "number"
	case reflect.Bool:
		return "`true`, `false`"
	case reflect.Slice:
		return "list of mappings"
	case reflect.Struct, reflect.Pointer:
		return "mapping"
	}
	return "text"
}

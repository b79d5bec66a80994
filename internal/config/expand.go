package config

import (
	"fmt"
	"strings"
	"unicode/utf8"
)

// maxExpanded bounds a value after its variables were put in.
const maxExpanded = 1 << 20

// missing is a variable that cannot be put in: where its "${" begins in the text, and why.
type missing struct {
	text          string // "${NAME", to find it in the source again
	message, hint string
}

// expand puts variables into a text: ${NAME}, ${NAME:-what to use when it is unset or empty}; $${ stands for ${.
func expand(text string, env func(string) (string, bool)) (string, *missing) {
	if !strings.Contains(text, "${") {
		return text, nil
	}
	var out strings.Builder
	for {
		before, rest, found := strings.Cut(text, "${")
		if !found || out.Len() > maxExpanded {
			out.WriteString(text)
			break
		}
		if escaped, ok := strings.CutSuffix(before, "$"); ok {
			out.WriteString(escaped + "${")
			text = rest
			continue
		}
		out.WriteString(before)
		inner, after, closed := strings.Cut(rest, "}")
		if !closed {
			return "", &missing{"${" + rest, "a variable that does not end", `write ${NAME}, or $${ for the characters "${"`}
		}
		value, bad := variable(inner, env)
		if bad != nil {
			return "", bad
		}
		out.WriteString(value)
		text = after
	}
	if out.Len() > maxExpanded {
		return "", &missing{"${", "the value is longer than 1 MiB with its variables", ""}
	}
	return out.String(), nil
}

func variable(inner string, env func(string) (string, bool)) (string, *missing) {
	name, fallback, hasFallback := strings.Cut(inner, ":-")
	if !isVariableName(name) {
		return "", &missing{"${" + inner, fmt.Sprintf("%q is no variable's name", name), `write ${NAME} or ${NAME:-default}, or $${ for the characters "${"`}
	}
	value, ok := env(name)
	switch {
	case hasFallback && value == "":
		return fallback, nil
	case !ok:
		return "", &missing{"${" + inner, fmt.Sprintf("the environment variable %s is not set", name), fmt.Sprintf("set it, or write ${%s:-default}", name)}
	case !utf8.ValidString(value) || strings.ContainsRune(value, 0):
		return "", &missing{"${" + inner, fmt.Sprintf("the environment variable %s is not UTF-8 text", name), ""}
	}
	return value, nil
}

func isVariableName(s string) bool {
	for i, c := range []byte(s) {
		letter := c == '_' || 'a' <= c|0x20 && c|0x20 <= 'z'
		if !letter && (i == 0 || c < '0' || c > '9') {
			return false
		}
	}
	return s != ""
}

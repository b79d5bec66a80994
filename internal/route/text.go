package route

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
)

const (
	// MaxPattern is the longest regular expression, in bytes, and MaxPatterned the longest value that one is compared with. RE2 takes time in proportion to
	// both, 10 to 100 ns for a byte of the value. What is longer has no answer: the request is refused.
	MaxPattern, MaxPatterned = 512, 1 << 10
	// MaxPatterns is how many regular expressions a listener's routes may have, so that no request takes more than some milliseconds.
	MaxPatterns = 100
)

// text is a Text in the form in which values are compared.
type text struct {
	kind    TextKind
	value   string
	pattern *regexp.Regexp
}

func newText(t Text) (text, error) {
	x := text{kind: t.Kind, value: t.Value}
	if t.Kind != Pattern {
		return x, nil
	}
	var err error
	x.pattern, err = compile(t.Value)
	return x, err
}

// compile makes a pattern that whole values match.
func compile(pattern string) (*regexp.Regexp, error) {
	if len(pattern) > MaxPattern {
		return nil, fmt.Errorf("a pattern is longer than %d bytes", MaxPattern)
	}
	if _, err := regexp.Compile(pattern); err != nil {
		return nil, errors.New(strings.TrimPrefix(err.Error(), "error parsing regexp: "))
	}
	whole, err := regexp.Compile(`\A(?:` + pattern + `)\z`)
	if err != nil {
		return nil, fmt.Errorf("the pattern %q does not stand alone", pattern)
	}
	return whole, nil
}

// equal tells whether both compare alike.
func (x *text) equal(o *text) bool { return x.kind == o.kind && x.value == o.value }

// match compares a value that is there. status refuses the request if it is too long.
func (x *text) match(l *lookup, value []byte, status int) bool {
	switch x.kind {
	case Exact:
		return string(value) == x.value
	case Present:
		return true
	case Prefix:
		return len(value) >= len(x.value) && string(value[:len(x.value)]) == x.value
	case Pattern:
		if len(value) > MaxPatterned {
			l.tooLong = status
			return false
		}
		return x.pattern.Match(value)
	}
	return false
}

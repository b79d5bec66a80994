package route

import (
	"net/url"
	"strings"
	"testing"
)

// hasParameter tells whether a query has a parameter that is like want.
func hasParameter(query, name string, want Text) bool {
	x, _ := newText(want)
	return new(lookup).hasParameter([]byte(query), &condition{name, x})
}

func TestHT6QueryParameters(t *testing.T) {
	many := strings.Repeat("a=0&", 255)
	tests := []struct {
		name, query, parameter, value string
		want                          bool
	}{
		{"no query", "", "a", "1", false},
		{"alone", "?a=1", "a", "1", true},
		{"among others", "?b=2&a=1&c", "a", "1", true},
		{"another value", "?a=2", "a", "1", false},
		{"value goes on", "?a=11", "a", "1", false},
		{"value ends early", "?a=1", "a", "11", false},
		{"name goes on", "?ab=1", "a", "1", false},
		{"one of several", "?a=2&a=1", "a", "1", true},
		{"a semicolon separates nothing", "?b=2;a=1", "a", "1", false},
		{"a semicolon is part of a value", "?a=1;b", "a", "1;b", true},
		{"escapes", "?%61=%31", "a", "1", true},
		{"escapes in both cases", "?a=%2f%2F", "a", "//", true},
		{"an escaped separator is none", "?b=2%26a=1", "a", "1", false},
		{"an escaped = is part of the name", "?a%3D1", "a", "1", false},
		{"decoded once", "?a=%2531", "a", "1", false},
		{"a bad escape equals nothing", "?a=%zz", "a", "%zz", false},
		{"half an escape", "?a=%1z", "a", "\xff", false},
		{"an escape cut short", "?a=%3", "a", "%3", false},
		{"an escape cut shorter", "?a=%", "a", "%", false},
		{"a bad escape spoils its parameter only", "?x=%&a=1", "a", "1", true},
		{"plus is no space", "?a=1+2", "a", "1 2", false},
		{"plus is plus", "?a=1+2", "a", "1+2", true},
		{"no value", "?a", "a", "", true},
		{"empty value", "?a=", "a", "", true},
		{"= in the value", "?a=1=2", "a", "1=2", true},
		{"empty pieces", "?&&a=1&&", "a", "1", true},
		{"a second ? is part of the name", "??a=1", "a", "1", false},
		{"parameter 256 is looked at", "?" + many + "a=1", "a", "1", true},
		{"parameter 257 is not", "?a=0&" + many + "a=1", "a", "1", false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := hasParameter(tt.query, tt.parameter, Text{Value: tt.value}); got != tt.want {
				t.Errorf("hasParameter(%.40q, %s=%s) = %v, want %v", tt.query, tt.parameter, tt.value, got, tt.want)
			}
		})
	}
}

// FuzzParameter compares with net/url's decoding.
func FuzzParameter(f *testing.F) {
	f.Add("?a=%31&b", "a", "1")
	f.Add("?a=1;b=%2", "a", "1;b=")
	f.Fuzz(func(t *testing.T, query, name, value string) {
		want := false
		pieces := strings.Split(strings.TrimPrefix(query, "?"), "&")
		for _, piece := range pieces[:min(len(pieces), maxParameters)] {
			n, v, _ := strings.Cut(piece, "=")
			decodedName, err1 := url.PathUnescape(n)
			decodedValue, err2 := url.PathUnescape(v)
			if piece != "" && err1 == nil && err2 == nil && decodedName == name && decodedValue == value {
				want = true
			}
		}
		if got := hasParameter(query, name, Text{Value: value}); got != want && (name != "" || value != "") {
			t.Errorf("hasParameter(%q, %q=%q) = %v, want %v", query, name, value, got, want)
		}
	})
}

package msg

import (
	"strings"
	"testing"
)

func FuzzFindCookie(f *testing.F) {
	for _, s := range []string{"poise=abc", "a=1; poise=abc; b=2", ";;=poise=; poise =\t", `poise="a b"`} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, field string) {
		value, found := findCookie([]byte(field), "poise", 64)
		want, wantFound := slowFind(field)
		if string(value) != want || found != wantFound {
			t.Errorf("findCookie(%q) = %q, %v, want %q, %v", field, value, found, want, wantFound)
		}
	})
}

// slowFind is findCookie in the plainest words.
func slowFind(field string) (value string, found bool) {
	for _, pair := range strings.Split(field, ";") {
		name, v, ok := strings.Cut(pair, "=")
		if !ok || strings.Trim(name, " \t") != "poise" {
			continue
		}
		found = true
		if v = strings.Trim(v, " \t"); v != "" && len(v) <= 64 {
			return v, true
		}
	}
	return "", found
}

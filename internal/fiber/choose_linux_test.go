package fiber

import (
	"errors"
	"testing"
)

func TestChooseDriver(t *testing.T) {
	works := func(*Loop, Config) (driver, error) { return &netDriver{}, nil }
	fails := func(*Loop, Config) (driver, error) { return nil, errors.New("refused") }
	for name, c := range map[string]struct {
		ask            string
		makers         []maker
		reason, failed string
	}{
		"the first one works":     {"auto", []maker{{"a", works}, {"b", fails}}, "", ""},
		"the default is auto":     {"", []maker{{"a", fails}, {"b", works}}, "not a: refused", ""},
		"all reasons are told":    {"auto", []maker{{"a", fails}, {"b", fails}, {"c", works}}, "not a: refused; not b: refused", ""},
		"one that is asked for":   {"b", []maker{{"a", works}, {"b", works}}, "", ""},
		"no other in its place":   {"a", []maker{{"a", fails}, {"b", works}}, "", "driver a: refused"},
		"one that does not exist": {"c", []maker{{"a", works}}, "", `no driver is called "c"`},
	} {
		t.Run(name, func(t *testing.T) {
			d, reason, err := choose(nil, Config{Driver: c.ask}, c.makers)
			failed := ""
			if err != nil {
				failed = err.Error()
			}
			if reason != c.reason || failed != c.failed || (d == nil) != (c.failed != "") {
				t.Errorf("choose = %v, %q, %q; want reason %q, error %q", d, reason, failed, c.reason, c.failed)
			}
		})
	}
}

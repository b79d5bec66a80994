package fiber

import "fmt"

// drivers are in the order in which auto tries them, the fastest first.
var drivers = []struct {
	name string
	make func(*Loop, Config) (driver, error)
}{
	{"io_uring", func(l *Loop, cfg Config) (driver, error) { return newURing(l, cfg) }},
	{"epoll", func(l *Loop, cfg Config) (driver, error) { return newEpoll(l, cfg) }},
	{"net", func(l *Loop, cfg Config) (driver, error) { return newNetDriver(l, cfg), nil }},
}

// newDriver makes the driver that cfg asks for; reason says why auto did not take a faster one.
func newDriver(l *Loop, cfg Config) (d driver, reason string, err error) {
	auto := cfg.Driver == "" || cfg.Driver == "auto"
	for _, t := range drivers {
		if !auto && t.name != cfg.Driver {
			continue
		}
		d, err := t.make(l, cfg)
		switch {
		case err == nil:
			return d, reason, nil
		case !auto:
			return nil, "", fmt.Errorf("driver %s: %w", t.name, err)
		case reason != "":
			reason += "; "
		}
		reason += "not " + t.name + ": " + err.Error()
	}
	return nil, "", fmt.Errorf("no driver is called %q", cfg.Driver)
}

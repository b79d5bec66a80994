package fiber

import "fmt"

type maker struct {
	name string
	make func(*Loop, Config) (driver, error)
}

// newDriver makes the driver that cfg asks for; reason says why auto did not take a faster one.
func newDriver(l *Loop, cfg Config) (d driver, reason string, err error) {
	return choose(l, cfg, []maker{ // the fastest first
		{"io_uring", func(l *Loop, cfg Config) (driver, error) { return newURing(l, cfg) }},
		{"epoll", func(l *Loop, cfg Config) (driver, error) { return newEpoll(l, cfg) }},
		{"net", func(l *Loop, cfg Config) (driver, error) { return newNetDriver(l, cfg), nil }},
	})
}

func choose(l *Loop, cfg Config, makers []maker) (d driver, reason string, err error) {
	auto := cfg.Driver == "" || cfg.Driver == "auto"
	for _, m := range makers {
		if !auto && m.name != cfg.Driver {
			continue
		}
		d, err := m.make(l, cfg)
		switch {
		case err == nil:
			return d, reason, nil
		case !auto:
			return nil, "", fmt.Errorf("driver %s: %w", m.name, err)
		case reason != "":
			reason += "; "
		}
		reason += "not " + m.name + ": " + err.Error()
	}
	return nil, "", fmt.Errorf("no driver is called %q", cfg.Driver)
}

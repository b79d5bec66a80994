package fiber

import "fmt"

// newDriver makes the driver that cfg asks for; reason says why auto did not take io_uring.
func newDriver(l *Loop, cfg Config) (d driver, reason string, err error) {
	switch cfg.Driver {
	case "net":
		return newNetDriver(l, cfg), "", nil
	case "io_uring":
		u, err := newURing(l, cfg)
		if err != nil {
			return nil, "", fmt.Errorf("driver io_uring: %w", err)
		}
		return u, "", nil
	case "", "auto":
		u, err := newURing(l, cfg)
		if err != nil {
			return newNetDriver(l, cfg), err.Error(), nil
		}
		return u, "", nil
	}
	return nil, "", fmt.Errorf("no driver is called %q", cfg.Driver)
}

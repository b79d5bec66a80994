package fiber

import "runtime/debug"

// offload is one call of Offload.
type offload struct {
	f     func()
	fiber *fiber
	panic any
	stack []byte
}

// Offload runs f on another goroutine and parks the fiber until it has returned: for what may block (files, DNS) or takes long
// (private keys). A bounded number runs at once; the rest waits in order. A panic in f is raised again in the fiber.
func (l *Loop) Offload(f func()) {
	o := &offload{f: f, fiber: l.current}
	if l.offloading < l.cfg.Offloads {
		l.startOffload(o)
	} else {
		l.offloads = append(l.offloads, o)
	}
	l.park()
	if o.panic != nil {
		panic(&OffloadPanic{Value: o.panic, Stack: o.stack})
	}
}

// OffloadPanic is what a fiber panics with when the function that it offloaded has panicked.
type OffloadPanic struct {
	Value any
	Stack []byte
}

func (l *Loop) startOffload(o *offload) {
	l.offloading++
	go func() {
		defer func() {
			if v := recover(); v != nil {
				o.panic, o.stack = v, debug.Stack()
			}
			l.Post(func() { l.endOffload(o) })
		}()
		o.f()
	}()
}

func (l *Loop) endOffload(o *offload) {
	l.offloading--
	if len(l.offloads) > 0 {
		next := l.offloads[0]
		l.offloads = l.offloads[1:]
		l.startOffload(next)
	}
	l.wake(o.fiber)
}

package fiber

// Task is a fiber that another fiber of the same loop waits for. The zero Task is ready.
type Task struct {
	loop   *Loop
	run    func()
	start  func() // kept, so that a reused Task allocates nothing
	busy   bool
	waiter *fiber
}

// Start runs f in a fiber of its own. A Task runs one function at a time.
func (t *Task) Start(l *Loop, f func()) {
	if t.busy {
		panic("fiber: a task is started twice")
	}
	t.loop, t.run, t.busy = l, f, true
	if t.start == nil {
		t.start = t.do
	}
	l.Go(t.start)
}

func (t *Task) do() {
	defer t.end() // also when run panics
	t.run()
}

func (t *Task) end() {
	t.busy = false
	if t.waiter != nil {
		f := t.waiter
		t.waiter = nil
		t.loop.wake(f)
	}
}

// Busy tells whether the function has not returned yet.
func (t *Task) Busy() bool { return t.busy }

// Wait parks the calling fiber until the function has returned.
func (t *Task) Wait() {
	for t.busy {
		t.waiter = t.loop.current
		t.loop.park()
	}
}

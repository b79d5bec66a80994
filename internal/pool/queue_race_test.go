package pool

import "testing"

// hooked is a policy by which something happens while a server is chosen.
type hooked struct {
	inOrder
	during func(q *Query)
}

func (h *hooked) Build(servers []*Server, loop int) Picker {
	return &hookedPicker{h.inOrder.Build(servers, loop), h}
}

type hookedPicker struct {
	Picker
	policy *hooked
}

func (p *hookedPicker) Pick(q *Query) *Server {
	if during := p.policy.during; during != nil {
		p.policy.during = nil
		during(q)
	}
	return p.Picker.Pick(q)
}

// Who is about to wait comes before who asks later, although there is room at this moment.
func TestQueueComesFirst(t *testing.T) {
	p := New(start, Spec{Name: "app", Policy: &inOrder{}, Servers: specs("a"), MaxRequests: 1, Queue: Queue{Length: 9}})
	p.queue.waiting.Add(1)
	if _, err := p.Acquire(start, &Query{}); err != ErrFull {
		t.Errorf("Acquire = %v while somebody is about to wait, want %v", err, ErrFull)
	}
	p.queue.waiting.Add(-1)
	if _, err := p.Acquire(start, &Query{}); err != nil {
		t.Errorf("Acquire = %v, want a lease", err)
	}
}

// A request that has the pool's last slot for as long as it takes to find that there is no server for it keeps nobody waiting.
func TestQueueSlotHeldInPassing(t *testing.T) {
	policy := &hooked{}
	p := New(start, Spec{Name: "app", Policy: policy, Servers: specs("a"), MaxRequests: 1, Queue: Queue{Length: 9}})
	vain, other, w, told := Query{}, Query{}, Waiter{}, false
	vain.Tried.Add(p.Servers()[0])
	policy.during = func(*Query) {
		if _, err := p.Acquire(start, &other); err != ErrFull {
			t.Errorf("Acquire = %v, want %v", err, ErrFull)
		}
		p.Join(&w, &other, func() { told = true })
	}
	if _, err := p.Acquire(start, &vain); err != ErrNoServer {
		t.Errorf("Acquire with all servers tried = %v, want %v", err, ErrNoServer)
	}
	lease, ok := p.Withdraw(&w)
	if !told || !ok {
		t.Fatalf("told %t, lease %t; want both: the slot is free", told, ok)
	}
	lease.End()
	if n := p.inFlight.Load(); n != 0 {
		t.Errorf("%d in flight at the end, want none", n)
	}
}

package pool

import (
	"testing"
	"time"

	"poise/internal/clock"
	"poise/internal/health"
)

func TestOrders(t *testing.T) {
	now := clock.Instant(time.Hour)
	p, _ := newPool("a b", nil)
	a := p.server(t, "a")
	tied := &Query{Prefer: a}

	p.Order(now, a, Draining, time.Minute)
	if got, gotTied := pick(p, &Query{}), pick(p, tied); got != "b" || gotTied != "a" {
		t.Errorf("while a drains: a new client gets %s, a tied one %s; want b and a", got, gotTied)
	}
	if events := p.Tick(now.Add(time.Minute - 1)); len(events) != 0 || a.Condition() != "draining" {
		t.Errorf("before its time is over: %v, a is %s; want nothing, draining", events, a.Condition())
	}
	if events := p.Tick(now.Add(time.Minute)); len(events) != 1 || events[0].Order != Maint || a.Condition() != "maint" {
		t.Errorf("when its time is over: %v, a is %s; want one event, maint", events, a.Condition())
	}
	if got := pick(p, tied); got != "b" {
		t.Errorf("while a is in maint a tied client gets %s, want b", got)
	}
	p.Update(now, specs("a b c"))
	if a.Condition() != "maint" {
		t.Errorf("after an update a is %s, want maint still", a.Condition())
	}
	p.Order(now, a, Ready, 0)
	if got := pick(p, &Query{}); got != "a" || a.Condition() != health.Up.String() {
		t.Errorf("a is %s and a new client gets %s, want up and a", a.Condition(), got)
	}
	p.Update(now, specs("b"))
	if p.Order(now, a, Maint, 0) || p.Reweigh(now, a, 1) {
		t.Error("a server that was removed takes an order")
	}
}

func TestNoServerWithoutAnOrder(t *testing.T) {
	p, _ := newPool("a", nil)
	p.Order(0, p.server(t, "a"), Maint, 0)
	if _, err := p.Acquire(0, &Query{}); err == nil {
		t.Error("Acquire gives a server in maint, want none")
	}
}

func TestReweighLastsUntilTheListSaysOtherwise(t *testing.T) {
	p, _ := newPool("a b", nil)
	a := p.server(t, "a")
	p.Reweigh(0, a, 0)
	p.Update(0, specs("a b"))
	if a.Weight() != 0 || pick(p, &Query{}) != "b" {
		t.Errorf("after an update with the weight of before: weight %d, want the ordered 0", a.Weight())
	}
	list := specs("a b")
	list[0].Weight = 7
	p.Update(0, list)
	if a.Weight() != 7 {
		t.Errorf("after an update with another weight: %d, want its 7", a.Weight())
	}
}

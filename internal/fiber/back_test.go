package fiber_test

import (
	"testing"
	"time"

	"poise/internal/fiber"
)

// Who stands back goes on after all that others have to do, and one in a turn, so that what comes meanwhile comes first.
func TestStandBack(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, l *fiber.Loop) {
		var order []string
		done := make(chan struct{})
		l.Post(func() {
			for range 2 {
				l.Go(func() {
					l.StandBack()
					order = append(order, "back")
					l.Go(func() { order = append(order, "follows") })
				})
			}
			l.Go(func() {
				for range 5 {
					order = append(order, "busy")
					l.Yield()
				}
			})
			l.Go(func() {
				l.Sleep(20 * time.Millisecond)
				close(done)
			})
		})
		<-done
		want := []string{"busy", "busy", "busy", "busy", "busy", "back", "follows", "back", "follows"}
		if len(order) != len(want) {
			t.Fatalf("the order is %q, want %q", order, want)
		}
		for i := range want {
			if order[i] != want[i] {
				t.Fatalf("the order is %q, want %q", order, want)
			}
		}
	})
}

// On a loop that is never idle nobody stands back for ever.
func TestStandBackEnds(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, l *fiber.Loop) {
		began, over, took := make(chan struct{}), false, time.Duration(0)
		done := make(chan struct{})
		l.Post(func() {
			l.Go(func() {
				close(began)
				for !over {
					l.Yield()
				}
				close(done)
			})
			l.Go(func() {
				from := time.Now()
				l.StandBack()
				took, over = time.Since(from), true
			})
		})
		<-began
		select {
		case <-done:
		case <-time.After(10 * time.Second):
			t.Fatal("a fiber stands back for ever")
		}
		if took < time.Millisecond {
			t.Errorf("it stood back for %v on a loop that was never idle", took)
		}
	})
}

package cli

import (
	"bytes"
	"strings"
	"testing"
	"time"
)

// blocked is a sink that takes nothing until it is released.
type blocked struct {
	release chan struct{}
	got     bytes.Buffer
}

func (b *blocked) Write(p []byte) (int, error) {
	<-b.release
	return b.got.Write(p)
}

func TestRX13BlockedProgramLogStopsNobody(t *testing.T) {
	sink := &blocked{release: make(chan struct{})}
	l := newLossyLog(sink)
	written := make(chan struct{})
	go func() {
		defer close(written)
		for range 3 * logLines {
			_, _ = l.Write([]byte("line\n"))
		}
	}()
	select {
	case <-written:
	case <-time.After(10 * time.Second):
		t.Fatal("Write waits for a sink that is blocked")
	}
	dropped := l.dropped.Load()
	l.Close(time.Millisecond) // returns although the sink is blocked
	close(sink.release)
	<-l.done
	if lines := uint64(strings.Count(sink.got.String(), "line\n")); lines+dropped != 3*logLines || dropped == 0 {
		t.Errorf("%d lines were written and %d dropped, want %d in all and some dropped", lines, dropped, 3*logLines)
	}
	if !strings.Contains(sink.got.String(), "lines of the program's log were dropped") {
		t.Error("nothing says that lines were dropped")
	}
}

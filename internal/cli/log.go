package cli

import (
	"fmt"
	"io"
	"sync/atomic"
	"time"
)

// logLines is how many lines of the program's log wait for a slow sink; what comes beyond is dropped and counted.
const logLines = 1024

// lossyLog is a writer for the program's log that never waits for its sink: loops and probers write to it, and a blocked pipe must not stop
// them.
type lossyLog struct {
	lines   chan []byte
	dropped atomic.Uint64
	quit    chan struct{}
	done    chan struct{}
	sink    io.Writer
}

func newLossyLog(sink io.Writer) *lossyLog {
	l := &lossyLog{lines: make(chan []byte, logLines), quit: make(chan struct{}), done: make(chan struct{}), sink: sink}
	go l.run()
	return l
}

// Write takes one line. It never fails and never waits.
func (l *lossyLog) Write(p []byte) (int, error) {
	select {
	case l.lines <- append([]byte(nil), p...):
	default:
		l.dropped.Add(1)
	}
	return len(p), nil
}

func (l *lossyLog) run() {
	defer close(l.done)
	for {
		select {
		case line := <-l.lines:
			l.put(line)
		case <-l.quit:
			for len(l.lines) > 0 {
				l.put(<-l.lines)
			}
			return
		}
	}
}

func (l *lossyLog) put(line []byte) {
	_, _ = l.sink.Write(line)
	if n := l.dropped.Swap(0); n > 0 {
		_, _ = fmt.Fprintf(l.sink, "poise: %d lines of the program's log were dropped: whoever reads it is slow\n", n)
	}
}

// Close writes what waits, for at most patience. It is called once; what is written later may be lost.
func (l *lossyLog) Close(patience time.Duration) {
	close(l.quit)
	select {
	case <-l.done:
	case <-time.After(patience):
	}
}

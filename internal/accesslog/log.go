// Package accesslog writes one line of JSON per exchange, and never makes traffic wait for it.
//
// Each loop encodes into buffers of its own Shard; a full buffer goes to the one writing goroutine of the Log and comes back
// empty. There is a fixed number of buffers: while a sink blocks or fails, they run out, and further records are dropped and
// counted. Nothing of a record is interpreted here, and what clients sent is escaped: each line parses back to one record.
//
// Start reading at Record, then Shard.Append, then Log.run.
package accesslog

import (
	"bytes"
	"errors"
	"sync/atomic"
	"time"
)

// Settings say where the log goes.
type Settings struct {
	// Path is "stdout", "stderr", or a file's path; the file is appended to, and made with mode 0640.
	Path string
	// Shards is the number of loops; at least 1.
	Shards int
	// Buffers is how many buffers of 64 KiB a shard may hold before it drops records. Default 64: 4 MiB a loop.
	Buffers int
	// Failed, where set, is told the first error of a series of failed writes, on the writing goroutine.
	Failed func(error)
}

const (
	defaultBuffers = 64
	// retryAfter a failed write: a full disk is rarely emptied sooner.
	retryAfter = time.Second
)

// Log owns the sink and the goroutine that writes to it.
type Log struct {
	shards []*Shard
	failed func(error)
	open   func() (sink, error)

	// full has room for every buffer there is, so that handing one over never blocks. Shards send, run receives.
	full   chan *buffer
	reopen chan struct{}
	stop   chan struct{} // closed by Close
	done   chan struct{} // closed by run

	sink    sink // run's own
	failing bool // run's own: the last write failed

	lost        atomic.Uint64 // records that run had to give up
	writeErrors atomic.Uint64
}

// Open opens the sink and starts the writer. It fails when the file cannot be opened.
func Open(s Settings) (*Log, error) {
	return start(s, func() (sink, error) { return openSink(s.Path) })
}

func start(s Settings, open func() (sink, error)) (*Log, error) {
	first, err := open()
	if err != nil {
		return nil, err
	}
	n, each := max(s.Shards, 1), s.Buffers
	if each <= 0 {
		each = defaultBuffers
	}
	l := &Log{
		failed: s.Failed,
		open:   open,
		full:   make(chan *buffer, n*each),
		reopen: make(chan struct{}, 1),
		stop:   make(chan struct{}),
		done:   make(chan struct{}),
		sink:   first,
	}
	for range n {
		l.shards = append(l.shards, &Shard{out: l.full, stop: l.stop, free: make(chan *buffer, each), spare: each})
	}
	go l.run()
	return l, nil
}

// Shard returns loop i's own part of the log.
func (l *Log) Shard(i int) *Shard { return l.shards[i] }

// Dropped is the number of records that were not written and will not be. Any goroutine may ask.
func (l *Log) Dropped() uint64 {
	n := l.lost.Load()
	for _, s := range l.shards {
		n += s.dropped.Load()
	}
	return n
}

// WriteErrors is the number of writes that failed; the records of a failed write are kept and tried again every second.
func (l *Log) WriteErrors() uint64 { return l.writeErrors.Load() }

// Reopen makes the writer open its file anew, after it was moved away. It returns at once; where the file cannot be
// opened, the old one stays in use.
func (l *Log) Reopen() {
	select {
	case l.reopen <- struct{}{}:
	default: // one is waiting already, and will see the same file
	}
}

// Close writes what shards have flushed, and closes the sink. Flush the shards first: what they append later is
// dropped. It gives up after timeout, for instance because a pipe is not read; it is called once.
func (l *Log) Close(timeout time.Duration) error {
	close(l.stop)
	deadline := time.NewTimer(timeout)
	defer deadline.Stop()
	select {
	case <-l.done:
		return nil
	case <-deadline.C:
		return errors.New("access log: close: records are left that the sink does not take")
	}
}

// run is the writing goroutine. After stop it writes what is there, and ends.
func (l *Log) run() {
	defer close(l.done)
	defer func() { _ = l.sink.Close() }() // O_APPEND without buffering: a failure here loses nothing that a write did not tell
	for {
		select {
		case b := <-l.full:
			l.write(b)
		case <-l.reopen:
			l.swap()
		case <-l.stop:
			for {
				select {
				case b := <-l.full:
					l.write(b)
				default:
					return
				}
			}
		}
	}
}

// write puts all of b into the sink, and gives b back to its shard. A failed write is tried again until it succeeds or the
// log is closed; meanwhile the shards run out of buffers, and drop.
func (l *Log) write(b *buffer) {
	defer b.recycle()
	for rest := b.bytes; len(rest) > 0; {
		n, err := l.sink.Write(rest)
		rest = rest[n:]
		if err == nil {
			l.failing = false
			continue
		}
		l.complain(err)
		retry := time.NewTimer(retryAfter)
		select {
		case <-retry.C:
		case <-l.reopen:
			if l.swap() {
				// The line that the old file holds the beginning of would be no record in the new one.
				rest = l.skipTorn(b.bytes, rest)
			}
		case <-l.stop:
			l.lost.Add(uint64(bytes.Count(rest, newline)))
			rest = nil
		}
		retry.Stop()
	}
}

var newline = []byte{'\n'}

// skipTorn returns rest from its first line that is whole.
func (l *Log) skipTorn(all, rest []byte) []byte {
	written := len(all) - len(rest)
	if written == 0 || len(rest) == 0 || all[written-1] == '\n' {
		return rest
	}
	l.lost.Add(1)
	return rest[bytes.IndexByte(rest, '\n')+1:]
}

// swap opens the sink anew, and reports whether another one is in use now.
func (l *Log) swap() bool {
	next, err := l.open()
	if err != nil {
		l.complain(err)
		return false
	}
	_ = l.sink.Close() // as in run
	l.sink = next
	return true
}

func (l *Log) complain(err error) {
	l.writeErrors.Add(1)
	if !l.failing && l.failed != nil {
		l.failed(err)
	}
	l.failing = true
}

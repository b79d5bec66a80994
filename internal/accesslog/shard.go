package accesslog

import "sync/atomic"

const (
	// bufferSize is what a buffer never outgrows: a record that does not fit goes into the next.
	bufferSize = 64 << 10
	// flushAt is the fill at which a shard hands its buffer over without being asked.
	flushAt = 32 << 10
)

// A record always fits an empty buffer.
const _ = uint(bufferSize - maxRecord)

// buffer holds whole lines. It belongs to its shard, from flush to recycle to the writer.
type buffer struct {
	bytes   []byte
	records int
	home    chan *buffer
}

// recycle gives the buffer back; home has room for all of a shard's buffers.
func (b *buffer) recycle() {
	b.bytes, b.records = b.bytes[:0], 0
	b.home <- b
}

// Shard is one loop's part of the log. Only that loop's thread may use it.
type Shard struct {
	current *buffer // nil: take one before the next record
	stamp   stamp
	spare   int // buffers that may still be made

	free chan *buffer // the writer's way back
	out  chan<- *buffer
	stop <-chan struct{}

	// dropped is written by this shard only, and only when a record is dropped; others read it.
	dropped atomic.Uint64
}

// Append encodes r. It never blocks, and keeps nothing of r. When all buffers wait for the sink, r is dropped and counted.
func (s *Shard) Append(r *Record) {
	if s.current != nil && len(s.current.bytes)+r.bound() > bufferSize {
		s.Flush()
	}
	if s.current == nil && !s.take() {
		s.dropped.Add(1)
		return
	}
	b := s.current
	b.bytes = r.append(b.bytes, &s.stamp)
	b.records++
	if len(b.bytes) >= flushAt {
		s.Flush()
	}
}

// Flush hands what was appended to the writer, without blocking. The loop calls it when it is idle, and every 100 ms.
func (s *Shard) Flush() {
	b := s.current
	if b == nil || b.records == 0 {
		return
	}
	select {
	case <-s.stop: // nobody would take it
		s.dropped.Add(uint64(b.records))
		b.bytes, b.records = b.bytes[:0], 0
		return
	default:
	}
	s.out <- b // has room: see Log.full
	s.current = nil
}

// take gets an empty buffer, if there is one. They are made when they are needed first: a quiet loop has one.
func (s *Shard) take() bool {
	select {
	case s.current = <-s.free:
		return true
	default:
	}
	if s.spare == 0 {
		return false
	}
	s.spare--
	s.current = &buffer{bytes: make([]byte, 0, bufferSize), home: s.free}
	return true
}

package accesslog

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// fakeSink keeps what was written. With err set it takes accept bytes in all and fails, failures times or for ever (0).
type fakeSink struct {
	bytes.Buffer
	err      error
	accept   int
	failures int
	block    chan struct{} // where set, Write waits until it is closed
	closed   bool
}

func (s *fakeSink) Write(p []byte) (int, error) {
	if s.block != nil {
		<-s.block
	}
	if s.err != nil {
		n := min(s.accept, len(p))
		s.accept -= n
		s.Buffer.Write(p[:n])
		err := s.err
		if s.failures--; s.failures == 0 {
			s.err = nil
		}
		return n, err
	}
	return s.Buffer.Write(p)
}

func (s *fakeSink) Close() error { s.closed = true; return nil }

// startFake starts a log over the given sinks; each opening takes the next.
func startFake(t *testing.T, s Settings, sinks ...*fakeSink) *Log {
	t.Helper()
	l, err := start(s, func() (sink, error) {
		if len(sinks) == 0 {
			return nil, errors.New("no further sink")
		}
		next := sinks[0]
		sinks = sinks[1:]
		return next, nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func appendPaths(s *Shard, paths ...string) {
	for _, p := range paths {
		r := sample()
		r.Path = []byte(p)
		s.Append(&r)
	}
}

// paths decodes each line of text.
func paths(t *testing.T, text string) string {
	t.Helper()
	var got []string
	for l := range strings.Lines(text) {
		got = append(got, decode(t, l).Path)
	}
	return strings.Join(got, " ")
}

func TestFlushedRecordsAreWrittenInOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		out := &fakeSink{}
		l := startFake(t, Settings{Shards: 2}, out)
		appendPaths(l.Shard(0), "/a", "/b")
		synctest.Wait()
		if got := out.String(); got != "" {
			t.Errorf("before Flush: %q, want nothing", got)
		}
		l.Shard(0).Flush()
		l.Shard(0).Flush()
		synctest.Wait()
		appendPaths(l.Shard(1), "/c")
		l.Shard(1).Flush()
		if err := l.Close(time.Second); err != nil {
			t.Errorf("Close() = %v, want nil", err)
		}
		if got := paths(t, out.String()); got != "/a /b /c" {
			t.Errorf("written = %q, want %q", got, "/a /b /c")
		}
		if !out.closed || l.Dropped() != 0 {
			t.Errorf("closed, Dropped() = %v, %d, want true, 0", out.closed, l.Dropped())
		}
		appendPaths(l.Shard(0), "/late")
		l.Shard(0).Flush()
		if got := l.Dropped(); got != 1 {
			t.Errorf("Dropped() after Close = %d, want 1", got)
		}
	})
}

func TestAppendFlushesByItself(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		out := &fakeSink{}
		l := startFake(t, Settings{}, out)
		filled := 0
		for filled < flushAt {
			appendPaths(l.Shard(0), "/a")
			r := sample()
			r.Path = []byte("/a")
			filled += len(encode(&r))
		}
		synctest.Wait()
		if got := out.Len(); got != filled {
			t.Errorf("written without Flush = %d bytes, want %d", got, filled)
		}
		// One that does not fit the rest of a buffer, and one that fits only an empty one.
		long := strings.Repeat("\x00", maxPath)
		appendPaths(l.Shard(0), "/b", long[:3000], long, long)
		l.Shard(0).Flush()
		l.Close(time.Second)
		if got := paths(t, out.String()); !strings.HasSuffix(got, "/b "+long[:3000]+" "+long+" "+long) {
			t.Errorf("the last records are not /b and three long ones: ...%q", got[max(0, len(got)-20):])
		}
		for range len(l.Shard(0).free) {
			if b := <-l.Shard(0).free; cap(b.bytes) != bufferSize {
				t.Errorf("a buffer has %d bytes, want %d: it was outgrown", cap(b.bytes), bufferSize)
			}
		}
	})
}

// TestRX13BlockedSink: with a sink that takes nothing for ever, Append returns, memory stays what it is, and drops are
// counted; when the sink comes back, what was kept is written.
func TestRX13BlockedSink(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		out := &fakeSink{block: make(chan struct{})}
		l := startFake(t, Settings{Buffers: 4}, out)
		s := l.Shard(0)
		r := sample()
		fill := func(n int) {
			for range n {
				s.Append(&r)
			}
			s.Flush()
		}
		fill(4000) // more than four buffers
		dropped := l.Dropped()
		if dropped == 0 {
			t.Fatal("Dropped() = 0 with all buffers full, want more")
		}
		// The runtime may allocate a little of its own meanwhile: what matters is that it is not once a record.
		if got := testing.AllocsPerRun(1, func() { fill(50000) }); got > 50 {
			t.Errorf("allocations of 50000 appends to a blocked sink = %v, want next to none", got)
		}
		if got := l.Dropped() - dropped; got != 100000 { // AllocsPerRun runs it twice
			t.Errorf("Dropped() grew by %d, want 100000", got)
		}
		if err := l.Close(3 * time.Second); err == nil {
			t.Error("Close() of a blocked log = nil, want an error at its deadline")
		}
		close(out.block)
		synctest.Wait()
		if got := uint64(strings.Count(out.String(), "\n")); got != 4000-dropped {
			t.Errorf("written after all = %d records, want %d", got, 4000-dropped)
		}
	})
}

func TestRX13RecordsAfterABlockedSinkComesBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		out := &fakeSink{block: make(chan struct{})}
		l := startFake(t, Settings{Buffers: 1}, out)
		appendPaths(l.Shard(0), "/a")
		l.Shard(0).Flush()
		appendPaths(l.Shard(0), "/dropped")
		close(out.block)
		synctest.Wait()
		appendPaths(l.Shard(0), "/b")
		l.Shard(0).Flush()
		l.Close(time.Second)
		if got := paths(t, out.String()); got != "/a /b" || l.Dropped() != 1 {
			t.Errorf("written, Dropped() = %q, %d, want %q, 1", got, l.Dropped(), "/a /b")
		}
	})
}

// TestRX13BlockedPipe does the same with a real pipe that nobody reads.
func TestRX13BlockedPipe(t *testing.T) {
	reader, writer, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer reader.Close()
	l, err := start(Settings{Buffers: 4}, func() (sink, error) { return writer, nil })
	if err != nil {
		t.Fatal(err)
	}
	r := sample()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	for range 20000 {
		l.Shard(0).Append(&r)
	}
	runtime.ReadMemStats(&after)
	if l.Dropped() == 0 {
		t.Error("Dropped() = 0 with an unread pipe, want more")
	}
	if got := after.TotalAlloc - before.TotalAlloc; got > 5*bufferSize {
		t.Errorf("allocated = %d bytes, want at most four buffers of %d", got, bufferSize)
	}
	began := time.Now()
	if err := l.Close(20 * time.Millisecond); err == nil {
		t.Error("Close() = nil, want an error")
	}
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("Close(20ms) took %v", took)
	}
	writer.Close() // lets the writing goroutine go
	<-l.done
}

// TestRX13DiskFull: a write that fails half-way is completed when there is room again: no line is torn or doubled.
func TestRX13DiskFull(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var told []error
		full := errors.New("no space left on device")
		out := &fakeSink{err: full, accept: 30, failures: 11}
		l := startFake(t, Settings{Failed: func(err error) { told = append(told, err) }}, out)
		appendPaths(l.Shard(0), "/a")
		l.Shard(0).Flush()
		time.Sleep(9 * retryAfter)
		appendPaths(l.Shard(0), "/b")
		l.Shard(0).Flush()
		time.Sleep(2 * retryAfter)
		l.Close(time.Second)
		if l.WriteErrors() != 11 || len(told) != 1 || told[0] != full {
			t.Errorf("WriteErrors(), told = %d, %v, want 11, once %v", l.WriteErrors(), told, full)
		}
		if got := paths(t, out.String()); got != "/a /b" || l.Dropped() != 0 {
			t.Errorf("written, Dropped() = %q, %d, want %q, 0", got, l.Dropped(), "/a /b")
		}
	})
}

func TestRX13CloseWithAFullDisk(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		out := &fakeSink{err: errors.New("no space left on device")}
		l := startFake(t, Settings{}, out)
		appendPaths(l.Shard(0), "/a", "/b")
		l.Shard(0).Flush()
		synctest.Wait()
		appendPaths(l.Shard(0), "/c")
		l.Shard(0).Flush()
		if err := l.Close(time.Second); err != nil || l.Dropped() != 3 {
			t.Errorf("Close(), Dropped() = %v, %d, want nil, 3", err, l.Dropped())
		}
	})
}

func TestReopenDuringAFailedWriteSkipsTheTornLine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		first, second := &fakeSink{err: errors.New("no space left on device"), accept: 30}, &fakeSink{}
		l := startFake(t, Settings{}, first, second)
		appendPaths(l.Shard(0), "/torn", "/b")
		l.Shard(0).Flush()
		synctest.Wait()
		l.Reopen()
		synctest.Wait()
		if got := paths(t, second.String()); got != "/b" || l.Dropped() != 1 || !first.closed {
			t.Errorf("written, Dropped(), first closed = %q, %d, %v, want /b, 1, true", got, l.Dropped(), first.closed)
		}
		l.Reopen() // cannot be opened: the second stays
		synctest.Wait()
		appendPaths(l.Shard(0), "/c")
		l.Shard(0).Flush()
		l.Close(time.Second)
		if got := paths(t, second.String()); got != "/b /c" {
			t.Errorf("written = %q, want %q", got, "/b /c")
		}
	})
}

func TestFileIsAppendedToAndReopened(t *testing.T) {
	dir := t.TempDir()
	name, moved := filepath.Join(dir, "access.log"), filepath.Join(dir, "access.log.1")
	if err := os.WriteFile(name, []byte(encode(new(Record))), 0o600); err != nil {
		t.Fatal(err)
	}
	l, err := Open(Settings{Path: name})
	if err != nil {
		t.Fatal(err)
	}
	appendPaths(l.Shard(0), "/a")
	l.Shard(0).Flush()
	waitFor(t, func() bool { return strings.Count(read(t, name), "\n") == 2 })
	if err := os.Rename(name, moved); err != nil {
		t.Fatal(err)
	}
	l.Reopen()
	waitFor(t, func() bool { _, err := os.Stat(name); return err == nil })
	if info, _ := os.Stat(name); info.Mode().Perm()&^0o640 != 0 {
		t.Errorf("mode = %v, want at most 0640", info.Mode())
	}
	appendPaths(l.Shard(0), "/b")
	l.Shard(0).Flush()
	if err := l.Close(10 * time.Second); err != nil {
		t.Fatal(err)
	}
	if got := paths(t, read(t, moved)); got != " /a" {
		t.Errorf("old file = %q, want the earlier record and /a", got)
	}
	if got := paths(t, read(t, name)); got != "/b" {
		t.Errorf("new file = %q, want /b", got)
	}
}

func TestOpenFails(t *testing.T) {
	if l, err := Open(Settings{Path: filepath.Join(t.TempDir(), "missing", "access.log")}); err == nil {
		t.Errorf("Open(in a missing directory) = %v, want an error", l)
	}
}

func read(t *testing.T, name string) string {
	t.Helper()
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// waitFor polls what another process or a real file shows; it fails t after 10 s.
func waitFor(t *testing.T, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); !ok(); runtime.Gosched() {
		if time.Now().After(end) {
			t.Fatal("waited 10 s")
		}
	}
}

func TestAppendAllocatesNothing(t *testing.T) {
	for _, test := range append(hostile[:len(hostile):len(hostile)], struct{ name, text string }{"usual", "/v1/things"}) {
		t.Run(test.name, func(t *testing.T) {
			out := &fakeSink{}
			out.Grow(1 << 20)
			l := startFake(t, Settings{}, out)
			defer l.Close(time.Second)
			r := sample()
			r.Path, r.RequestID = []byte(test.text), []byte(test.text)
			l.Shard(0).Append(&r)
			if got := testing.AllocsPerRun(20, func() { l.Shard(0).Append(&r) }); got != 0 {
				t.Errorf("allocations of Append = %v, want 0", got)
			}
		})
	}
}

type discard struct{}

func (discard) Write(p []byte) (int, error) { return len(p), nil }
func (discard) Close() error                { return nil }

func BenchmarkAppend(b *testing.B) {
	l, err := start(Settings{}, func() (sink, error) { return discard{}, nil })
	if err != nil {
		b.Fatal(err)
	}
	defer l.Close(time.Second)
	r := sample()
	b.ReportAllocs()
	for b.Loop() {
		r.Time += 10_000 // 100,000 requests a second
		l.Shard(0).Append(&r)
	}
}

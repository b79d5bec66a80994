package load

import (
	"bytes"
	"fmt"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
)

// All bodies of the churn are made of cells, which tell whose they are and where they belong: what is not one's own shows, wherever it comes up.
const cellSize = 16

// Who has made a cell.
const (
	ofRequest = 'r'
	ofAnswer  = 'a'
	surplus   = 'x' // what a server sends beyond its answer: no client may ever see it
)

// poison is what Poise overwrites freed buffers with; nobody in the churn sends it.
const poison = 0xdb

// appendCells appends n bytes of the cells of an id, from an offset on.
func appendCells(b []byte, tag byte, id uint32, offset, n int) []byte {
	end := len(b) + n
	for at := offset / cellSize; len(b) < end; at++ {
		var cell [cellSize]byte
		c := fmt.Appendf(cell[:0], "<%c%08x.%04x>", tag, id, at&0xffff)
		b = append(b, c[offset%cellSize:]...)
		offset -= offset % cellSize
	}
	return b[:end]
}

// faults is what must not be, as far as anybody has noticed.
type faults struct {
	mu    sync.Mutex // guards first
	first []string
	n     atomic.Int64
}

func (f *faults) add(format string, args ...any) {
	f.n.Add(1)
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.first) < 20 {
		f.first = append(f.first, fmt.Sprintf(format, args...))
	}
}

func (f *faults) report(t *testing.T) {
	t.Helper()
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, s := range f.first {
		t.Error(s)
	}
	if n := f.n.Load(); n > 0 {
		t.Errorf("%d faults", n)
	}
}

// watch sees every byte that one side reads, understood or not.
type watch struct {
	who    string
	faults *faults
	mine   func(tag byte, id uint32) bool
	rest   []byte // the beginning of what may be a cell
}

func (w *watch) Write(b []byte) (int, error) {
	if i := bytes.IndexByte(b, poison); i >= 0 {
		w.faults.add("%s read freed memory: %q", w.who, b[max(0, i-40):min(len(b), i+40)])
	}
	w.rest = append(w.rest, b...)
	s := w.rest
	for {
		i := bytes.IndexByte(s, '<')
		if i < 0 {
			s = s[len(s):]
			break
		}
		s = s[i:]
		if len(s) < cellSize {
			break
		}
		id, err := strconv.ParseUint(string(s[2:10]), 16, 32)
		if err == nil && s[10] == '.' && s[15] == '>' && !w.mine(s[1], uint32(id)) {
			w.faults.add("%s read what is not for it: %q", w.who, s[:min(len(s), 100)])
		}
		s = s[1:]
	}
	w.rest = append(w.rest[:0], s...)
	return len(b), nil
}

func TestWatch(t *testing.T) {
	own := func(tag byte, id uint32) bool { return tag == ofAnswer && id == 7 }
	for _, row := range []struct {
		name, in string
		want     int64
	}{
		{"own", string(appendCells(nil, ofAnswer, 7, 3, 100)), 0},
		{"foreign", string(appendCells(nil, ofAnswer, 8, 0, 20)), 1},
		{"of the other side", string(appendCells(nil, ofRequest, 7, 0, 32)), 2},
		{"freed", "abc\xdbdef", 1},
		{"none", "<a0000000", 0},
	} {
		t.Run(row.name, func(t *testing.T) {
			for _, step := range []int{1, 5, 1000} {
				var f faults
				w := watch{who: "test", faults: &f, mine: own}
				for b := []byte(row.in); len(b) > 0; b = b[min(step, len(b)):] {
					_, _ = w.Write(b[:min(step, len(b))])
				}
				if got := f.n.Load(); got != row.want {
					t.Errorf("%q in steps of %d = %d faults, want %d", row.in, step, got, row.want)
				}
			}
		})
	}
}

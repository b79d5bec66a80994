package fiber

import (
	"testing"
	"unsafe"
)

// TestConnStaysSmall: idle connections are many, and of objects up to 512 bytes the garbage collector scans a page at a time.
func TestConnStaysSmall(t *testing.T) {
	if got := unsafe.Sizeof(Conn{}); got > 512 {
		t.Errorf("a Conn has %d bytes, want at most 512", got)
	}
}

package fiber

import (
	"reflect"
	"testing"
)

// TestConnStaysSmall: idle connections are many, and of objects up to 512 bytes the garbage collector scans a page at a time.
func TestConnStaysSmall(t *testing.T) {
	if got := reflect.TypeFor[Conn]().Size(); got > 512 {
		t.Errorf("a Conn has %d bytes, want at most 512", got)
	}
}

package sys

import (
	"bytes"
	"crypto/tls"
	"reflect"
	"unsafe"
)

// Where a tls.Conn has its buffers; 0: not as this version of Poise knows them.
var rawOffset, handOffset = offsetOf("rawInput"), offsetOf("hand")

func offsetOf(buffer string) uintptr {
	f, ok := reflect.TypeFor[tls.Conn]().FieldByName(buffer)
	if !ok || f.Type != reflect.TypeFor[bytes.Buffer]() {
		return 0
	}
	return f.Offset
}

// TLSBuffers returns the buffers in which a tls.Conn collects records and handshake messages as they come; nil where this version of crypto/tls has
// others. It never gives their memory back, and does not tell whether they are empty, so that an idle connection would keep the memory of the largest
// record that it has ever got. An empty buffer is as good to it as another one: that is all that is made use of.
func TLSBuffers(c *tls.Conn) (raw, hand *bytes.Buffer) {
	if rawOffset == 0 || handOffset == 0 {
		return nil, nil
	}
	p := unsafe.Pointer(c)
	return (*bytes.Buffer)(unsafe.Add(p, rawOffset)), (*bytes.Buffer)(unsafe.Add(p, handOffset))
}

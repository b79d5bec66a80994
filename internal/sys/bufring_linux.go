package sys

import (
	"fmt"
	"sync/atomic"
	"unsafe"

	"golang.org/x/sys/unix"
)

// BufRing is a ring of buffers that the kernel takes from when bytes come, so that a connection that waits owns none.
type BufRing struct {
	mem  []byte
	bufs []bufEntry
	tail uint16
}

// bufEntry is struct io_uring_buf. The ring's tail lies in the last field of the first entry.
type bufEntry struct {
	addr uint64
	len  uint32
	id   uint16
	tail uint16
}

// NewBufRing registers a ring of entries (a power of two, at most 32,768) as buffer group `group`.
func (r *Ring) NewBufRing(entries int, group uint16) (*BufRing, error) {
	mem, err := unix.Mmap(-1, 0, entries*int(unsafe.Sizeof(bufEntry{})), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_ANON|unix.MAP_PRIVATE)
	if err != nil {
		return nil, fmt.Errorf("map a buffer ring: %w", err)
	}
	reg := &struct {
		addr    uint64
		entries uint32
		group   uint16
		flags   uint16
		_       [3]uint64
	}{addr: uint64(uintptr(unsafe.Pointer(&mem[0]))), entries: uint32(entries), group: group}
	_, _, errno := unix.Syscall6(unix.SYS_IO_URING_REGISTER, uintptr(r.fd), registerPbufRing, uintptr(unsafe.Pointer(reg)), 1, 0, 0)
	if errno != 0 {
		_ = unix.Munmap(mem)
		return nil, fmt.Errorf("register a buffer ring: %w", errno)
	}
	return &BufRing{mem: mem, bufs: unsafe.Slice((*bufEntry)(unsafe.Pointer(&mem[0])), entries)}, nil
}

// Add gives b to the kernel under id. It is visible to the kernel after Publish. b lies outside the Go heap.
func (br *BufRing) Add(b []byte, id uint16) {
	e := &br.bufs[int(br.tail)&(len(br.bufs)-1)]
	e.addr, e.len, e.id = uint64(uintptr(unsafe.Pointer(unsafe.SliceData(b)))), uint32(len(b)), id
	br.tail++
}

// Publish shows the kernel what was added. (The 16-bit tail is stored together with its entry's id: Go has no 16-bit atomic store.)
func (br *BufRing) Publish() {
	e := &br.bufs[0]
	atomic.StoreUint32((*uint32)(unsafe.Pointer(&e.id)), uint32(e.id)|uint32(br.tail)<<16)
}

// Close unmaps the ring; the Ring it belongs to is closed first.
func (br *BufRing) Close() error { return unix.Munmap(br.mem) }

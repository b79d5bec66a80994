package sys

import (
	"errors"
	"fmt"
	"sync/atomic"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Opcodes of io_uring(7) that Poise uses; the numbers are from include/uapi/linux/io_uring.h.
const (
	OpPollAdd     = 6
	OpSendmsg     = 9
	OpAccept      = 13
	OpAsyncCancel = 14
	OpConnect     = 16
	OpClose       = 19
	OpRead        = 22
	OpSend        = 26
	OpRecv        = 27
)

// Flags of submissions and completions, from the same header.
const (
	SQEBufferSelect = 1 << 5
	sqeSkipSuccess  = 1 << 6 // nobody asks whether it worked

	RecvMultishot   = 1 << 1 // in Ioprio
	AcceptMultishot = 1 << 0 // in Ioprio

	CQEBuffer = 1 << 0 // a provided buffer was taken; its id is in the flags' upper half
	CQEMore   = 1 << 1 // the operation goes on

	cancelAll = 1 << 0
	cancelFD  = 1 << 1
)

const (
	setupCQSize       = 1 << 3
	setupSubmitAll    = 1 << 7
	setupSingleIssuer = 1 << 12
	setupDeferTaskrun = 1 << 13
	setupNoSQArray    = 1 << 16

	enterGetEvents = 1 << 0
	enterExtArg    = 1 << 3
	enterByIndex   = 1 << 4 // the descriptor is an index of what the thread has registered

	offSQRing = 0
	offCQRing = 0x8000000
	offSQEs   = 0x10000000

	featSingleMmap = 1 << 0
	featNoDrop     = 1 << 1
	featExtArg     = 1 << 8

	registerRingFDs   = 20
	unregisterRingFDs = 21
	registerPbufRing  = 22
)

// SQE is one submission: struct io_uring_sqe.
type SQE struct {
	Opcode   uint8
	Flags    uint8
	Ioprio   uint16
	FD       int32
	Off      uint64
	Addr     uint64
	Len      uint32
	OpFlags  uint32
	UserData uint64
	BufGroup uint16
	_        uint16
	_        int32
	_        [2]uint64
}

// CQE is one completion: struct io_uring_cqe.
type CQE struct {
	UserData uint64
	Res      int32 // a result, or a negative errno
	Flags    uint32
}

// Err returns the completion's error, or nil.
func (c *CQE) Err() error {
	if c.Res < 0 {
		return unix.Errno(-c.Res)
	}
	return nil
}

type ringParams struct {
	sqEntries, cqEntries, flags, sqThreadCPU, sqThreadIdle, features, wqFd uint32
	_                                                                      [3]uint32
	sqOff                                                                  struct {
		head, tail, ringMask, ringEntries, flags, dropped, array, _ uint32
		userAddr                                                    uint64
	}
	cqOff struct {
		head, tail, ringMask, ringEntries, overflow, cqes, flags, _ uint32
		userAddr                                                    uint64
	}
}

// Ring is one io_uring. All its methods are called by the thread that made it.
type Ring struct {
	fd    int
	flags uint32
	enter uintptr // what io_uring_enter is given for fd, and
	by    uintptr // the flag that says how to read it

	sqHead, sqTail *uint32 // shared with the kernel
	cqHead, cqTail *uint32
	sqMask, cqMask uint32
	sqEntries      uint32
	tail           uint32 // ours: what is filled, published at Enter
	sqes           []SQE
	cqes           []CQE
	ringMem        []byte
	sqeMem         []byte

	// arg and ts are handed to the kernel by address: they live in this heap object, never on a stack.
	arg struct {
		sigmask   uint64
		sigmaskSz uint32
		_         uint32
		ts        uint64
	}
	ts unix.Timespec
}

// NewRing sets up a ring with room for entries submissions and cq completions. Set-up flags that this kernel does not
// know are dropped one by one, the newest first.
func NewRing(entries, cq uint32) (*Ring, error) {
	const base = setupCQSize | setupSubmitAll | setupSingleIssuer
	var err error
	// DEFER_TASKRUN stays: without it completions interrupt the loop's thread, and 6.1, where it came, is the oldest kernel that has all else.
	for _, flags := range []uint32{base | setupDeferTaskrun | setupNoSQArray, base | setupDeferTaskrun} {
		var r *Ring
		if r, err = setupRing(entries, cq, flags); err == nil {
			return r, nil
		}
		if !errors.Is(err, unix.EINVAL) {
			break
		}
	}
	return nil, fmt.Errorf("set up io_uring: %w", err)
}

func setupRing(entries, cq, flags uint32) (*Ring, error) {
	p := &ringParams{flags: flags, cqEntries: cq}
	fd, _, errno := unix.Syscall(unix.SYS_IO_URING_SETUP, uintptr(entries), uintptr(unsafe.Pointer(p)), 0)
	if errno != 0 {
		return nil, errno
	}
	unix.CloseOnExec(int(fd))
	r := &Ring{fd: int(fd), flags: flags, sqEntries: p.sqEntries}
	if need := uint32(featSingleMmap | featNoDrop | featExtArg); p.features&need != need {
		_ = unix.Close(r.fd)
		return nil, unix.EINVAL
	}
	size := max(int(p.sqOff.array+p.sqEntries*4), int(p.cqOff.cqes+p.cqEntries*uint32(unsafe.Sizeof(CQE{}))))
	var err error
	if r.ringMem, err = unix.Mmap(r.fd, offSQRing, size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED|unix.MAP_POPULATE); err != nil {
		_ = unix.Close(r.fd)
		return nil, err
	}
	sqes := int(p.sqEntries) * int(unsafe.Sizeof(SQE{}))
	if r.sqeMem, err = unix.Mmap(r.fd, offSQEs, sqes, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED|unix.MAP_POPULATE); err != nil {
		_ = unix.Munmap(r.ringMem)
		_ = unix.Close(r.fd)
		return nil, err
	}
	at := func(off uint32) *uint32 { return (*uint32)(unsafe.Pointer(&r.ringMem[off])) }
	r.sqHead, r.sqTail, r.sqMask = at(p.sqOff.head), at(p.sqOff.tail), *at(p.sqOff.ringMask)
	r.cqHead, r.cqTail, r.cqMask = at(p.cqOff.head), at(p.cqOff.tail), *at(p.cqOff.ringMask)
	r.sqes = unsafe.Slice((*SQE)(unsafe.Pointer(&r.sqeMem[0])), p.sqEntries)
	r.cqes = unsafe.Slice((*CQE)(unsafe.Pointer(&r.ringMem[p.cqOff.cqes])), p.cqEntries)
	if flags&setupNoSQArray == 0 {
		array := unsafe.Slice(at(p.sqOff.array), p.sqEntries)
		for i := range array {
			array[i] = uint32(i)
		}
	}
	r.tail = *r.sqTail
	r.register()
	return r, nil
}

// register lets the thread name the ring by an index, so that the kernel need not look its descriptor up at each enter. Where that fails, the
// descriptor serves.
func (r *Ring) register() {
	r.enter = uintptr(r.fd)
	place := &ringPlace{index: ^uint32(0), data: uint64(r.fd)} // any free one; the kernel writes which
	n, _, errno := unix.Syscall6(unix.SYS_IO_URING_REGISTER, uintptr(r.fd), registerRingFDs, uintptr(unsafe.Pointer(place)), 1, 0, 0)
	if errno == 0 && n == 1 {
		r.enter, r.by = uintptr(place.index), enterByIndex
	}
}

// unregister gives the index back, which holds on to the ring.
func (r *Ring) unregister() {
	if r.by != 0 {
		place := &ringPlace{index: uint32(r.enter)}
		_, _, _ = unix.Syscall6(unix.SYS_IO_URING_REGISTER, uintptr(r.fd), unregisterRingFDs, uintptr(unsafe.Pointer(place)), 1, 0, 0)
		r.enter, r.by = uintptr(r.fd), 0
	}
}

// ringPlace is struct io_uring_rsrc_update, as the two calls use it.
type ringPlace struct {
	index, _ uint32
	data     uint64
}

// Next returns a zeroed submission to fill in, or nil when the queue is full: then Enter makes room.
func (r *Ring) Next() *SQE {
	if r.tail-atomic.LoadUint32(r.sqHead) >= r.sqEntries {
		return nil
	}
	e := &r.sqes[r.tail&r.sqMask]
	r.tail++
	*e = SQE{}
	return e
}

// Pending is the number of submissions that the kernel has not taken: our tail minus the kernel's head.
func (r *Ring) Pending() uint32 { return r.tail - atomic.LoadUint32(r.sqHead) }

// Enter submits what is pending and lets the kernel post completions, without waiting. It is a raw call: Go's scheduler
// does not learn of it, and a stop of the world waits for it.
func (r *Ring) Enter() error {
	atomic.StoreUint32(r.sqTail, r.tail)
	_, _, errno := unix.RawSyscall6(unix.SYS_IO_URING_ENTER, r.enter, uintptr(r.Pending()), 0, enterGetEvents|r.by, 0, 0)
	return enterErr(errno)
}

// Wait submits what is pending and sleeps until one completion is there or d has passed; d < 0 waits without end. Go gets its
// processor back for that time.
func (r *Ring) Wait(d time.Duration) error {
	atomic.StoreUint32(r.sqTail, r.tail)
	r.arg.ts = 0
	if d >= 0 {
		r.ts = unix.NsecToTimespec(int64(d))
		r.arg.ts = uint64(uintptr(unsafe.Pointer(&r.ts)))
	}
	_, _, errno := unix.Syscall6(unix.SYS_IO_URING_ENTER, r.enter, uintptr(r.Pending()), 1, enterGetEvents|enterExtArg|r.by,
		uintptr(unsafe.Pointer(&r.arg)), unsafe.Sizeof(r.arg))
	return enterErr(errno)
}

// enterErr hides what is no failure: a time-out, a signal, and completions that must be taken first.
func enterErr(errno unix.Errno) error {
	switch errno {
	case 0, unix.ETIME, unix.EINTR, unix.EBUSY, unix.EAGAIN:
		return nil
	}
	return errno
}

// Ready returns the completions that are there, as a batch of at most the ring's rest; Seen gives them back. The slice is
// valid until Seen.
func (r *Ring) Ready() []CQE {
	head, tail := *r.cqHead, atomic.LoadUint32(r.cqTail)
	if head == tail {
		return nil
	}
	from := head & r.cqMask
	n := min(tail-head, r.cqMask+1-from)
	return r.cqes[from : from+n]
}

// Seen tells the kernel that n completions were read.
func (r *Ring) Seen(n int) { atomic.StoreUint32(r.cqHead, *r.cqHead+uint32(n)) }

// Close ends the ring and everything armed on it.
func (r *Ring) Close() error {
	r.unregister()
	_ = unix.Munmap(r.sqeMem)
	_ = unix.Munmap(r.ringMem)
	return unix.Close(r.fd)
}

// PrepRecv arms a receive of at most most bytes (0: as many as fit) into a buffer of the group; multishot goes on until it is cancelled, fails or
// finds no buffer.
func (e *SQE) PrepRecv(fd int, group uint16, multishot bool, most int) {
	e.Opcode, e.FD, e.Flags, e.BufGroup, e.Len = OpRecv, int32(fd), SQEBufferSelect, group, uint32(most)
	if multishot {
		e.Ioprio = RecvMultishot
	}
}

// PrepSend sends b whole (MSG_WAITALL): it completes early only when the connection breaks. b stays untouched and
// reachable until the completion.
func (e *SQE) PrepSend(fd int, b []byte, more bool) {
	e.Opcode, e.FD = OpSend, int32(fd)
	e.Addr, e.Len = uint64(uintptr(unsafe.Pointer(unsafe.SliceData(b)))), uint32(len(b))
	e.OpFlags = sendFlags(more)
}

// sendFlags: more says that other bytes, or the end, follow right away, and share a segment.
func sendFlags(more bool) uint32 {
	if more {
		return unix.MSG_WAITALL | unix.MSG_NOSIGNAL | unix.MSG_MORE
	}
	return unix.MSG_WAITALL | unix.MSG_NOSIGNAL
}

// Msg is what a gathering send needs to stay in place until its completion.
type Msg struct {
	hdr unix.Msghdr
	iov [MaxGather]unix.Iovec
}

// MaxGather is the most slices that one send takes.
const MaxGather = 8

func (m *Msg) fill(bufs [][]byte) {
	for i, b := range bufs {
		m.iov[i].Base = unsafe.SliceData(b)
		m.iov[i].SetLen(len(b))
	}
	m.hdr = unix.Msghdr{Iov: &m.iov[0]}
	m.hdr.SetIovlen(len(bufs))
}

// PrepSendMsg sends all of bufs in order, as PrepSend does. m and bufs stay untouched and reachable until the completion.
func (e *SQE) PrepSendMsg(fd int, m *Msg, bufs [][]byte, more bool) {
	m.fill(bufs)
	e.Opcode, e.FD, e.Len = OpSendmsg, int32(fd), 1
	e.Addr = uint64(uintptr(unsafe.Pointer(&m.hdr)))
	e.OpFlags = sendFlags(more)
}

// PrepPoll waits until fd can be read from, or written to, or is broken.
func (e *SQE) PrepPoll(fd int, write bool) {
	e.Opcode, e.FD, e.OpFlags = OpPollAdd, int32(fd), unix.POLLIN|unix.POLLRDHUP
	if write {
		e.OpFlags = unix.POLLOUT
	}
}

// PrepAccept arms an accept, whose sockets are close-on-exec; multishot goes on, through all that is queued, until it is cancelled or fails.
func (e *SQE) PrepAccept(fd int, multishot bool) {
	e.Opcode, e.FD, e.OpFlags = OpAccept, int32(fd), unix.SOCK_CLOEXEC
	if multishot {
		e.Ioprio = AcceptMultishot
	}
}

// PrepConnect connects fd to a. a stays untouched and reachable until the completion.
func (e *SQE) PrepConnect(fd int, a *SockAddr) {
	e.Opcode, e.FD, e.Off = OpConnect, int32(fd), uint64(a.len)
	e.Addr = uint64(uintptr(unsafe.Pointer(&a.raw)))
}

// PrepCancel ends the operation that was submitted with the given user data.
func (e *SQE) PrepCancel(userData uint64) {
	e.Opcode, e.FD, e.Addr, e.Flags = OpAsyncCancel, -1, userData, sqeSkipSuccess
}

// PrepCancelFD ends every operation on fd.
func (e *SQE) PrepCancelFD(fd int) {
	e.Opcode, e.FD, e.OpFlags, e.Flags = OpAsyncCancel, int32(fd), cancelAll|cancelFD, sqeSkipSuccess
}

// PrepClose closes fd.
func (e *SQE) PrepClose(fd int) { e.Opcode, e.FD, e.Flags = OpClose, int32(fd), sqeSkipSuccess }

// PrepRead reads 8 bytes into p, which stays reachable until the completion: an eventfd's counter.
func (e *SQE) PrepRead(fd int, p *uint64) {
	e.Opcode, e.FD, e.Addr, e.Len = OpRead, int32(fd), uint64(uintptr(unsafe.Pointer(p))), 8
}

package sys

import (
	"os"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// What an event of Epoll may tell, from epoll_ctl(2).
const (
	EventIn      = unix.EPOLLIN
	EventOut     = unix.EPOLLOUT
	EventUrgent  = unix.EPOLLPRI   // a short read may have stopped at an urgent byte
	EventPeerFIN = unix.EPOLLRDHUP // the peer's FIN is there, perhaps behind bytes
	EventErr     = unix.EPOLLERR
	EventHangUp  = unix.EPOLLHUP
)

// Epoll is one epoll instance. All its methods but Close are called by one thread.
type Epoll struct {
	fd     int
	events []unix.EpollEvent
	fine   bool // epoll_pwait2 is there (Linux 5.11): time-outs in nanoseconds
	ts     unix.Timespec
}

// NewEpoll makes an instance that tells at most batch events at a time.
func NewEpoll(batch int) (*Epoll, error) {
	fd, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, os.NewSyscallError("epoll_create1", err)
	}
	p := &Epoll{fd: fd, events: make([]unix.EpollEvent, batch)}
	_, _, errno := unix.RawSyscall6(unix.SYS_EPOLL_PWAIT2, uintptr(fd), uintptr(unsafe.Pointer(&p.events[0])), uintptr(batch),
		uintptr(unsafe.Pointer(&p.ts)), 0, 0)
	p.fine = errno == 0
	return p, nil
}

// AddStream tells each change of a connected or connecting socket, once, with the token. Closing the socket ends it.
func (p *Epoll) AddStream(fd int, token uint64) error {
	return p.add(fd, token, EventIn|EventOut|EventUrgent|EventPeerFIN|unix.EPOLLET)
}

// AddSource tells each time that there is something to read or accept on fd, once, with the token.
func (p *Epoll) AddSource(fd int, token uint64) error { return p.add(fd, token, EventIn|unix.EPOLLET) }

func (p *Epoll) add(fd int, token uint64, events uint32) error {
	e := unix.EpollEvent{Events: events, Fd: int32(uint32(token)), Pad: int32(uint32(token >> 32))}
	_, _, errno := unix.RawSyscall6(unix.SYS_EPOLL_CTL, uintptr(p.fd), unix.EPOLL_CTL_ADD, uintptr(fd), uintptr(unsafe.Pointer(&e)), 0, 0)
	return callErr("epoll_ctl", errno)
}

// Remove ends the events of a descriptor that has copies: the close of one does not end them.
func (p *Epoll) Remove(fd int) {
	var e unix.EpollEvent // kernels before 2.6.9 wanted one
	_, _, _ = unix.RawSyscall6(unix.SYS_EPOLL_CTL, uintptr(p.fd), unix.EPOLL_CTL_DEL, uintptr(fd), uintptr(unsafe.Pointer(&e)), 0, 0)
}

// Look returns the number of events that are there, without waiting. It is a raw call: Go's scheduler does not learn of it.
func (p *Epoll) Look() (int, error) {
	n, _, errno := unix.RawSyscall6(unix.SYS_EPOLL_PWAIT, uintptr(p.fd), uintptr(unsafe.Pointer(&p.events[0])), uintptr(len(p.events)), 0, 0, 0)
	return waited(n, errno)
}

// Wait sleeps until there are events, or d has passed; d < 0 waits without end. Go gets its processor back for that time.
func (p *Epoll) Wait(d time.Duration) (int, error) {
	if p.fine && d >= 0 {
		p.ts = unix.NsecToTimespec(int64(d))
		n, _, errno := unix.Syscall6(unix.SYS_EPOLL_PWAIT2, uintptr(p.fd), uintptr(unsafe.Pointer(&p.events[0])), uintptr(len(p.events)),
			uintptr(unsafe.Pointer(&p.ts)), 0, 0)
		return waited(n, errno)
	}
	n, _, errno := unix.Syscall6(unix.SYS_EPOLL_PWAIT, uintptr(p.fd), uintptr(unsafe.Pointer(&p.events[0])), uintptr(len(p.events)), uintptr(millis(d)), 0, 0)
	return waited(n, errno)
}

// millis rounds up: a wait that ended too early would be followed by one of nothing, again and again.
func millis(d time.Duration) int {
	const most = 1 << 30 // twelve days; the kernel takes an int
	if d < 0 {
		return -1
	}
	return int(min((d+time.Millisecond-1)/time.Millisecond, most))
}

// waited hides a signal: nothing has come then.
func waited(n uintptr, errno unix.Errno) (int, error) {
	switch errno {
	case 0:
		return int(n), nil
	case unix.EINTR:
		return 0, nil
	}
	return 0, os.NewSyscallError("epoll_wait", errno)
}

// Event is the i-th of the events that Look or Wait has counted last.
func (p *Epoll) Event(i int) (what uint32, token uint64) {
	e := &p.events[i]
	return e.Events, uint64(uint32(e.Fd)) | uint64(uint32(e.Pad))<<32
}

// Close ends the instance.
func (p *Epoll) Close() error { return unix.Close(p.fd) }

// Recv receives what is there, and never waits: ErrAgain says that nothing is. 0 bytes without an error are the peer's FIN. It is a raw call.
func Recv(fd int, b []byte) (int, error) {
	n, _, errno := unix.RawSyscall6(unix.SYS_RECVFROM, uintptr(fd), uintptr(unsafe.Pointer(unsafe.SliceData(b))), uintptr(len(b)), unix.MSG_DONTWAIT, 0, 0)
	if errno != 0 {
		return 0, errno
	}
	return int(n), nil
}

// Send sends as much of bufs as the socket has room for, and never waits: ErrAgain says that there is none. more says that other bytes, or the end, follow
// right away, and share a segment. With raw, Go's scheduler does not learn of the call, and a stop of the world waits for its copying.
func Send(fd int, m *Msg, bufs [][]byte, more, raw bool) (int, error) {
	flags := uintptr(unix.MSG_DONTWAIT | unix.MSG_NOSIGNAL)
	if more {
		flags |= unix.MSG_MORE
	}
	var n uintptr
	var errno unix.Errno
	switch {
	case !raw:
		m.fill(bufs)
		n, _, errno = unix.Syscall(unix.SYS_SENDMSG, uintptr(fd), uintptr(unsafe.Pointer(&m.hdr)), flags)
	case len(bufs) == 1:
		n, _, errno = unix.RawSyscall6(unix.SYS_SENDTO, uintptr(fd), uintptr(unsafe.Pointer(unsafe.SliceData(bufs[0]))), uintptr(len(bufs[0])), flags, 0, 0)
	default:
		m.fill(bufs)
		n, _, errno = unix.RawSyscall(unix.SYS_SENDMSG, uintptr(fd), uintptr(unsafe.Pointer(&m.hdr)), flags)
	}
	if errno != 0 {
		return 0, errno
	}
	return int(n), nil
}

// ErrAgain is what a call that never waits returns where another one would.
const ErrAgain = unix.EAGAIN

// NonblockingSocket makes a stream socket for an address's family whose connect does not wait.
func NonblockingSocket(family int) (int, error) { return socket(family, unix.SOCK_NONBLOCK) }

// Connect begins to connect a non-blocking socket: done says that it is connected already. Else an event tells the end, and SocketErr how it went.
func Connect(fd int, a *SockAddr) (done bool, err error) {
	_, _, errno := unix.RawSyscall(unix.SYS_CONNECT, uintptr(fd), uintptr(unsafe.Pointer(&a.raw)), uintptr(a.len))
	if errno == unix.EINPROGRESS || errno == unix.EINTR {
		return false, nil
	}
	return errno == 0, callErr("connect", errno)
}

// SocketErr takes the error that waits on a socket, or nil.
func SocketErr(fd int) error {
	n, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_ERROR)
	if err != nil {
		return err
	}
	return callErr("connect", unix.Errno(n))
}

// Accept takes a connection that waits in the queue of a listening socket that does not block, with the client's address; on a Unix socket that is
// empty.
func Accept(fd int) (int, Addr, error) {
	var raw unix.RawSockaddrAny
	size := uint32(unsafe.Sizeof(raw))
	for {
		n, _, errno := unix.RawSyscall6(unix.SYS_ACCEPT4, uintptr(fd), uintptr(unsafe.Pointer(&raw)), uintptr(unsafe.Pointer(&size)),
			unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0, 0)
		switch errno {
		case 0:
			return int(n), addrOf(&raw), nil
		case unix.EINTR, unix.ECONNABORTED:
			continue
		}
		return -1, Addr{}, errno
	}
}

// DoNotBlock makes accepting from a listening socket never wait.
func DoNotBlock(fd int) error { return os.NewSyscallError("fcntl", unix.SetNonblock(fd, true)) }

func callErr(call string, errno unix.Errno) error {
	if errno == 0 {
		return nil
	}
	return os.NewSyscallError(call, errno)
}

package sys

import (
	"errors"
	"fmt"
	"math"
	"net"
	"net/netip"
	"os"
	"runtime"
	"strconv"
	"strings"
	"unsafe"

	"golang.org/x/sys/unix"
)

// SockAddr is an address in the kernel's form. It stays in place while an operation uses it.
type SockAddr struct {
	raw unix.RawSockaddrAny
	len uint32
}

// Set fills s in and returns the address's family.
func (s *SockAddr) Set(a Addr) (family int) {
	s.raw = unix.RawSockaddrAny{}
	switch {
	case a.Path != "":
		u := (*unix.RawSockaddrUnix)(unsafe.Pointer(&s.raw))
		u.Family = unix.AF_UNIX
		for i := range len(a.Path) {
			u.Path[i] = int8(a.Path[i])
		}
		s.len = uint32(unsafe.Offsetof(u.Path)) + uint32(len(a.Path)) + 1
		return unix.AF_UNIX
	case a.IP.Addr().Is4():
		in := (*unix.RawSockaddrInet4)(unsafe.Pointer(&s.raw))
		in.Family, in.Addr = unix.AF_INET, a.IP.Addr().As4()
		putPort(&in.Port, a.IP.Port())
		s.len = uint32(unsafe.Sizeof(*in))
		return unix.AF_INET
	}
	in := (*unix.RawSockaddrInet6)(unsafe.Pointer(&s.raw))
	in.Family, in.Addr = unix.AF_INET6, a.IP.Addr().As16()
	putPort(&in.Port, a.IP.Port())
	if z := a.IP.Addr().Zone(); z != "" {
		if ifi, err := net.InterfaceByName(z); err == nil {
			in.Scope_id = uint32(ifi.Index)
		}
	}
	s.len = uint32(unsafe.Sizeof(*in))
	return unix.AF_INET6
}

func putPort(p *uint16, port uint16) {
	b := (*[2]byte)(unsafe.Pointer(p))
	b[0], b[1] = byte(port>>8), byte(port)
}

func getPort(p *uint16) uint16 {
	b := (*[2]byte)(unsafe.Pointer(p))
	return uint16(b[0])<<8 | uint16(b[1])
}

// Socket makes a blocking stream socket for an address's family. (io_uring waits for a blocking one and fails with EAGAIN on others.)
func Socket(family int) (int, error) { return socket(family, 0) }

func socket(family, flags int) (int, error) {
	fd, err := unix.Socket(family, unix.SOCK_STREAM|unix.SOCK_CLOEXEC|flags, 0)
	if err != nil {
		return -1, os.NewSyscallError("socket", err)
	}
	if family != unix.AF_UNIX {
		_ = unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1)
	}
	return fd, nil
}

// Listen binds and listens. With shared, several sockets may listen on one TCP address and the kernel spreads connections
// over them. What accepted sockets inherit (no delay, keep-alive) is set here.
func Listen(a Addr, shared bool) (int, error) {
	var sa SockAddr
	family := sa.Set(a)
	fd, err := unix.Socket(family, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return -1, os.NewSyscallError("socket", err)
	}
	if family != unix.AF_UNIX {
		if err := setTCP(fd, family, a, shared); err != nil {
			_ = unix.Close(fd)
			return -1, err
		}
	}
	_, _, errno := unix.Syscall(unix.SYS_BIND, uintptr(fd), uintptr(unsafe.Pointer(&sa.raw)), uintptr(sa.len))
	if errno != 0 {
		_ = unix.Close(fd)
		return -1, os.NewSyscallError("bind", errno)
	}
	if err := unix.Listen(fd, maxBacklog); err != nil {
		_ = unix.Close(fd)
		return -1, os.NewSyscallError("listen", err)
	}
	return fd, nil
}

func setTCP(fd, family int, a Addr, shared bool) error {
	opts := [][3]int{
		{unix.SOL_SOCKET, unix.SO_REUSEADDR, 1},
		{unix.IPPROTO_TCP, unix.TCP_NODELAY, 1},
		{unix.SOL_SOCKET, unix.SO_KEEPALIVE, 1},
	}
	if shared {
		opts = append(opts, [3]int{unix.SOL_SOCKET, unix.SO_REUSEPORT, 1})
	}
	if family == unix.AF_INET6 {
		v6only := 1
		if a.IP.Addr().IsUnspecified() {
			v6only = 0 // [::] takes IPv4 too, as ":80" is meant
		}
		opts = append(opts, [3]int{unix.IPPROTO_IPV6, unix.IPV6_V6ONLY, v6only})
	}
	for _, o := range opts {
		if err := unix.SetsockoptInt(fd, o[0], o[1], o[2]); err != nil {
			return os.NewSyscallError("setsockopt", err)
		}
	}
	return nil
}

// maxBacklog is what listen asks for; the kernel cuts it to net.core.somaxconn.
const maxBacklog = 65535

// Backlog is how many connections may wait in the queue of a listening socket.
func Backlog() int {
	b, err := os.ReadFile("/proc/sys/net/core/somaxconn")
	if err != nil {
		return maxBacklog
	}
	n, err := strconv.Atoi(strings.TrimSpace(string(b)))
	if err != nil {
		return maxBacklog
	}
	return min(n, maxBacklog)
}

// RefuseNew makes a listening TCP socket drop connection attempts that come from now on, so that its queue can be emptied
// and the socket closed without a reset: a client whose SYN is dropped asks again, and finds the next listener or a refusal.
func RefuseNew(fd int) error {
	prog := []unix.SockFilter{ // classic BPF over the TCP header: SYN without ACK is dropped, all else passes
		{Code: unix.BPF_LD | unix.BPF_B | unix.BPF_ABS, K: 13},
		{Code: unix.BPF_ALU | unix.BPF_AND | unix.BPF_K, K: 0x12},
		{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, K: 0x02, Jt: 0, Jf: 1},
		{Code: unix.BPF_RET | unix.BPF_K, K: 0},
		{Code: unix.BPF_RET | unix.BPF_K, K: 0xffffffff},
	}
	p := &unix.SockFprog{Len: uint16(len(prog)), Filter: &prog[0]}
	err := unix.SetsockoptSockFprog(fd, unix.SOL_SOCKET, unix.SO_ATTACH_FILTER, p)
	runtime.KeepAlive(prog)
	return os.NewSyscallError("setsockopt", err)
}

// LocalAddr is the address that fd is bound to.
func LocalAddr(fd int) Addr { return nameOf(unix.SYS_GETSOCKNAME, fd) }

// PeerAddr is the address that fd is connected to; for a Unix socket it is empty.
func PeerAddr(fd int) Addr { return nameOf(unix.SYS_GETPEERNAME, fd) }

func nameOf(call uintptr, fd int) Addr {
	var raw unix.RawSockaddrAny
	n := uint32(unsafe.Sizeof(raw))
	_, _, errno := unix.RawSyscall(call, uintptr(fd), uintptr(unsafe.Pointer(&raw)), uintptr(unsafe.Pointer(&n)))
	if errno != 0 {
		return Addr{}
	}
	return addrOf(&raw)
}

func addrOf(raw *unix.RawSockaddrAny) Addr {
	switch raw.Addr.Family {
	case unix.AF_INET:
		in := (*unix.RawSockaddrInet4)(unsafe.Pointer(raw))
		return Addr{IP: netip.AddrPortFrom(netip.AddrFrom4(in.Addr), getPort(&in.Port))}
	case unix.AF_INET6:
		in := (*unix.RawSockaddrInet6)(unsafe.Pointer(raw))
		return Addr{IP: netip.AddrPortFrom(netip.AddrFrom16(in.Addr).Unmap(), getPort(&in.Port))}
	case unix.AF_UNIX:
		u := (*unix.RawSockaddrUnix)(unsafe.Pointer(raw))
		var path []byte
		for _, c := range u.Path {
			if c == 0 {
				break
			}
			path = append(path, byte(c))
		}
		return Addr{Path: string(path)}
	}
	return Addr{}
}

// Close closes a descriptor.
func Close(fd int) error { return unix.Close(fd) }

// Dup copies a descriptor; the copy is close-on-exec.
func Dup(fd int) (int, error) {
	n, err := unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 0)
	return n, os.NewSyscallError("fcntl", err)
}

// ResetOnClose makes the close of fd a reset, so that the peer cannot take it for a clean end.
func ResetOnClose(fd int) {
	_ = unix.SetsockoptLinger(fd, unix.SOL_SOCKET, unix.SO_LINGER, &unix.Linger{Onoff: 1})
}

// Shutdown sends a FIN on fd. It does not wait, and is a raw call.
func Shutdown(fd int) error {
	if _, _, errno := unix.RawSyscall(unix.SYS_SHUTDOWN, uintptr(fd), unix.SHUT_WR, 0); errno != 0 {
		return os.NewSyscallError("shutdown", errno)
	}
	return nil
}

// SocketPair makes two connected stream sockets.
func SocketPair() (a, b int, err error) {
	p, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	return p[0], p[1], os.NewSyscallError("socketpair", err)
}

// AcceptQueued takes a connection that waits in the queue of a listening socket, and never waits itself.
func AcceptQueued(fd int) (int, error) {
	if err := unix.SetNonblock(fd, true); err != nil {
		return -1, os.NewSyscallError("fcntl", err)
	}
	for {
		n, _, err := unix.Accept4(fd, unix.SOCK_CLOEXEC)
		if err != unix.EINTR && err != unix.ECONNABORTED {
			return n, os.NewSyscallError("accept", err)
		}
	}
}

// NewEventFD makes an eventfd for waking a sleeping loop.
func NewEventFD() (int, error) {
	fd, err := unix.Eventfd(0, unix.EFD_CLOEXEC)
	return fd, os.NewSyscallError("eventfd", err)
}

// Signal adds one to an eventfd.
func Signal(fd int) {
	one := [8]byte{1}
	_, _ = unix.Write(fd, one[:])
}

// IsAddrInUse tells a taken address from other failures.
func IsAddrInUse(err error) bool { return errors.Is(err, unix.EADDRINUSE) }

// IsReset tells whether the peer reset the connection.
func IsReset(err error) bool { return errors.Is(err, unix.ECONNRESET) || errors.Is(err, unix.EPIPE) }

// IsRefused tells whether nobody listens at the address, or no route leads there.
func IsRefused(err error) bool {
	return errors.Is(err, unix.ECONNREFUSED) || errors.Is(err, unix.EHOSTUNREACH) || errors.Is(err, unix.ENETUNREACH) || errors.Is(err, unix.ENOENT)
}

// IsOutOfResources tells whether the process or the system has no descriptor, port or memory left.
func IsOutOfResources(err error) bool {
	for _, e := range []unix.Errno{unix.EMFILE, unix.ENFILE, unix.ENOBUFS, unix.ENOMEM, unix.EADDRNOTAVAIL} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}

// ErrCancelled is the end of an operation that we have cancelled.
const ErrCancelled = unix.ECANCELED

// IsCancelled tells whether the operation was ended by us.
func IsCancelled(err error) bool { return errors.Is(err, unix.ECANCELED) }

// IsNoBuffers tells whether a receive found no buffer to take.
func IsNoBuffers(err error) bool { return errors.Is(err, unix.ENOBUFS) }

// RaiseDescriptorLimit lifts the soft limit of open descriptors to the hard one, and returns what is in force.
func RaiseDescriptorLimit() (int, error) {
	var lim unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &lim); err != nil {
		return 0, fmt.Errorf("read the descriptor limit: %w", err)
	}
	if lim.Cur < lim.Max {
		raised := unix.Rlimit{Cur: lim.Max, Max: lim.Max}
		if unix.Setrlimit(unix.RLIMIT_NOFILE, &raised) == nil {
			lim = raised
		}
	}
	return int(min(lim.Cur, 1<<30)), nil
}

// IsNotLocal tells whether an address to bind belongs to no interface.
func IsNotLocal(err error) bool { return errors.Is(err, unix.EADDRNOTAVAIL) }

// IsConnAborted tells whether only the one connection that would have been accepted is gone.
func IsConnAborted(err error) bool { return errors.Is(err, unix.ECONNABORTED) }

// Acked is a count that grows with what the peer's system has taken of what was sent on a socket; 0 where that cannot be known.
func Acked(fd int) uint64 {
	info, err := unix.GetsockoptTCPInfo(fd, unix.IPPROTO_TCP, unix.TCP_INFO)
	if err == nil {
		return info.Bytes_acked
	}
	queued, err := unix.IoctlGetInt(fd, unix.SIOCOUTQ)
	if err != nil {
		return 0
	}
	return math.MaxUint64 - uint64(queued) // a Unix socket: what is queued shrinks as the peer reads
}

// HasIPv6 tells whether the kernel has IPv6 at all.
func HasIPv6() bool {
	fd, err := unix.Socket(unix.AF_INET6, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return false
	}
	_ = unix.Close(fd)
	return true
}

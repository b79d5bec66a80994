package sys

import (
	"os"

	"golang.org/x/sys/unix"
)

// Pipe is a kernel buffer that bytes of one socket wait in for another one: they are never copied to this process.
type Pipe struct {
	r, w int
	size int
}

// NewPipe makes a pipe that holds about size bytes, or what the system allows.
func NewPipe(size int) (*Pipe, error) {
	var fds [2]int
	if err := unix.Pipe2(fds[:], unix.O_NONBLOCK|unix.O_CLOEXEC); err != nil {
		return nil, os.NewSyscallError("pipe2", err)
	}
	p := &Pipe{r: fds[0], w: fds[1]}
	n, err := unix.FcntlInt(uintptr(p.w), unix.F_SETPIPE_SZ, size)
	if err != nil {
		n, err = unix.FcntlInt(uintptr(p.w), unix.F_GETPIPE_SZ, 0)
	}
	if err != nil {
		p.Close()
		return nil, os.NewSyscallError("fcntl", err)
	}
	p.size = n
	return p, nil
}

// Size is how many bytes the pipe holds at most.
func (p *Pipe) Size() int { return p.size }

// In moves at most n bytes that have come on a socket into the pipe, which has room; 0 is the peer's FIN. Neither waits.
func (p *Pipe) In(fd, n int) (int, error) { return splice(fd, p.w, n) }

// Out moves n bytes from the pipe to a socket, or as many as it takes now.
func (p *Pipe) Out(fd, n int) (int, error) { return splice(p.r, fd, n) }

// Close closes both ends; what is in the pipe is lost.
func (p *Pipe) Close() {
	_ = unix.Close(p.r)
	_ = unix.Close(p.w)
}

// splice is a raw call: it does not wait, and its bytes are bounded by the pipe.
func splice(from, to, n int) (int, error) {
	for {
		got, _, errno := unix.RawSyscall6(unix.SYS_SPLICE, uintptr(from), 0, uintptr(to), 0, uintptr(n), unix.SPLICE_F_NONBLOCK|unix.SPLICE_F_MOVE)
		if errno == 0 {
			return int(got), nil
		}
		if errno != unix.EINTR {
			return 0, errno
		}
	}
}

// SetNonblock makes calls on fd that would wait fail with EAGAIN instead, or ends that.
func SetNonblock(fd int, on bool) {
	flags := uintptr(unix.O_RDWR)
	if on {
		flags |= unix.O_NONBLOCK
	}
	_, _, _ = unix.RawSyscall(unix.SYS_FCNTL, uintptr(fd), unix.F_SETFL, flags)
}

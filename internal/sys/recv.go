package sys

import (
	"errors"
	"io"
	"net"
	"syscall"

	"golang.org/x/sys/unix"
)

// RecvReady receives on a connection of package net when bytes are there. It takes a buffer only then, and puts it back
// when there was nothing after all: a connection that waits holds none. The peer's FIN is io.EOF.
func RecvReady(c net.Conn, take func() []byte, put func([]byte)) (b []byte, err error) {
	sc, ok := c.(syscall.Conn)
	if !ok {
		return nil, errors.ErrUnsupported
	}
	rc, err := sc.SyscallConn()
	if err != nil {
		return nil, err
	}
	var got error
	err = rc.Read(func(fd uintptr) bool {
		buf := take()
		for {
			n, _, e := unix.Recvfrom(int(fd), buf, unix.MSG_DONTWAIT)
			if e == unix.EINTR {
				continue
			}
			if e == nil && n > 0 {
				b = buf[:n]
				return true
			}
			put(buf)
			if e == unix.EAGAIN {
				return false
			}
			if got = e; e == nil {
				got = io.EOF
			}
			return true
		}
	})
	if err != nil {
		return nil, err
	}
	return b, got
}

// Pending tells whether a receive on fd would find something: bytes, the peer's FIN or an error. It takes nothing and does not wait.
func Pending(fd int) bool {
	var b [1]byte
	_, _, err := unix.Recvfrom(fd, b[:], unix.MSG_PEEK|unix.MSG_DONTWAIT)
	return err != unix.EAGAIN && err != unix.EINTR
}

// Controller is a socket of package net that gives its descriptor.
type Controller = syscall.Conn

// Control calls f with the descriptor of c.
func Control(c Controller, f func(fd int)) error {
	rc, err := c.SyscallConn()
	if err != nil {
		return err
	}
	return rc.Control(func(fd uintptr) { f(int(fd)) })
}

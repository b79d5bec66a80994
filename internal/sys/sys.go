// Package sys is the only package with raw system calls and unsafe: io_uring, epoll, memory outside the Go heap, sockets.
//
// It knows nothing of loops, fibers or HTTP: it gives the kernel's mechanisms as small Go types, and leaves every
// decision to fiber and listen. Start reading at Ring, then Slab, then Listen.
package sys

package sys

import "golang.org/x/sys/unix"

// NewMappedSlab makes a slab outside the Go heap: the kernel writes into its buffers while Go runs, and untouched ones cost
// no memory.
func NewMappedSlab(size, limit int, poison bool) *Slab {
	return &Slab{size: size, limit: limit, poison: poison, unmap: unix.Munmap, grow: func(n int) ([]byte, error) {
		return unix.Mmap(-1, 0, n, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_ANON|unix.MAP_PRIVATE)
	}}
}

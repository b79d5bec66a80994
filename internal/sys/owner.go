package sys

import (
	"io/fs"
	"os"
	"syscall"
)

// IsOwn tells whether a file belongs to the user that the process acts as.
func IsOwn(info fs.FileInfo) bool {
	s, ok := info.Sys().(*syscall.Stat_t)
	return ok && int64(s.Uid) == int64(os.Geteuid())
}

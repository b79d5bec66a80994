package accesslog

import (
	"fmt"
	"io"
	"os"
)

// sink is what lines are written to: an *os.File, or a stream that stays open.
type sink interface {
	Write(p []byte) (int, error)
	Close() error
}

// stream is a sink that belongs to the process: Close leaves it open, and opening it again is no change.
type stream struct{ io.Writer }

func (stream) Close() error { return nil }

func openSink(path string) (sink, error) {
	switch path {
	case "stdout":
		return stream{os.Stdout}, nil
	case "stderr":
		return stream{os.Stderr}, nil
	}
	// 0640: the group of the log readers may read what clients asked for, others may not.
	f, err := os.OpenFile(path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o640)
	if err != nil {
		return nil, fmt.Errorf("open the access log: %w", err)
	}
	return f, nil
}

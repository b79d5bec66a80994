package fiber_test

import (
	"bytes"
	"errors"
	"io"
	"testing"
	"time"

	"poise/internal/fiber"
)

// upside turns every byte upside down, either way. A zero ends what comes, and what is sent.
type upside struct{}

func (upside) Open(plain, raw []byte) ([]byte, error) {
	for _, b := range raw {
		if b == 0 {
			return plain, io.EOF
		}
		plain = append(plain, ^b)
	}
	return plain, nil
}

func (upside) Seal(raw []byte, bufs [][]byte) ([]byte, error) {
	for _, buf := range bufs {
		for _, b := range buf {
			raw = append(raw, ^b)
		}
	}
	return raw, nil
}

func (upside) End(raw []byte) []byte { return append(raw, 0) }

func turned(s string) []byte {
	b, _ := upside{}.Seal(nil, [][]byte{[]byte(s)})
	return b
}

// What came before the filter was set goes through it too, and an end that it does not know of is none.
func TestFilterOfWhatHasCome(t *testing.T) {
	for _, tt := range []struct {
		sent []byte
		want error
	}{{turned("hello"), io.ErrUnexpectedEOF}, {append(turned("hello"), 0), io.EOF}} {
		each(t, func(t *testing.T, l *fiber.Loop) {
			got := make(chan error, 2)
			addr := listen(t, l, &handler{serve: func(c *fiber.Conn) {
				for c.Listen(); c.Broken() == nil; { // until all has come
					l.Sleep(time.Millisecond)
				}
				c.SetFilter(upside{})
				err := c.Next()
				if string(c.Buffered()) != "hello" {
					err = errors.Join(err, errors.New("not hello: "+string(c.Buffered())))
				}
				got <- err
				c.Discard(len(c.Buffered()))
				got <- c.Next()
				c.Abort()
			}})
			c := dial(t, addr)
			_, _ = c.Write(tt.sent)
			_ = c.(interface{ CloseWrite() error }).CloseWrite()
			if err := <-got; err != nil {
				t.Error(err)
			}
			if err := <-got; !errors.Is(err, tt.want) {
				t.Errorf("the end is %v, want %v", err, tt.want)
			}
		})
	}
}

// What Write queues, what Send sends and the end go out in their order.
func TestFilterOfWhatIsSent(t *testing.T) {
	each(t, func(t *testing.T, l *fiber.Loop) {
		large := bytes.Repeat([]byte("large "), 100_000)
		addr := listen(t, l, &handler{serve: func(c *fiber.Conn) {
			c.Discard(c.Unread())
			c.SetFilter(upside{})
			_, _ = c.Write([]byte("one "))
			_ = c.Send([]byte("two "), []byte("three "))
			_, _ = c.Write([]byte("four "))
			_ = c.Send(large)
			_ = c.Close()
		}})
		c := dial(t, addr)
		_, _ = c.Write([]byte("begin"))
		got, err := io.ReadAll(c)
		if want := append(turned("one two three four "+string(large)), 0); err != nil || !bytes.Equal(got, want) {
			t.Errorf("%d bytes came, %v; want these %d", len(got), err, len(want))
		}
	})
}

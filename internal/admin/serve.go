package admin

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"time"
)

// The server's limits. Requests have no bodies and answers are small, so what takes longer is broken or hostile. A profile that runs
// for longer moves its own write deadline.
const (
	readTimeout  = 10 * time.Second
	writeTimeout = 30 * time.Second
	idleTimeout  = 75 * time.Second
	maxHead      = 16 << 10
	// closeTimeout is how long Close waits for answers that are being written.
	closeTimeout = time.Second
)

// Server answers on one listener. Close stops it.
type Server struct {
	http http.Server
	log  *slog.Logger
	done chan struct{} // closed when accept has returned
}

// Serve starts answering on l with h, and takes l over. Problems of single connections go to log.
func Serve(l net.Listener, h http.Handler, log *slog.Logger) *Server {
	s := &Server{
		http: http.Server{
			Handler:           h,
			ReadHeaderTimeout: readTimeout,
			ReadTimeout:       readTimeout,
			WriteTimeout:      writeTimeout,
			IdleTimeout:       idleTimeout,
			MaxHeaderBytes:    maxHead,
			ErrorLog:          slog.NewLogLogger(log.Handler(), slog.LevelWarn),
		},
		log:  log,
		done: make(chan struct{}),
	}
	go s.accept(l)
	return s
}

func (s *Server) accept(l net.Listener) {
	defer close(s.done)
	if err := s.http.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		s.log.Error("the admin address does not answer any more", "address", l.Addr().String(), "error", err)
	}
}

// Close closes the listener, lets answers that are being written end for a second, then cuts them; it returns when nothing runs.
func (s *Server) Close() error {
	ctx, cancel := context.WithTimeout(context.Background(), closeTimeout)
	defer cancel()
	err := s.http.Shutdown(ctx)
	if errors.Is(err, context.DeadlineExceeded) {
		err = s.http.Close()
	}
	<-s.done
	return err
}

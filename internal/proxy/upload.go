package proxy

import (
	"errors"

	"poise/internal/exchange"
	"poise/internal/fault"
	"poise/internal/fiber"
	"poise/internal/h1"
	"poise/internal/upstream"
)

// bodyState is where a request's body is.
type bodyState uint8

const (
	bodyNone   bodyState = iota
	bodyWhole            // it came with the head and lies beside it: it can be sent again
	bodyStream           // a second fiber passes it on while the first waits for the answer
)

// maxWhole is how large a body may be to be kept beside the head.
const maxWhole = 16 << 10

// prepareBody takes a small body that is here already.
func (e *serving) prepareBody() {
	s, n := e.s, e.s.req.Length
	e.s.upload.body = nil
	switch {
	case n == 0:
		e.body = bodyNone
	case n > 0 && n <= maxWhole && n <= int64(e.c.Unread()):
		e.body = bodyWhole
		from := len(s.in)
		for left := int(n); left > 0; {
			b := e.c.Buffered()
			b = b[:min(len(b), left)]
			s.in = append(s.in, b...)
			e.c.Discard(len(b))
			left -= len(b)
		}
		s.upload.body = s.in[from:]
		e.bytesIn += n
	default:
		e.body = bodyStream
	}
}

// upload passes a request's body on, in a fiber of its own, since the server may answer before it has all.
type upload struct {
	e       *serving
	u       server
	run     func() // u.pass, kept so that an upload allocates nothing
	body    []byte // of bodyWhole
	src     source
	way     through
	piece   piece
	pace    pace
	started bool
	done    bool  // the server has all of it
	stopped bool  // nobody wants it any more
	passed  int64 // bytes of it so far
	fault   *fault.Error
}

func (e *serving) startUpload() {
	up := &e.s.upload
	up.e, up.u, up.started, up.done, up.stopped, up.passed, up.fault = e, e.u, true, false, false, 0, nil
	e.c.body(&up.src, e.s.req.Length)
	if e.s.x.Web() == exchange.WebText {
		up.src.by = &web{decodes: true}
	}
	t := &e.s.x.Route.Timeouts
	up.pace = newPace(e.now(), t.BodyIdle, t.BodyRate)
	if up.run == nil {
		up.run = up.pass
	}
	e.s.task.Start(e.p.loop, up.run)
}

// uploading tells whether the body is still under way.
func (e *serving) uploading() bool {
	return e.body == bodyStream && e.s.upload.started && !e.s.upload.done
}

// inVain tells whether all of the body has come, though the server does not take it. After a fault of ours some of it may still be unread.
func (up *upload) inVain() bool {
	return up.fault != nil && up.fault.Side != fault.Internal && up.src.ended() && !up.e.s.task.Busy()
}

// stopUpload ends the upload's fiber and waits for it: what it sends from is ours to give back only then.
func (e *serving) stopUpload() {
	up := &e.s.upload
	if !up.started {
		return
	}
	if e.s.task.Busy() {
		up.stopped = true
		e.closeServer()
		e.c.ReadBy(e.now()) // wakes it if it waits for the client
		e.s.task.Wait()
	}
	up.started = false
	e.c.ReadBy(0)
	e.c.Receive(intakeAfter(e.s.req.Length))
}

// haltUpload takes nothing more of a body that was refused before a byte of it came: what follows may be no body.
func (e *serving) haltUpload() {
	if e.s.x.HasTouchedBody() {
		return
	}
	e.s.upload.stopped = true
	e.c.ReadBy(e.now())
	e.s.task.Wait()
	e.c.ReadBy(0)
}

func (up *upload) pass() {
	finished := false
	defer func() {
		if !finished { // it panics: the exchange must not wait for ever
			up.way.close()
			up.fault = &fault.Error{Side: fault.Internal, Op: fault.ReadBody}
			up.u.Interrupt(up.fault)
		}
	}()
	f := up.relay()
	up.way.close()
	finished = true
	switch {
	case up.stopped:
	case f == nil:
		up.done = true
		up.e.sendCopy()
		up.e.c.Listen() // a reset must still be seen
		up.awaitAnswer()
	case f.Side == fault.Server && f.Kind != fault.Timeout:
		// The server reads no more. It may have answered before: the answer, or the connection's end, tells.
		up.fault = f
		up.awaitAnswer()
	default:
		up.fault = f
		up.u.Interrupt(f)
	}
}

// awaitAnswer begins the server's time for its answer's head, unless that is here already: then the pauses of its body are what counts.
func (up *upload) awaitAnswer() {
	if x := &up.e.s.x; x.Times.Response == 0 {
		up.u.ReadBy(up.e.by(x.Route.Timeouts.Response))
	}
}

func (up *upload) relay() *fault.Error {
	c, e := up.e.c, up.e
	for up.piece = (piece{}); !up.piece.end; { // an end that comes alone is sent as well, also one that was there before all else
		if up.stopped { // while it was sending: the wait for the client, which would be woken, has not begun
			return nil
		}
		if len(c.Buffered()) == 0 {
			if up.src.length > headRoom {
				c.Receive(fiber.Bodies)
			}
			// The first piece stays unread until it is: if nobody wants it, it may be sent to another server.
			if e.s.x.HasTouchedBody() && up.src.by == nil && e.copy == nil {
				up.way.open(c, up.u, up.src.length, 0)
			}
			c.ReadBy(e.by(up.pace.next(e.now())))
			if err := up.way.next(c, &up.src); err != nil && !up.src.ends(err) {
				return clientFault(fault.ReadBody, err)
			}
			if up.stopped {
				return nil
			}
		}
		e.s.x.BodyTouched()
		used, err := up.src.take(c.Buffered())
		if err != nil {
			return clientMalformed(err)
		}
		moved := up.way.take(&up.src, used)
		up.pace.add(e.now(), used+moved)
		e.bytesIn += int64(used + moved)
		up.passed += int64(up.src.size + moved)
		if most := e.s.x.MaxBody(); most > 0 && up.passed > most {
			return &fault.Error{Side: fault.Client, Op: fault.ReadBody, Kind: fault.Malformed, Status: exchange.TooLarge, By: fault.MaxBody, Err: errTooLarge}
		}
		e.addToCopy(&up.src)
		begun := e.now()
		err = up.send(moved)
		c.Discard(used)                                     // also where the server did not take it: what comes next is not part of it
		up.pace.from = up.pace.from.Add(e.now().Sub(begun)) // the server's slowness is not the client's
		if err != nil && e.timeUp(begun) {
			return clientFault(fault.ReadBody, err)
		}
		if err != nil {
			return &fault.Error{Side: fault.Server, Op: fault.WriteBody, Kind: upstream.KindOf(err), Err: err}
		}
	}
	c.Receive(intakeAfter(e.s.req.Length))
	return nil
}

func (up *upload) send(moved int) error {
	up.u.WriteBy(up.e.until)
	up.piece = piece{from: &up.src, end: up.src.ended(), moved: moved, way: &up.way}
	n, err := up.u.send(&up.piece)
	up.e.serverOut += int64(n)
	return err
}

// clientFault says that the client's connection broke, or that we have ended it.
func clientFault(op fault.Op, err error) *fault.Error {
	if errors.Is(err, fiber.ErrStopped) {
		return &fault.Error{Side: fault.Internal, Op: op, Kind: fault.Cancelled, Err: err}
	}
	return &fault.Error{Side: fault.Client, Op: op, Kind: upstream.KindOf(err), Err: err}
}

var errTooLarge = errors.New("the request's body is too large")

func clientMalformed(err error) *fault.Error {
	f := &fault.Error{Side: fault.Client, Op: fault.ReadBody, Kind: fault.Malformed, Status: 400, Err: err}
	var he *h1.Error
	if errors.As(err, &he) {
		f.Status = he.Status
	}
	return f
}

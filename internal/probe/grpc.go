package probe

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net/http"
)

// GRPC describes a call of the health service that gRPC servers have: grpc.health.v1.Health/Check, as its protocol file says. It passes when the answer
// is SERVING.
type GRPC struct {
	Service string // whose health is asked for; empty: the server's as a whole
	TLS     *TLS   // nil: clear text
}

// servingStatuses are the values of HealthCheckResponse.ServingStatus.
var servingStatuses = [...]string{"UNKNOWN", "SERVING", "NOT_SERVING", "SERVICE_UNKNOWN"}

const serving = 1

// maxMessage is far more than a health answer has.
const maxMessage = 4 << 10

// http2 is HTTP/2 alone, over TLS or in clear text.
func http2(t *TLS) *http.Protocols {
	var p http.Protocols
	p.SetHTTP2(t != nil)
	p.SetUnencryptedHTTP2(t == nil)
	return &p
}

// newCheckGRPC returns a check that passes when the service is serving. The two messages are so small that they are written and read here.
func newCheckGRPC(g *GRPC) check {
	message := frame(g.Service)
	scheme := "http"
	if g.TLS != nil {
		scheme = "https"
	}
	protocols := http2(g.TLS)
	return func(ctx context.Context, to target) error {
		r, err := http.NewRequestWithContext(ctx, http.MethodPost, scheme+"://server/grpc.health.v1.Health/Check", bytes.NewReader(message))
		if err != nil {
			return fmt.Errorf("make a probe's request: %w", err)
		}
		r.Host = hostOf(to.address)
		r.Header = http.Header{"Content-Type": {"application/grpc"}, "Te": {"trailers"}, "User-Agent": {agent}}
		response, err := ask(r, to, g.TLS, protocols)
		if err != nil {
			return err
		}
		defer response.Body.Close()
		if response.StatusCode != http.StatusOK {
			return fmt.Errorf("status %d", response.StatusCode)
		}
		body, err := io.ReadAll(io.LimitReader(response.Body, maxMessage))
		if err != nil {
			return err
		}
		return judgeGRPC(response, body)
	}
}

// frame is a HealthCheckRequest, whose one field is the service's name, behind gRPC's prefix of a message: not compressed, and its length.
func frame(service string) []byte {
	var message []byte
	if service != "" {
		message = binary.AppendUvarint([]byte{1<<3 | 2}, uint64(len(service)))
		message = append(message, service...)
	}
	return append(binary.BigEndian.AppendUint32([]byte{0}, uint32(len(message))), message...)
}

// judgeGRPC holds an answer against what is wanted: the call's status, which comes in the trailer, or in the head when nothing else comes; then the
// service's.
func judgeGRPC(response *http.Response, body []byte) error {
	status, text := response.Trailer.Get("Grpc-Status"), response.Trailer.Get("Grpc-Message")
	if status == "" {
		status, text = response.Header.Get("Grpc-Status"), response.Header.Get("Grpc-Message")
	}
	switch {
	case status == "":
		return errors.New("answer without grpc-status: no gRPC server, or the answer is too long")
	case status != "0":
		return fmt.Errorf("grpc-status %s: %s", status, text)
	}
	state, err := servingStatus(body)
	switch {
	case err != nil:
		return err
	case state == serving:
		return nil
	case state < uint64(len(servingStatuses)):
		return errors.New(servingStatuses[state])
	}
	return fmt.Errorf("serving status %d", state)
}

var errMessage = errors.New("malformed health answer")

// servingStatus reads a HealthCheckResponse: its field 1 is the status. Other fields are passed over, as protocol buffers want it.
func servingStatus(body []byte) (state uint64, err error) {
	if len(body) < 5 || body[0] != 0 || uint64(binary.BigEndian.Uint32(body[1:])) != uint64(len(body)-5) {
		return 0, errMessage
	}
	for rest := body[5:]; len(rest) > 0; {
		tag, n := binary.Uvarint(rest)
		if n <= 0 {
			return 0, errMessage
		}
		value, m := binary.Uvarint(rest[n:])
		if m <= 0 {
			return 0, errMessage
		}
		rest = rest[n+m:]
		switch tag & 7 {
		case 0:
			if tag>>3 == 1 {
				state = value
			}
		case 2: // the value is the length of what follows
			if value > uint64(len(rest)) {
				return 0, errMessage
			}
			rest = rest[value:]
		default:
			return 0, errMessage
		}
	}
	return state, nil
}

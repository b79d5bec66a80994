// Package h2 is the HTTP/2 codec: bytes to frames and heads, and back, after RFC 9113 read strictly.
//
// It never does I/O and keeps no time; package mux does. What a head means is read by the same code as HTTP/1's (h1's shared.go), so that a
// request is the same request whichever way it came. What goes out is printed afresh, without Huffman codes and without a dynamic table: that costs some
// bytes, and neither memory nor state. Start reading at Frame, then at Decoder and append.go.
package h2

import (
	"encoding/binary"
	"math"
	"strconv"
)

const (
	// Preface is what a client begins its connection with.
	Preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
	// HeaderSize is how long the header of a frame is.
	HeaderSize = 9
	// MaxFrame is the largest body of a frame that is accepted: the protocol's own beginning. [RFC 9113 section 4.2]
	MaxFrame = 16384
)

// Type is a frame's.
type Type uint8

// The types of frames. [RFC 9113 section 6; RFC 9218 section 7.1]
const (
	DataFrame           Type = 0
	HeadersFrame        Type = 1
	PriorityFrame       Type = 2
	ResetFrame          Type = 3
	SettingsFrame       Type = 4
	PushFrame           Type = 5
	PingFrame           Type = 6
	GoAwayFrame         Type = 7
	WindowUpdateFrame   Type = 8
	ContinuationFrame   Type = 9
	PriorityUpdateFrame Type = 16
)

// Flags are a frame's.
type Flags uint8

// The flags of frames; Ack is that of SETTINGS and PING.
const (
	EndStream   Flags = 1
	Ack         Flags = 1
	EndHeaders  Flags = 4
	Padded      Flags = 8
	HasPriority Flags = 32
)

// Code says why a stream or a connection has ended.
type Code uint32

// The codes. [RFC 9113 section 7]
const (
	NoError Code = iota
	ProtocolError
	InternalError
	FlowControlError
	SettingsTimeout
	StreamClosed
	FrameSizeError
	RefusedStream
	Cancel
	CompressionError
	ConnectError
	EnhanceYourCalm
	InadequateSecurity
	HTTP11Required
)

var codes = [...]string{
	"NO_ERROR", "PROTOCOL_ERROR", "INTERNAL_ERROR", "FLOW_CONTROL_ERROR", "SETTINGS_TIMEOUT", "STREAM_CLOSED", "FRAME_SIZE_ERROR", "REFUSED_STREAM",
	"CANCEL", "COMPRESSION_ERROR", "CONNECT_ERROR", "ENHANCE_YOUR_CALM", "INADEQUATE_SECURITY", "HTTP_1_1_REQUIRED",
}

// String is the code's name in the RFC, or its number.
func (c Code) String() string {
	if int(c) < len(codes) {
		return codes[c]
	}
	return strconv.FormatUint(uint64(c), 10)
}

// Error is what a peer has violated. Reason is constant text that never repeats input.
type Error struct {
	Code   Code
	Stream uint32 // 0: the connection ends with it
	Reason string
	// Status is what would say it in an answer, of a request that could be answered; else 0.
	Status int
}

func (e *Error) Error() string { return e.Code.String() + ": " + e.Reason }

// Frame is a frame's header.
type Frame struct {
	Length int
	Type   Type
	Flags  Flags
	Stream uint32
}

// ReadFrame reads the header that b begins with, which has HeaderSize bytes at least.
func ReadFrame(b []byte) Frame {
	_ = b[HeaderSize-1]
	return Frame{
		Length: int(b[0])<<16 | int(b[1])<<8 | int(b[2]), Type: Type(b[3]), Flags: Flags(b[4]),
		Stream: binary.BigEndian.Uint32(b[5:]) &^ (1 << 31),
	}
}

func (f *Frame) of(streams bool) *Error {
	if (f.Stream != 0) != streams {
		return &Error{Code: ProtocolError, Reason: "a frame of a stream that it cannot have"}
	}
	return nil
}

func (f *Frame) size(ok bool) *Error {
	if !ok {
		return &Error{Code: FrameSizeError, Reason: "a frame of a length that it cannot have"}
	}
	return nil
}

// Headers finds the fragment of a header block in a HEADERS frame. One with an error of the stream's is returned beside it.
func (f *Frame) Headers(p []byte) ([]byte, *Error) {
	if err := f.of(true); err != nil {
		return nil, err
	}
	padding := 0
	if f.Flags&Padded != 0 {
		if len(p) == 0 {
			return nil, f.size(false)
		}
		padding, p = int(p[0]), p[1:]
	}
	var err *Error
	if f.Flags&HasPriority != 0 {
		if len(p) < 5 {
			return nil, f.size(false)
		}
		err = f.depends(p)
		p = p[5:]
	}
	if padding > len(p) {
		return nil, &Error{Code: ProtocolError, Reason: "more padding than frame"}
	}
	return p[:len(p)-padding], err
}

// depends checks the priority of a stream, which is not otherwise looked at. [RFC 9113 section 5.3]
func (f *Frame) depends(p []byte) *Error {
	if binary.BigEndian.Uint32(p)&^(1<<31) == f.Stream {
		return &Error{Code: ProtocolError, Stream: f.Stream, Reason: "a stream that depends on itself"}
	}
	return nil
}

// Priority checks a PRIORITY frame.
func (f *Frame) Priority(p []byte) *Error {
	if err := f.of(true); err != nil {
		return err
	}
	if len(p) != 5 {
		return &Error{Code: FrameSizeError, Stream: f.Stream, Reason: "a frame of a length that it cannot have"}
	}
	return f.depends(p)
}

// Reset reads a RST_STREAM frame.
func (f *Frame) Reset(p []byte) (Code, *Error) {
	if err := f.of(true); err != nil {
		return 0, err
	}
	if err := f.size(len(p) == 4); err != nil {
		return 0, err
	}
	return Code(binary.BigEndian.Uint32(p)), nil
}

// Window reads a WINDOW_UPDATE frame.
func (f *Frame) Window(p []byte) (int, *Error) {
	if err := f.size(len(p) == 4); err != nil {
		return 0, err
	}
	n := int(binary.BigEndian.Uint32(p) &^ (1 << 31))
	if n == 0 {
		return 0, &Error{Code: ProtocolError, Stream: f.Stream, Reason: "a window that grows by nothing"}
	}
	return n, nil
}

// Ping reads a PING frame.
func (f *Frame) Ping(p []byte) (data [8]byte, err *Error) {
	if err := f.of(false); err != nil {
		return data, err
	}
	if err := f.size(len(p) == len(data)); err != nil {
		return data, err
	}
	return [8]byte(p), nil
}

// GoAway reads a GOAWAY frame.
func (f *Frame) GoAway(p []byte) (last uint32, code Code, err *Error) {
	if err := f.of(false); err != nil {
		return 0, 0, err
	}
	if err := f.size(len(p) >= 8); err != nil {
		return 0, 0, err
	}
	return binary.BigEndian.Uint32(p) &^ (1 << 31), Code(binary.BigEndian.Uint32(p[4:])), nil
}

// PriorityUpdate reads a PRIORITY_UPDATE frame.
func (f *Frame) PriorityUpdate(p []byte) (stream uint32, urgency int, incremental bool, err *Error) {
	if err := f.of(false); err != nil {
		return 0, 0, false, err
	}
	if err := f.size(len(p) >= 4); err != nil {
		return 0, 0, false, err
	}
	urgency, incremental = Urgency(p[4:])
	return binary.BigEndian.Uint32(p) &^ (1 << 31), urgency, incremental, nil
}

// DefaultUrgency is that of a request that does not say. [RFC 9218 section 4.1]
const DefaultUrgency = 3

// Urgency reads the value of a Priority field: 0 is the most urgent, 7 the least. What cannot be read is left out.
func Urgency(value []byte) (urgency int, incremental bool) {
	urgency = DefaultUrgency
	for len(value) > 0 {
		end := 0
		for end < len(value) && value[end] != ',' {
			end++
		}
		item := value[:end]
		for len(item) > 0 && (item[0] == ' ' || item[0] == '\t') {
			item = item[1:]
		}
		for len(item) > 0 && (item[len(item)-1] == ' ' || item[len(item)-1] == '\t') {
			item = item[:len(item)-1]
		}
		switch {
		case len(item) == 3 && item[0] == 'u' && item[1] == '=' && '0' <= item[2] && item[2] <= '7':
			urgency = int(item[2] - '0')
		case string(item) == "i", string(item) == "i=?1":
			incremental = true
		case string(item) == "i=?0":
			incremental = false
		}
		value = value[min(end+1, len(value)):]
	}
	return urgency, incremental
}

// Settings are what a peer has set.
type Settings struct {
	TableSize  uint32
	Push       bool
	Streams    uint32
	Window     int
	Frame      int
	HeaderList uint32
	Connect    bool // extended CONNECT may be asked for (RFC 8441)
}

// Defaults are what holds until a peer sets something else. [RFC 9113 section 6.5.2]
func Defaults() Settings {
	return Settings{TableSize: 4096, Push: true, Streams: math.MaxUint32, Window: 65535, Frame: 16384, HeaderList: math.MaxUint32}
}

// The settings.
const (
	SettingTableSize  uint16 = 1
	SettingPush       uint16 = 2
	SettingStreams    uint16 = 3
	SettingWindow     uint16 = 4
	SettingFrame      uint16 = 5
	SettingHeaderList uint16 = 6
	SettingConnect    uint16 = 8
)

// Settings reads a SETTINGS frame into s.
func (f *Frame) Settings(p []byte, s *Settings) *Error {
	if err := f.of(false); err != nil {
		return err
	}
	if err := f.size(len(p)%6 == 0 && (f.Flags&Ack == 0 || len(p) == 0)); err != nil {
		return err
	}
	for ; len(p) > 0; p = p[6:] {
		if err := s.set(binary.BigEndian.Uint16(p), binary.BigEndian.Uint32(p[2:])); err != nil {
			return err
		}
	}
	return nil
}

func (s *Settings) set(id uint16, v uint32) *Error {
	switch id {
	case SettingTableSize:
		s.TableSize = v
	case SettingPush:
		s.Push = v == 1
		if v > 1 {
			return &Error{Code: ProtocolError, Reason: "SETTINGS_ENABLE_PUSH is neither 0 nor 1"}
		}
	case SettingStreams:
		s.Streams = v
	case SettingWindow:
		if v > math.MaxInt32 {
			return &Error{Code: FlowControlError, Reason: "SETTINGS_INITIAL_WINDOW_SIZE is too large"}
		}
		s.Window = int(v)
	case SettingFrame:
		if v < 16384 || v > 1<<24-1 {
			return &Error{Code: ProtocolError, Reason: "SETTINGS_MAX_FRAME_SIZE is out of range"}
		}
		s.Frame = int(v)
	case SettingHeaderList:
		s.HeaderList = v
	case SettingConnect:
		if v > 1 {
			return &Error{Code: ProtocolError, Reason: "SETTINGS_ENABLE_CONNECT_PROTOCOL is neither 0 nor 1"}
		}
		s.Connect = v == 1
	}
	return nil
}

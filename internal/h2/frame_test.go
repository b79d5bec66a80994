package h2

import (
	"fmt"
	"strconv"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestReadFrame(t *testing.T) {
	for _, c := range []struct {
		name string
		in   string
		want Frame
	}{
		{"zeros", "\x00\x00\x00\x00\x00\x00\x00\x00\x00", Frame{}},
		{"all set", "\xff\xff\xff\xff\xff\xff\xff\xff\xff", Frame{Length: 1<<24 - 1, Type: 255, Flags: 255, Stream: 1<<31 - 1}},
		{"each byte in its place", "\x01\x02\x03\x04\x05\x06\x07\x08\x09", Frame{Length: 0x010203, Type: 4, Flags: 5, Stream: 0x06070809}},
		{"the reserved bit is none of the stream's", "\x00\x00\x00\x00\x00\x80\x00\x00\x01", Frame{Stream: 1}},
		{"what follows is not looked at", "\x00\x00\x01\x08\x00\x00\x00\x00\x02xyz", Frame{Length: 1, Type: WindowUpdateFrame, Stream: 2}},
	} {
		if got := ReadFrame([]byte(c.in)); got != c.want {
			t.Errorf("%s: ReadFrame(%q) = %+v, want %+v", c.name, c.in, got, c.want)
		}
	}
}

// parse reads the body of any frame that the package has a reader for, as text.
func parse(f Frame, p []byte) (string, *Error) {
	switch f.Type {
	case HeadersFrame:
		b, err := f.Headers(p)
		return string(b), err
	case PriorityFrame:
		return "", f.Priority(p)
	case ResetFrame:
		code, err := f.Reset(p)
		return code.String(), err
	case SettingsFrame:
		s := Defaults()
		return "", f.Settings(p, &s)
	case PingFrame:
		data, err := f.Ping(p)
		return string(data[:]), err
	case GoAwayFrame:
		last, code, err := f.GoAway(p)
		return fmt.Sprint(last, code), err
	case WindowUpdateFrame:
		n, err := f.Window(p)
		return strconv.Itoa(n), err
	case PriorityUpdateFrame:
		id, urgency, incremental, err := f.PriorityUpdate(p)
		return fmt.Sprint(id, urgency, incremental), err
	}
	panic("no reader")
}

func TestFrames(t *testing.T) {
	none := Code(0)
	const priority = "\x00\x00\x00\x05\x10"
	for _, c := range []struct {
		name   string
		f      Frame
		p      string
		want   string // where it can be read
		code   Code
		stream uint32 // whose error it is
	}{
		{"HEADERS", Frame{Type: HeadersFrame, Stream: 1}, "block", "block", none, 0},
		{"HEADERS, empty", Frame{Type: HeadersFrame, Stream: 1}, "", "", none, 0},
		{"HEADERS of no stream", Frame{Type: HeadersFrame}, "block", "", ProtocolError, 0},
		{"HEADERS, padded", Frame{Type: HeadersFrame, Flags: Padded, Stream: 1}, "\x03blockpad", "block", none, 0},
		{"HEADERS, nothing but padding", Frame{Type: HeadersFrame, Flags: Padded, Stream: 1}, "\x03pad", "", none, 0},
		{"HEADERS, padded by nothing", Frame{Type: HeadersFrame, Flags: Padded, Stream: 1}, "\x00block", "block", none, 0},
		{"HEADERS, more padding than frame", Frame{Type: HeadersFrame, Flags: Padded, Stream: 1}, "\x04pad", "", ProtocolError, 0},
		{"HEADERS, padded, without the length of it", Frame{Type: HeadersFrame, Flags: Padded, Stream: 1}, "", "", FrameSizeError, 0},
		{"HEADERS with priority", Frame{Type: HeadersFrame, Flags: HasPriority, Stream: 1}, priority + "block", "block", none, 0},
		{"HEADERS with half a priority", Frame{Type: HeadersFrame, Flags: HasPriority, Stream: 1}, priority[:4], "", FrameSizeError, 0},
		{"HEADERS with both", Frame{Type: HeadersFrame, Flags: HasPriority | Padded, Stream: 1}, "\x02" + priority + "block__", "block", none, 0},
		{"HEADERS with both, the padding reaches into the priority", Frame{Type: HeadersFrame, Flags: HasPriority | Padded, Stream: 1}, "\x03" + priority + "__", "", ProtocolError, 0},
		{"HEADERS that depend on themselves", Frame{Type: HeadersFrame, Flags: HasPriority, Stream: 5}, priority + "block", "block", ProtocolError, 5},
		{"HEADERS that depend on themselves alone", Frame{Type: HeadersFrame, Flags: HasPriority, Stream: 5}, "\x80" + priority[1:] + "block", "block", ProtocolError, 5},

		{"PRIORITY", Frame{Type: PriorityFrame, Stream: 1}, priority, "", none, 0},
		{"PRIORITY of no stream", Frame{Type: PriorityFrame}, priority, "", ProtocolError, 0},
		{"PRIORITY, too short", Frame{Type: PriorityFrame, Stream: 1}, priority[:4], "", FrameSizeError, 1},
		{"PRIORITY, too long", Frame{Type: PriorityFrame, Stream: 1}, priority + "x", "", FrameSizeError, 1},
		{"PRIORITY on itself", Frame{Type: PriorityFrame, Stream: 5}, priority, "", ProtocolError, 5},

		{"RST_STREAM", Frame{Type: ResetFrame, Stream: 1}, "\x00\x00\x00\x08", "CANCEL", none, 0},
		{"RST_STREAM with a code that nobody knows", Frame{Type: ResetFrame, Stream: 1}, "\xff\xff\xff\xff", "4294967295", none, 0},
		{"RST_STREAM of no stream", Frame{Type: ResetFrame}, "\x00\x00\x00\x08", "", ProtocolError, 0},
		{"RST_STREAM, too short", Frame{Type: ResetFrame, Stream: 1}, "\x00\x00\x08", "", FrameSizeError, 0},
		{"RST_STREAM, too long", Frame{Type: ResetFrame, Stream: 1}, "\x00\x00\x00\x00\x08", "", FrameSizeError, 0},

		{"PING", Frame{Type: PingFrame}, "12345678", "12345678", none, 0},
		{"PING of a stream", Frame{Type: PingFrame, Stream: 1}, "12345678", "", ProtocolError, 0},
		{"PING, too short", Frame{Type: PingFrame}, "1234567", "", FrameSizeError, 0},
		{"PING, too long", Frame{Type: PingFrame, Flags: Ack}, "123456789", "", FrameSizeError, 0},

		{"GOAWAY", Frame{Type: GoAwayFrame}, "\x00\x00\x00\x0c\x00\x00\x00\x02", "12 INTERNAL_ERROR", none, 0},
		{"GOAWAY with the reserved bit and a reason", Frame{Type: GoAwayFrame}, "\x80\x00\x00\x0c\x00\x00\x00\x00why", "12 NO_ERROR", none, 0},
		{"GOAWAY of a stream", Frame{Type: GoAwayFrame, Stream: 1}, "\x00\x00\x00\x0c\x00\x00\x00\x02", "", ProtocolError, 0},
		{"GOAWAY, too short", Frame{Type: GoAwayFrame}, "\x00\x00\x00\x0c\x00\x00\x02", "", FrameSizeError, 0},

		{"WINDOW_UPDATE of the connection", Frame{Type: WindowUpdateFrame}, "\x00\x00\x00\x03", "3", none, 0},
		{"WINDOW_UPDATE of a stream, with the reserved bit", Frame{Type: WindowUpdateFrame, Stream: 1}, "\x80\x00\x00\x02", "2", none, 0},
		{"WINDOW_UPDATE by the most", Frame{Type: WindowUpdateFrame, Stream: 1}, "\x7f\xff\xff\xff", "2147483647", none, 0},
		{"WINDOW_UPDATE of the connection by nothing", Frame{Type: WindowUpdateFrame}, "\x00\x00\x00\x00", "", ProtocolError, 0},
		{"WINDOW_UPDATE of a stream by nothing", Frame{Type: WindowUpdateFrame, Stream: 5}, "\x80\x00\x00\x00", "", ProtocolError, 5},
		{"WINDOW_UPDATE, too short", Frame{Type: WindowUpdateFrame, Stream: 1}, "\x00\x00\x01", "", FrameSizeError, 0},
		{"WINDOW_UPDATE, too long", Frame{Type: WindowUpdateFrame, Stream: 1}, "\x00\x00\x00\x00\x01", "", FrameSizeError, 0},

		{"PRIORITY_UPDATE", Frame{Type: PriorityUpdateFrame}, "\x00\x00\x00\x05u=2, i", "5 2 true", none, 0},
		{"PRIORITY_UPDATE that says nothing", Frame{Type: PriorityUpdateFrame}, "\x80\x00\x00\x05", "5 3 false", none, 0},
		{"PRIORITY_UPDATE of a stream", Frame{Type: PriorityUpdateFrame, Stream: 5}, "\x00\x00\x00\x05u=2", "", ProtocolError, 0},
		{"PRIORITY_UPDATE, too short", Frame{Type: PriorityUpdateFrame}, "\x00\x00\x05", "", FrameSizeError, 0},

		{"SETTINGS", Frame{Type: SettingsFrame}, "\x00\x03\x00\x00\x00\x64", "", none, 0},
		{"SETTINGS, empty", Frame{Type: SettingsFrame}, "", "", none, 0},
		{"SETTINGS of a stream", Frame{Type: SettingsFrame, Stream: 1}, "", "", ProtocolError, 0},
		{"SETTINGS, half a one", Frame{Type: SettingsFrame}, "\x00\x03\x00\x00\x00\x64\x00\x03", "", FrameSizeError, 0},
		{"SETTINGS, acknowledged", Frame{Type: SettingsFrame, Flags: Ack}, "", "", none, 0},
		{"SETTINGS, acknowledged with some", Frame{Type: SettingsFrame, Flags: Ack}, "\x00\x03\x00\x00\x00\x64", "", FrameSizeError, 0},
	} {
		got, err := parse(c.f, []byte(c.p))
		if (err != nil) != (c.code != none) || (err != nil && (err.Code != c.code || err.Stream != c.stream)) {
			t.Errorf("%s: error %+v, want code %v of stream %d", c.name, err, c.code, c.stream)
		}
		if (err == nil || c.want != "") && got != c.want {
			t.Errorf("%s: got %q, want %q", c.name, got, c.want)
		}
	}
}

func TestSettings(t *testing.T) {
	changed := func(change func(*Settings)) Settings {
		s := Defaults()
		change(&s)
		return s
	}
	for _, c := range []struct {
		name string
		sent []Setting
		want Settings
		code Code
	}{
		{"none", nil, Defaults(), 0},
		{
			"all",
			[]Setting{{SettingTableSize, 1}, {SettingPush, 0}, {SettingStreams, 2}, {SettingWindow, 3}, {SettingFrame, 16385}, {SettingHeaderList, 4}, {SettingConnect, 1}},
			Settings{TableSize: 1, Streams: 2, Window: 3, Frame: 16385, HeaderList: 4, Connect: true},
			0,
		},
		{
			"the largest",
			[]Setting{{SettingTableSize, 1<<32 - 1}, {SettingPush, 1}, {SettingStreams, 1<<32 - 1}, {SettingWindow, 1<<31 - 1}, {SettingFrame, 1<<24 - 1}},
			changed(func(s *Settings) { s.TableSize, s.Window, s.Frame = 1<<32-1, 1<<31-1, 1<<24-1 }), 0,
		},
		{"the last counts", []Setting{{SettingWindow, 1}, {SettingWindow, 0}}, changed(func(s *Settings) { s.Window = 0 }), 0},
		{"unknown ones are passed over", []Setting{{0, 1}, {7, 2}, {9, 3}, {0xffff, 1<<32 - 1}}, Defaults(), 0},
		{"connect, and not", []Setting{{SettingConnect, 1}, {SettingConnect, 0}}, Defaults(), 0},
		{"push 2", []Setting{{SettingPush, 2}}, Settings{}, ProtocolError},
		{"connect 2", []Setting{{SettingConnect, 2}}, Settings{}, ProtocolError},
		{"window too large", []Setting{{SettingWindow, 1 << 31}}, Settings{}, FlowControlError},
		{"frame too small", []Setting{{SettingFrame, 16383}}, Settings{}, ProtocolError},
		{"frame too large", []Setting{{SettingFrame, 1 << 24}}, Settings{}, ProtocolError},
	} {
		b := AppendSettings(nil, c.sent...)
		f, got := ReadFrame(b), Defaults()
		err := f.Settings(b[HeaderSize:], &got)
		if (err != nil) != (c.code != 0) || (err != nil && (err.Code != c.code || err.Stream != 0)) {
			t.Errorf("%s: Settings(%v) = %v, want %v", c.name, c.sent, err, c.code)
		}
		if d := cmp.Diff(c.want, got); err == nil && d != "" {
			t.Errorf("%s: Settings(%v) (-want +got):\n%s", c.name, c.sent, d)
		}
	}
}

func TestUrgency(t *testing.T) {
	for _, c := range []struct {
		in          string
		urgency     int
		incremental bool
	}{
		{"", 3, false},
		{"u=0", 0, false},
		{"u=7", 7, false},
		{"i", 3, true},
		{"i=?1", 3, true},
		{"i=?0", 3, false},
		{"u=5, i", 5, true},
		{"i,u=5", 5, true},
		{" u=1\t,\t i ", 1, true},
		{"u=1, u=2", 2, false}, // the last of a dictionary's members counts [RFC 9651 section 3.2]
		{"i, i=?0", 3, false},
		{"u=8", 3, false},
		{"u=-1", 3, false},
		{"u=10", 3, false},
		{"u", 3, false},
		{"U=1", 3, false},
		{"u=1;x", 3, false},
		{",,,", 3, false},
		{"x=y, u=4", 4, false},
	} {
		if urgency, incremental := Urgency([]byte(c.in)); urgency != c.urgency || incremental != c.incremental {
			t.Errorf("Urgency(%q) = %d, %t, want %d, %t", c.in, urgency, incremental, c.urgency, c.incremental)
		}
	}
}

func TestCodes(t *testing.T) {
	for code, want := range map[Code]string{NoError: "NO_ERROR", HTTP11Required: "HTTP_1_1_REQUIRED", HTTP11Required + 1: "14", 1<<32 - 1: "4294967295"} {
		if got := code.String(); got != want {
			t.Errorf("Code(%d) = %s, want %s", uint32(code), got, want)
		}
	}
	if got, want := (&Error{Code: StreamClosed, Stream: 3, Reason: "why"}).Error(), "STREAM_CLOSED: why"; got != want {
		t.Errorf("Error() = %s, want %s", got, want)
	}
}

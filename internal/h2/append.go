package h2

import (
	"encoding/binary"
	"strconv"

	"poise/internal/h1"
	"poise/internal/msg"
)

// Setting is one of those that we send.
type Setting struct {
	ID    uint16
	Value uint32
}

// AppendFrame appends the header of a frame.
func AppendFrame(dst []byte, t Type, flags Flags, stream uint32, length int) []byte {
	return append(dst, byte(length>>16), byte(length>>8), byte(length), byte(t), byte(flags),
		byte(stream>>24), byte(stream>>16), byte(stream>>8), byte(stream))
}

// AppendSettings appends a SETTINGS frame.
func AppendSettings(dst []byte, settings ...Setting) []byte {
	dst = AppendFrame(dst, SettingsFrame, 0, 0, 6*len(settings))
	for _, s := range settings {
		dst = binary.BigEndian.AppendUint16(dst, s.ID)
		dst = binary.BigEndian.AppendUint32(dst, s.Value)
	}
	return dst
}

// AppendSettingsAck appends what says that the peer's settings hold.
func AppendSettingsAck(dst []byte) []byte { return AppendFrame(dst, SettingsFrame, Ack, 0, 0) }

// AppendPing appends a PING frame.
func AppendPing(dst []byte, ack bool, data [8]byte) []byte {
	flags := Flags(0)
	if ack {
		flags = Ack
	}
	return append(AppendFrame(dst, PingFrame, flags, 0, len(data)), data[:]...)
}

// AppendGoAway appends a GOAWAY frame.
func AppendGoAway(dst []byte, last uint32, code Code, reason string) []byte {
	dst = AppendFrame(dst, GoAwayFrame, 0, 0, 8+len(reason))
	dst = binary.BigEndian.AppendUint32(dst, last)
	dst = binary.BigEndian.AppendUint32(dst, uint32(code))
	return append(dst, reason...)
}

// AppendReset appends a RST_STREAM frame.
func AppendReset(dst []byte, stream uint32, code Code) []byte {
	return binary.BigEndian.AppendUint32(AppendFrame(dst, ResetFrame, 0, stream, 4), uint32(code))
}

// AppendWindow appends a WINDOW_UPDATE frame.
func AppendWindow(dst []byte, stream uint32, n int) []byte {
	return binary.BigEndian.AppendUint32(AppendFrame(dst, WindowUpdateFrame, 0, stream, 4), uint32(n))
}

// AppendBlock appends a header block as HEADERS and, if it is long, CONTINUATION frames.
func AppendBlock(dst []byte, stream uint32, end bool, block []byte, maxFrame int) []byte {
	t, flags := HeadersFrame, Flags(0)
	if end {
		flags = EndStream
	}
	for len(block) > maxFrame {
		dst = append(AppendFrame(dst, t, flags, stream, maxFrame), block[:maxFrame]...)
		block = block[maxFrame:]
		t, flags = ContinuationFrame, 0
	}
	return append(AppendFrame(dst, t, flags|EndHeaders, stream, len(block)), block...)
}

// Representations of fields. [RFC 7541 section 6]
const (
	indexed      = 0x80 // 7 bits of index
	withoutIndex = 0x00 // 4 bits
	neverIndexed = 0x10 // 4 bits
)

// appendInt appends an integer with a prefix of so many bits. [RFC 7541 section 5.1]
func appendInt(dst []byte, first byte, bits uint, n int) []byte {
	most := 1<<bits - 1
	if n < most {
		return append(dst, first|byte(n))
	}
	dst = append(dst, first|byte(most))
	for n -= most; n >= 0x80; n >>= 7 {
		dst = append(dst, byte(n)|0x80)
	}
	return append(dst, byte(n))
}

func appendString(dst, s []byte) []byte { return append(appendInt(dst, 0, 7, len(s)), s...) }

func appendText(dst []byte, s string) []byte { return append(appendInt(dst, 0, 7, len(s)), s...) }

// appendNamed appends a field whose name is in the static table.
func appendNamed(dst []byte, how byte, index int, value []byte) []byte {
	return appendString(appendInt(dst, how, 4, index), value)
}

// Places in the static table. [RFC 7541 appendix A]
const (
	tableAuthority     = 1
	tableGET           = 2
	tableMethod        = 2
	tablePOST          = 3
	tablePath          = 4
	tableHTTP          = 6
	tableHTTPS         = 7
	tableStatus        = 8
	tableContentLength = 28
)

// tableNames are the places of the names that have IDs; 0: none.
var tableNames = func() (t [256]byte) {
	for id, place := range map[msg.ID]byte{
		msg.Expect: 35, msg.Cookie: 32, msg.SetCookie: 55, msg.Date: 33, msg.Server: 54, msg.Via: 60, msg.Location: 46, msg.RetryAfter: 53,
		msg.Authorization: 23, msg.WWWAuthenticate: 61, msg.UserAgent: 58, msg.Referer: 51, msg.MaxForwards: 47, msg.CacheControl: 24, msg.Range: 50,
		msg.ContentType: 31, msg.ContentEncoding: 26, msg.ContentRange: 30,
	} {
		t[id] = place
	}
	return t
}()

// tableStatuses are the places of whole fields.
func tableStatusOf(status int) byte {
	switch status {
	case 200:
		return 8
	case 204:
		return 9
	case 206:
		return 10
	case 304:
		return 11
	case 400:
		return 12
	case 404:
		return 13
	case 500:
		return 14
	}
	return 0
}

func appendField(dst []byte, f *msg.Field) []byte {
	how := byte(withoutIndex)
	switch f.ID {
	case msg.Authorization, msg.Cookie, msg.SetCookie, msg.ProxyAuthorization:
		how = neverIndexed // whoever prints it further may not put it where others' guesses are compared with it [RFC 7541 section 7.1.3]
	}
	if place := tableNames[f.ID]; place > 0 {
		return appendNamed(dst, how, int(place), f.Value)
	}
	dst = appendInt(append(dst, how), 0, 7, len(f.Name))
	for _, c := range f.Name {
		dst = append(dst, msg.Lower(c))
	}
	return appendString(dst, f.Value)
}

func appendFields(dst []byte, fields msg.Fields, request bool) ([]byte, bool) {
	for i := range fields {
		f := &fields[i]
		if h1.Printed(f, request) || !h1.IsName(f.Name) || !h1.IsValue(f.Value) {
			return dst, false
		}
		dst = appendField(dst, f)
	}
	return dst, true
}

// AppendRequest appends the header block of a request. On an error, one of h1's, nothing is appended.
func AppendRequest(dst []byte, h *msg.RequestHead) ([]byte, error) {
	if !h1.IsName(h.Method) || !h1.IsTarget(h.Path, h.Query) || !h1.IsAuthority(h.Authority) {
		return dst, h1.ErrTarget
	}
	if h.Length < 0 && h.Length != msg.Chunked {
		return dst, h1.ErrLength
	}
	out := dst
	switch {
	case len(h.Upgrade) > 0:
		out = appendNamed(out, withoutIndex, tableMethod, []byte("CONNECT"))
		out = appendText(append(out, withoutIndex), ":protocol")
		out = appendString(out, h.Upgrade)
	case string(h.Method) == "GET":
		out = append(out, indexed|tableGET)
	case string(h.Method) == "POST":
		out = append(out, indexed|tablePOST)
	default:
		out = appendNamed(out, withoutIndex, tableMethod, h.Method)
	}
	if h.Secure {
		out = append(out, indexed|tableHTTPS)
	} else {
		out = append(out, indexed|tableHTTP)
	}
	if len(h.Authority) > 0 {
		out = appendNamed(out, withoutIndex, tableAuthority, h.Authority)
	}
	if len(h.Path) == 1 && h.Path[0] == '/' && len(h.Query) == 0 {
		out = append(out, indexed|tablePath)
	} else {
		out = appendInt(out, withoutIndex, 4, tablePath)
		out = appendInt(out, 0, 7, len(h.Path)+len(h.Query))
		out = append(append(out, h.Path...), h.Query...)
	}
	fields := h.Fields
	if len(h.Upgrade) > 0 {
		fields = withoutKey(fields)
	}
	out, ok := appendFields(out, fields, true)
	if !ok || !h1.IsValue(h.Upgrade) {
		return dst, h1.ErrField
	}
	if h.Trailers {
		out = appendText(appendText(append(out, withoutIndex), "te"), "trailers")
	}
	if h.Length > 0 || (h.HasLength && h.Length == 0) {
		out = appendLength(out, h.Length)
	}
	return out, nil
}

// withoutKey leaves out what only HTTP/1.1 asks for a WebSocket with. [RFC 8441 section 5.1]
func withoutKey(fields msg.Fields) (kept msg.Fields) {
	for i := range fields {
		if fields[i].ID != msg.SecWebSocketKey {
			kept = append(kept, fields[i])
		}
	}
	return kept
}

func appendLength(dst []byte, n int64) []byte {
	var text [20]byte
	return appendNamed(dst, withoutIndex, tableContentLength, strconv.AppendInt(text[:0], n, 10))
}

// AppendResponse appends the header block of a response, an interim one too. On an error, one of h1's, nothing is appended.
func AppendResponse(dst []byte, h *msg.ResponseHead) ([]byte, error) {
	if h.Status < 100 || h.Status > 999 {
		return dst, h1.ErrStatus
	}
	if h.Length < msg.UntilClose {
		return dst, h1.ErrLength
	}
	out := dst
	if place := tableStatusOf(h.Status); place > 0 {
		out = append(out, indexed|place)
	} else {
		out = appendInt(out, withoutIndex, 4, tableStatus)
		out = append(out, 3, byte('0'+h.Status/100), byte('0'+h.Status/10%10), byte('0'+h.Status%10))
	}
	out, ok := appendFields(out, h.Fields, false)
	if !ok {
		return dst, h1.ErrField
	}
	if h.Length >= 0 && !h.NoLength && h.Status >= 200 && h.Status != 204 {
		out = appendLength(out, h.Length)
	}
	return out, nil
}

// AppendTrailers appends the header block of trailers. On an error, one of h1's, nothing is appended.
func AppendTrailers(dst []byte, fields msg.Fields) ([]byte, error) {
	for i := range fields {
		f := fields[i]
		f.ID = msg.Lookup(f.Name)
		if !msg.TrailerAllowed(&f) {
			return dst, h1.ErrField
		}
	}
	out, ok := appendFields(dst, fields, true)
	if !ok {
		return dst, h1.ErrField
	}
	return out, nil
}

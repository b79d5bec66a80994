package exchange

import (
	"bytes"

	"poise/internal/encode"
	"poise/internal/msg"
)

// compression is what becomes of an answer's body on a route that compresses.
type compression struct {
	coding encode.Coding // that the client gets; None: it stays as it is
	// varies: another client might get another coding. weakens: the answer's tag is of a body in a coding, here or where the client has it already.
	varies, weakens bool
}

// FindCoding decides whether the answer's body is compressed for the client, and how. It comes before ResponseFields.
func (x *Exchange) FindCoding(resp *msg.Response) encode.Coding {
	c := x.actions().Compress
	if c == nil || x.call.is || x.upgrade.token != nil || x.Req.Version == msg.HTTP10 {
		return encode.None
	}
	z := &x.compression
	if resp.Status == 304 {
		z.varies, z.weakens = true, bytes.Contains(x.field("if-none-match"), []byte("W/"))
		return encode.None
	}
	if !c.Takes(resp) || forbidsTransforming(resp.Fields) {
		return encode.None
	}
	z.varies = true
	if !forbidsTransforming(x.Req.Fields) {
		z.coding = x.accepted(c.Codings)
	}
	z.weakens = z.coding != encode.None
	return z.coding
}

// KeepPlain says that the body is not compressed after all.
func (x *Exchange) KeepPlain() { x.compression.coding, x.compression.weakens = encode.None, false }

// IsCompressed tells whether the body is, or would be if the answer had one: then its length is not the server's.
func (x *Exchange) IsCompressed() bool { return x.compression.coding != encode.None }

// accepted is the coding that the client likes best (RFC 9110 section 12.5.3), of several the first; None: it takes none, or says nothing of it.
func (x *Exchange) accepted(codings []encode.Coding) encode.Coding {
	best, most := encode.None, 0
	for _, c := range codings {
		if q := quality(x.Req.Fields, c.String()); q > most {
			best, most = c, q
		}
	}
	return best
}

// quality is how much a client wants a coding, from 0, not at all, to 1000.
func quality(fields msg.Fields, coding string) int {
	other := 0
	for i := range fields {
		if fields[i].ID != msg.Other || !msg.EqualFold(fields[i].Name, "accept-encoding") {
			continue
		}
		for rest := fields[i].Value; len(rest) > 0; {
			var element []byte
			rest, element = cutLast(rest)
			name, parameters, _ := bytes.Cut(element, []byte(";"))
			switch name = bytes.TrimSpace(name); {
			case msg.EqualFold(name, coding):
				return weightOf(parameters)
			case string(name) == "*":
				other = weightOf(parameters)
			}
		}
	}
	return other
}

// weightOf reads a weight (RFC 9110 section 12.4.2) in thousandths. What is none wants nothing.
func weightOf(parameters []byte) int {
	p := bytes.TrimSpace(parameters)
	if len(p) == 0 {
		return 1000
	}
	if len(p) < 3 || len(p) > len("q=0.000") || p[0]|0x20 != 'q' || p[1] != '=' || p[2] != '0' && p[2] != '1' || len(p) > 3 && p[3] != '.' {
		return 0
	}
	n, digit := int(p[2]-'0')*1000, 100
	for _, c := range p[min(4, len(p)):] {
		if c < '0' || c > '9' {
			return 0
		}
		n += int(c-'0') * digit
		digit /= 10
	}
	return min(n, 1000)
}

// forbidsTransforming tells whether fields have no-transform (RFC 9111 sections 5.2.1.6 and 5.2.2.6).
func forbidsTransforming(fields msg.Fields) bool {
	for i := range fields {
		if fields[i].ID == msg.CacheControl && names(fields[i].Value, "no-transform") {
			return true
		}
	}
	return false
}

var nameContentEncoding = []byte("Content-Encoding")

// codingFields has the fields in dst, from there on, tell of a body that is compressed, or may be for another client.
func (x *Exchange) codingFields(dst msg.Fields, from int) msg.Fields {
	z := &x.compression
	if !z.varies {
		return dst
	}
	told := false
	kept := dst[:from]
	for _, f := range dst[from:] {
		switch {
		case f.ID != msg.Other:
		case msg.EqualFold(f.Name, "vary"):
			told = told || names(f.Value, "accept-encoding") || names(f.Value, "*")
		case z.weakens && msg.EqualFold(f.Name, "etag"):
			f.Value = x.weak(f.Value)
		case x.IsCompressed() && msg.EqualFold(f.Name, "accept-ranges"): // they are of another body
			continue
		}
		kept = append(kept, f)
	}
	if !told {
		kept = append(kept, msg.Field{Name: nameVary, Value: []byte("Accept-Encoding")})
	}
	if x.IsCompressed() {
		kept = append(kept, msg.Field{Name: nameContentEncoding, Value: []byte(z.coding.String()), ID: msg.ContentEncoding})
	}
	return kept
}

// names tells whether a comma list has an element.
func names(list []byte, lower string) bool {
	for len(list) > 0 {
		var element []byte
		if list, element = cutLast(list); msg.EqualFold(element, lower) {
			return true
		}
	}
	return false
}

// weak makes an entity tag one of bodies that differ in their bytes and not in what they say (RFC 9110 section 8.8.3).
func (x *Exchange) weak(tag []byte) []byte {
	if bytes.HasPrefix(tag, []byte("W/")) {
		return tag
	}
	from := len(x.scratch)
	x.scratch = append(append(x.scratch, "W/"...), tag...)
	return x.scratch[from:len(x.scratch):len(x.scratch)]
}

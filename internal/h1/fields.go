package h1

import "poise/internal/msg"

// fieldReader reads the field lines of one head and gathers what they say about the message.
type fieldReader struct {
	fields   msg.Fields
	framing  framing
	trailers bool // they come after the body, and say nothing about it
	max      int  // number of fields
	lenient  bool // responses: white space before the colon is taken off (RFC 9112 §5.1)
}

// read reads field lines from p to the empty line that ends the head, and returns where the body begins; 0: b ends before that.
//
// Every line ends in CRLF exactly; a bare LF or CR, which others read differently, is refused (RFC 9112 §2.2 allows both ways).
func (f *fieldReader) read(b []byte, p int) (int, error) {
	for {
		start := p
		for p < len(b) && class[b[p]]&isToken != 0 {
			p++
		}
		if p == len(b) {
			return 0, nil
		}
		nameEnd := p
		if b[p] != ':' {
			if b[p] == '\r' && p == start {
				return f.end(b, p)
			}
			var err error
			if p, err = f.colon(b, start, p); p == 0 || err != nil {
				return 0, err
			}
		}
		if nameEnd == start {
			return 0, errFieldName
		}
		if len(f.fields) >= f.max {
			return 0, errFieldCount
		}
		p++
		for p < len(b) && (b[p] == ' ' || b[p] == '\t') {
			p++
		}
		valueStart := p
		p = control(b, p)
		for p < len(b) && b[p] == '\t' {
			p = control(b, p+1)
		}
		if p+1 >= len(b) && (p == len(b) || b[p] == '\r') {
			return 0, nil
		}
		if b[p] != '\r' || b[p+1] != '\n' {
			return 0, lineError(b[p])
		}
		valueEnd := p
		for valueEnd > valueStart && (b[valueEnd-1] == ' ' || b[valueEnd-1] == '\t') {
			valueEnd--
		}
		p += 2
		field := f.add()
		field.Name, field.Value = b[start:nameEnd:nameEnd], b[valueStart:valueEnd:valueEnd]
		field.ID = msg.Lookup(field.Name)
		if field.ID == msg.Other || f.trailers {
			continue
		}
		if err := f.framing.note(field.ID, field.Value); err != nil {
			return 0, err
		}
	}
}

// add makes room for a field, which is then set in place: building it first and copying it cost a fifth of the parse.
func (f *fieldReader) add() *msg.Field {
	n := len(f.fields)
	if n == cap(f.fields) {
		f.fields = append(f.fields, msg.Field{})
	} else {
		f.fields = f.fields[:n+1]
	}
	return &f.fields[n]
}

// end reads the empty line.
func (f *fieldReader) end(b []byte, p int) (int, error) {
	if p+1 == len(b) {
		return 0, nil
	}
	if b[p+1] != '\n' {
		return 0, errLineEnd
	}
	return p + 2, nil
}

// colon looks for the colon of a name that ends at p in something else; it returns the colon's place, or 0 if b ends before.
func (f *fieldReader) colon(b []byte, start, p int) (int, error) {
	c := b[p]
	switch {
	case c == '\r' || c == '\n':
		return 0, errNoColon
	case c != ' ' && c != '\t':
		return 0, errFieldName
	case p == start:
		return 0, errFold
	case !f.lenient:
		return 0, errNoColon
	}
	for p < len(b) && (b[p] == ' ' || b[p] == '\t') {
		p++
	}
	if p == len(b) {
		return 0, nil
	}
	if b[p] != ':' {
		return 0, errNoColon
	}
	return p, nil
}

// lineError is the error for a control character that stands where a line may go on or end.
func lineError(c byte) error {
	if c == '\r' || c == '\n' {
		return errLineEnd
	}
	return errControl
}

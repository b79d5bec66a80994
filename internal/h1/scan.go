package h1

import "poise/internal/msg"

// Scanner looks for the end of a head that comes in pieces, reading every byte once, so that a head that comes byte by byte
// does not cost its length squared. It also refuses early what can become no head: wrong line ends, control characters,
// a first byte that starts no request, heads over a limit. Whether the head is right, ParseRequest or ParseResponse says once it is complete.
//
// The zero Scanner is ready for a request.
type Scanner struct {
	// Response: the head is a response's. Errors then have status 502, as ParseResponse's do.
	Response bool

	at    int // bytes already looked at
	line  int // where the current line begins
	lines int // complete lines, the empty ones before a request line left out
	blank int // those
}

// Reset makes the scanner ready for the next head of the same kind.
func (s *Scanner) Reset() { *s = Scanner{Response: s.Response} }

// Feed looks at the bytes of b that it has not seen; b always begins where the head does, and only grows from call to
// call (it may move). It tells whether the head is complete.
func (s *Scanner) Feed(b []byte, lim *Limits) (complete bool, err error) {
	if len(b) > lim.head() {
		b = b[:lim.head()]
	}
	complete, err = s.feed(b, lim)
	if err == nil && !complete && len(b) >= lim.head() {
		err = errHeadSize
		if s.lines == 0 {
			err = errTooLong
		}
	}
	if err != nil && s.Response {
		err = badGateway(err)
	}
	return complete, err
}

func (s *Scanner) feed(b []byte, lim *Limits) (complete bool, err error) {
	for {
		s.at = control(b, s.at)
		if s.at == len(b) {
			return false, s.startLine(b)
		}
		switch b[s.at] {
		case '\t':
			s.at++
			continue
		case '\r':
		default:
			if s.lines == 0 && s.at == s.line {
				return false, errStart
			}
			return false, lineError(b[s.at])
		}
		if s.at+1 == len(b) {
			return false, s.startLine(b)
		}
		if b[s.at+1] != '\n' {
			return false, errLineEnd
		}
		if complete, err = s.endLine(b, lim); complete || err != nil {
			return complete, err
		}
	}
}

// endLine takes in the line that ends at s.at.
func (s *Scanner) endLine(b []byte, lim *Limits) (complete bool, err error) {
	empty := s.at == s.line
	switch {
	case empty && s.lines > 0:
		complete = true
	case empty:
		if s.blank++; s.blank > maxBlank || s.Response {
			return false, errBlank
		}
	default:
		if s.lines == 0 {
			if err := s.parseStartLine(b, lim.target()); err != nil {
				return false, err
			}
		}
		if s.lines++; s.lines > lim.fields()+1 {
			return false, errFieldCount
		}
	}
	s.at += 2
	s.line = s.at
	return complete, nil
}

// parseStartLine refuses a first line that is complete and wrong: who sends one may be waiting for an answer, not sending a head.
func (s *Scanner) parseStartLine(b []byte, maxTarget int) error {
	line := b[s.line : s.at+len(CRLF)]
	if s.Response {
		_, err := readStatusLine(&msg.Response{}, line)
		return err
	}
	_, err := new(requestLine).read(line, maxTarget)
	return err
}

// startLine refuses the beginnings of lines that start no message.
func (s *Scanner) startLine(b []byte) error {
	if s.lines > 0 || s.line == s.at {
		return nil
	}
	line := b[s.line:s.at]
	if s.Response {
		if line[0] != 'H' {
			return errStatusLine
		}
		return nil
	}
	if class[line[0]]&isToken == 0 {
		return errStart
	}
	for _, c := range line[:min(len(line), maxMethod+1)] {
		if c == ' ' {
			return nil
		}
		if class[c]&isToken == 0 {
			return errMethod
		}
	}
	if len(line) > maxMethod {
		return errLongWord
	}
	return nil
}

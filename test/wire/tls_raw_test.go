package wire

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/tls"
	"encoding/binary"
	"encoding/hex"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"poise/internal/testkit"
)

// Types of records (RFC 8446 section 5.1), and heartbeats (RFC 6520).
const (
	recordAlert     = 21
	recordHandshake = 22
	recordData      = 23
	recordHeartbeat = 24
)

// record is one in clear text.
func record(kind byte, body ...byte) []byte {
	return append(binary.BigEndian.AppendUint16([]byte{kind, 3, 3}, uint16(len(body))), body...)
}

// records are those for a message, with so many bytes in each.
func records(message []byte, size int) (all []byte) {
	for len(message) > 0 {
		n := min(size, len(message))
		all = append(all, record(recordHandshake, message[:n]...)...)
		message = message[n:]
	}
	return all
}

// rawHello sends bytes as they are, says that nothing follows, and returns what came, and the alert in it; 0: there was none. t fails where the connection does
// not end.
func rawHello(t *testing.T, what, addr string, hello []byte) (got []byte, alert tls.AlertError) {
	t.Helper()
	c := testkit.Dial(t, addr)
	_, _ = c.TCPConn.Write(hello)
	_ = c.TCPConn.CloseWrite()
	_ = c.SetReadDeadline(time.Now().Add(testkit.Patience))
	got, err := io.ReadAll(c.TCPConn)
	if e, ok := err.(net.Error); ok && e.Timeout() {
		t.Errorf("%s: the connection does not end", what)
	}
	_ = c.TCPConn.Close()
	for rest := got; len(rest) >= 5; {
		n := 5 + int(binary.BigEndian.Uint16(rest[3:]))
		if rest[0] == recordAlert && len(rest) >= 7 {
			return got, tls.AlertError(rest[6])
		}
		rest = rest[min(n, len(rest)):]
	}
	return got, 0
}

// answered tells whether a server's hello is in what came.
func answered(got []byte) bool { return len(got) > 5 && got[0] == recordHandshake && got[5] == 2 }

// wantAlert wants an alert, and no server's hello.
func wantAlert(t *testing.T, what, addr string, hello []byte, want ...tls.AlertError) {
	t.Helper()
	got, alert := rawHello(t, what, addr, hello)
	for _, w := range want {
		if alert == w && !answered(got) {
			return
		}
	}
	t.Errorf("%s: got %.40x with the alert %d (%v), want %d", what, got, uint8(alert), alert, want)
}

// oldHello is a client's hello of TLS 1.2 or before.
func oldHello(version uint16, suites []uint16, compressions []byte, extensions ...byte) []byte {
	b := binary.BigEndian.AppendUint16(nil, version)
	b = append(append(b, bytes.Repeat([]byte{7}, 32)...), 0)
	b = binary.BigEndian.AppendUint16(b, uint16(2*len(suites)))
	for _, s := range suites {
		b = binary.BigEndian.AppendUint16(b, s)
	}
	b = append(append(b, byte(len(compressions))), compressions...)
	extensions = append(extensions,
		0, 10, 0, 4, 0, 2, 0, 23, // groups: P-256
		0, 11, 0, 2, 1, 0, // points: uncompressed
		0, 13, 0, 4, 0, 2, 4, 3, // signatures: ECDSA with P-256 and SHA-256
	)
	b = append(binary.BigEndian.AppendUint16(b, uint16(len(extensions))), extensions...)
	return records(append([]byte{1, 0, byte(len(b) >> 8), byte(len(b))}, b...), 1<<14)
}

// recording keeps what is read.
type recording struct {
	net.Conn
	got bytes.Buffer
}

func (r *recording) Read(p []byte) (int, error) {
	n, err := r.Conn.Read(p)
	r.got.Write(p[:n])
	return n, err
}

// sealer makes a client's records of any kind after a handshake, with AES-128-GCM.
type sealer struct {
	conn   net.Conn
	tls    *tls.Conn // reads what comes
	secret []byte    // TLS 1.3
	aead   cipher.AEAD
	iv     []byte
	seq    uint64
}

// seal makes a handshake, and returns what makes the records that follow.
func seal(t *testing.T, addr string, config *tls.Config, version uint16) *sealer {
	t.Helper()
	var log bytes.Buffer
	config = config.Clone()
	config.MinVersion, config.MaxVersion, config.KeyLogWriter = version, version, &log
	config.CipherSuites = []uint16{tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256}
	in := &recording{Conn: testkit.Dial(t, addr).TCPConn}
	conn := tls.Client(in, config)
	if err := conn.Handshake(); err != nil {
		t.Fatal(err)
	}
	s := &sealer{conn: in, tls: conn}
	for line := range strings.Lines(log.String()) {
		f := strings.Fields(line)
		random, _ := hex.DecodeString(f[1])
		secret, _ := hex.DecodeString(f[2])
		switch f[0] {
		case "CLIENT_TRAFFIC_SECRET_0":
			s.rekey(t, secret)
		case "CLIENT_RANDOM": // the block of keys has both keys, and then both salts (RFC 5246 section 6.3, RFC 5288 section 3)
			keys := prf(secret, "key expansion", append(bytes.Clone(in.got.Bytes()[11:43]), random...), 40)
			s.use(t, keys[:16], keys[32:36])
			s.seq = 1 // behind the client's Finished
		}
	}
	if s.aead == nil {
		t.Fatal("the handshake tells no keys")
	}
	return s
}

func (s *sealer) use(t *testing.T, key, iv []byte) {
	t.Helper()
	block, err := aes.NewCipher(key)
	if err == nil {
		s.aead, err = cipher.NewGCM(block)
	}
	if err != nil {
		t.Fatal(err)
	}
	s.iv, s.seq = iv, 0
}

// rekey takes a traffic secret of TLS 1.3 (RFC 8446 section 7.3).
func (s *sealer) rekey(t *testing.T, secret []byte) {
	t.Helper()
	s.secret = secret
	s.use(t, expand(t, secret, "key", 16), expand(t, secret, "iv", 12))
}

// update is a KeyUpdate that wants one back, and what follows it is under new keys.
func (s *sealer) update(t *testing.T) []byte {
	t.Helper()
	r := s.record(recordHandshake, 24, 0, 0, 1, 1)
	s.rekey(t, expand(t, s.secret, "traffic upd", 32))
	return r
}

func (s *sealer) record(kind byte, plain ...byte) []byte {
	seq := binary.BigEndian.AppendUint64(nil, s.seq)
	s.seq++
	if s.secret != nil {
		nonce := bytes.Clone(s.iv)
		for i, b := range seq {
			nonce[4+i] ^= b
		}
		head := []byte{recordData, 3, 3, 0, 0}
		binary.BigEndian.PutUint16(head[3:], uint16(len(plain)+1+16))
		return s.aead.Seal(head, nonce, append(bytes.Clone(plain), kind), head)
	}
	head := append([]byte{kind, 3, 3, 0, 0}, seq...)
	binary.BigEndian.PutUint16(head[3:], uint16(8+len(plain)+16))
	also := binary.BigEndian.AppendUint16(append(bytes.Clone(seq), kind, 3, 3), uint16(len(plain)))
	return s.aead.Seal(head, append(bytes.Clone(s.iv), seq...), plain, also)
}

// end sends what was sealed and returns how the connection ended. It fails t where it does not.
func (s *sealer) end(t *testing.T, what string, sealed []byte) error {
	t.Helper()
	go func() { _, _ = s.conn.Write(sealed) }()
	_ = s.conn.SetReadDeadline(time.Now().Add(testkit.Patience))
	_, err := io.Copy(io.Discard, s.tls)
	if e, ok := err.(net.Error); ok && e.Timeout() {
		t.Errorf("%s: the connection does not end", what)
	}
	return err
}

// prf is that of TLS 1.2 (RFC 5246 section 5).
func prf(secret []byte, label string, seed []byte, size int) (out []byte) {
	seed = append([]byte(label), seed...)
	sum := func(b []byte) []byte {
		h := hmac.New(sha256.New, secret)
		h.Write(b)
		return h.Sum(nil)
	}
	for a := sum(seed); len(out) < size; a = sum(a) {
		out = append(out, sum(append(bytes.Clone(a), seed...))...)
	}
	return out[:size]
}

// expand is HKDF-Expand-Label of TLS 1.3 (RFC 8446 section 7.1).
func expand(t *testing.T, secret []byte, label string, size int) []byte {
	t.Helper()
	label = "tls13 " + label
	info := append([]byte{0, byte(size), byte(len(label))}, label...)
	out, err := hkdf.Expand(sha256.New, secret, string(append(info, 0)), size)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

package affinity

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"time"

	"poise/internal/clock"
	"poise/internal/siphash"
)

// limits bound how long a cookie ties its client. All times are in whole seconds.
type limits struct {
	key        siphash.Key // of the stamps' tags
	idle, life int64       // 0: no limit
	// renew is the age from which the time of the last request is written anew: with a tenth of idle, few answers carry a Set-Cookie. The time in
	// a cookie may lag so much behind the last request, so idle is prolonged by it.
	renew int64
}

// newLimits is nil where there are none.
func newLimits(s *CookieSettings) *limits {
	if s.Idle == 0 && s.Life == 0 {
		return nil
	}
	l := &limits{key: stampKey(s.Secret), idle: int64(s.Idle / time.Second), life: int64(s.Life / time.Second)}
	l.renew = max(1, l.idle/10)
	return l
}

// stampKey makes the tags' key of the tokens' secret. No token is a MAC of the same: one begins with the length of a name.
func stampKey(secret []byte) siphash.Key {
	mac := hmac.New(sha256.New, secret)
	mac.Write([]byte("\xff\xff\xff\xff\xff\xff\xff\xffstamp"))
	return siphash.KeyFrom([16]byte(mac.Sum(nil)[:16]))
}

// stamp is what follows the token in the value of a cookie with limits, under a tag that holds for both: 16 bytes in base64url. The tag has 64
// bits, which can only be tried here, one request at a time, to win no more than an old cookie's life.
type stamp struct{ placed, seen uint32 } // Unix seconds, up to the year 2106: when the server was given, and the last request that counts

const (
	stampBytes = 16
	stampLen   = (stampBytes*8 + 5) / 6
)

// tag signs a token's stamp.
func (l *limits) tag(token []byte, s stamp) uint64 {
	var b [tokenLen + 8]byte
	copy(b[:tokenLen], token)
	binary.BigEndian.PutUint32(b[tokenLen:], s.placed)
	binary.BigEndian.PutUint32(b[tokenLen+4:], s.seen)
	return siphash.Sum(l.key, b[:])
}

// appendStamp appends the stamp of a token as text.
func (l *limits) appendStamp(dst, token []byte, s stamp) []byte {
	var b [stampBytes]byte
	binary.BigEndian.PutUint32(b[:], s.placed)
	binary.BigEndian.PutUint32(b[4:], s.seen)
	binary.BigEndian.PutUint64(b[8:], l.tag(token, s))
	return base64.RawURLEncoding.AppendEncode(dst, b[:])
}

// strict takes one text only for each stamp.
var strict = base64.RawURLEncoding.Strict()

// split divides a cookie's value into token and stamp. ok: the stamp was made here, for this token.
func (l *limits) split(value []byte) (token []byte, s stamp, ok bool) {
	if len(value) != tokenLen+stampLen {
		return nil, stamp{}, false
	}
	var b [stampBytes]byte
	token = value[:tokenLen]
	if n, err := strict.Decode(b[:], value[tokenLen:]); err != nil || n != stampBytes {
		return nil, stamp{}, false
	}
	s = stamp{placed: binary.BigEndian.Uint32(b[:]), seen: binary.BigEndian.Uint32(b[4:])}
	return token, s, binary.BigEndian.Uint64(b[8:]) == l.tag(token, s)
}

// skew is how far ahead the clock of another instance, or this one's before it was set back, may have been. What lies further ahead counts as too
// old, for nobody knows its age. [RFC 4120 section 8.2 and HAProxy bound it as well, by 5 minutes and by 24 hours]
const skew = 5 * 60

// over is 0 for a stamp that holds.
func (l *limits) over(now clock.Instant, s stamp) byte {
	second := seconds(now)
	switch {
	case l.idle > 0 && past(second-int64(s.seen), l.idle+l.renew):
		return Expired
	case l.life > 0 && past(second-int64(s.placed), l.life):
		return Old
	}
	return 0
}

func past(age, most int64) bool { return age > most || age < -skew }

// due tells whether the stamp of a client that stays is written anew.
func (l *limits) due(now clock.Instant, s stamp) bool {
	return l != nil && l.idle > 0 && seconds(now)-int64(s.seen) >= l.renew
}

// seconds is the time of day in Unix seconds. It follows the clock as it was when the program began, so a clock that is set does not reach it.
func seconds(now clock.Instant) int64 { return now.Wall().Unix() }

// Package login knows users by their names and passwords.
//
// Passwords are kept as bcrypt makes them, which takes tens of milliseconds to compare, on purpose: a loop must not wait for it. So what was found right once
// is known by a quick hash from then on, and the slow way runs elsewhere, for few requests at a time. Start reading at Users.Known, then Begin.
package login

import (
	"crypto/sha256"
	"crypto/subtle"
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"

	"golang.org/x/crypto/bcrypt"
)

const (
	// maxCost is the highest cost of a password: 14 takes about a second.
	maxCost = 14
	// atOnce is how many passwords are compared at a time: who tries many must not use all processors up.
	atOnce = 2
)

// Users are the users of one file. Any loop may use them.
type Users struct {
	users  map[string]*user
	nobody user              // compared with for names that there are not, so that the time does not tell
	secret [32]byte          // of the quick hashes
	file   [sha256.Size]byte // hash of what they were read from
	busy   atomic.Int32
}

type user struct {
	hash []byte
	good atomic.Pointer[[sha256.Size]byte] // the quick hash of the right password, once that was given
}

// Parse reads lines of NAME:HASH, as htpasswd -B writes them. Empty ones and those that begin with # say nothing. secret is what nobody else knows.
func Parse(file, secret []byte) (*Users, error) {
	u := &Users{users: map[string]*user{}, secret: sha256.Sum256(append([]byte("poise login\x00"), secret...)), file: sha256.Sum256(file)}
	cost := bcrypt.MinCost
	for i, line := range strings.Split(string(file), "\n") {
		line = strings.TrimSuffix(line, "\r")
		if strings.TrimSpace(line) == "" || line[0] == '#' {
			continue
		}
		name, hash, ok := strings.Cut(line, ":")
		c, err := bcrypt.Cost([]byte(hash))
		switch {
		case !ok || name == "":
			return nil, fmt.Errorf("line %d is not NAME:HASH", i+1)
		case u.users[name] != nil:
			return nil, fmt.Errorf("line %d: the user %s is there twice", i+1, name)
		case err != nil:
			return nil, fmt.Errorf("line %d: the password of %s is not hashed by bcrypt (htpasswd -B)", i+1, name)
		case c > maxCost:
			return nil, fmt.Errorf("line %d: the password of %s has the cost %d, more than %d", i+1, name, c, maxCost)
		}
		cost = max(cost, c)
		u.users[name] = &user{hash: []byte(hash)}
	}
	if len(u.users) == 0 {
		return nil, errors.New("there are no users in it")
	}
	var err error
	u.nobody.hash, err = bcrypt.GenerateFromPassword(u.secret[:16], cost)
	return u, err
}

// From tells whether the users were read from a file with this content.
func (u *Users) From(file []byte) bool { return u.file == sha256.Sum256(file) }

// quick is a hash of both that only this process can make.
func (u *Users) quick(name, password []byte) [sha256.Size]byte {
	h := sha256.New()
	h.Write(u.secret[:])
	var length [8]byte
	binary.LittleEndian.PutUint64(length[:], uint64(len(name)))
	h.Write(length[:])
	h.Write(name)
	h.Write(password)
	var sum [sha256.Size]byte
	h.Sum(sum[:0])
	return sum
}

// Known tells at once whether the password was found to be the user's before.
func (u *Users) Known(name, password []byte) bool {
	x := u.users[string(name)]
	if x == nil {
		return false
	}
	good := x.good.Load()
	if good == nil {
		return false
	}
	sum := u.quick(name, password)
	return subtle.ConstantTimeCompare(good[:], sum[:]) == 1
}

// Begin tells whether another password may be compared now; then Verify must follow.
func (u *Users) Begin() bool {
	if u.busy.Add(1) > atOnce {
		u.busy.Add(-1)
		return false
	}
	return true
}

// Verify finds out whether the password is the user's. It takes long, whether or not there is the user.
func (u *Users) Verify(name, password []byte) bool {
	defer u.busy.Add(-1)
	x := u.users[string(name)]
	if x == nil {
		_ = bcrypt.CompareHashAndPassword(u.nobody.hash, password)
		return false
	}
	if bcrypt.CompareHashAndPassword(x.hash, password) != nil {
		return false
	}
	sum := u.quick(name, password)
	x.good.Store(&sum)
	return true
}

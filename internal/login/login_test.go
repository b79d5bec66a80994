package login

import (
	"fmt"
	"strings"
	"sync"
	"testing"

	"golang.org/x/crypto/bcrypt"
)

func line(t testing.TB, name, password string, cost int) string {
	t.Helper()
	hash, err := bcrypt.GenerateFromPassword([]byte(password), cost)
	if err != nil {
		t.Fatal(err)
	}
	return name + ":" + string(hash) + "\n"
}

func TestUsers(t *testing.T) {
	u, err := Parse([]byte("# people\n\n" + line(t, "ann", "secret", 4) + line(t, "bob", "other: one", 5) + strings.TrimSuffix(line(t, "eve", "", 4), "\n") + "\r"))
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name, password string
		want           bool
	}{
		{"ann", "secret", true},
		{"ann", "Secret", false},
		{"ann", "", false},
		{"bob", "other: one", true},
		{"eve", "", true},
		{"nobody", "secret", false},
		{"", "", false},
		{"ann", strings.Repeat("x", 1000), false},
		{"annsecret", "", false},
	} {
		if u.Known([]byte(tt.name), []byte(tt.password)) {
			t.Errorf("%s with %.20q is known before it was verified", tt.name, tt.password)
		}
		if ok, err := u.Verify([]byte(tt.name), []byte(tt.password)); ok != tt.want || err != nil {
			t.Errorf("Verify(%s, %.20q) = %v, %v, want %v", tt.name, tt.password, ok, err, tt.want)
		}
		if got := u.Known([]byte(tt.name), []byte(tt.password)); got != tt.want {
			t.Errorf("Known(%s, %.20q) afterwards = %v, want %v", tt.name, tt.password, got, tt.want)
		}
	}
	if u.Known([]byte("annsecre"), []byte("t")) || u.Known([]byte("an"), []byte("nsecret")) {
		t.Error("a name and a password that are as one are known")
	}
	if n := testing.AllocsPerRun(100, func() { u.Known([]byte("ann"), []byte("secret")) }); n != 0 {
		t.Errorf("Known allocates %v times, want 0", n)
	}
}

func TestParseErrors(t *testing.T) {
	ann := line(t, "ann", "x", 4)
	for text, want := range map[string]string{
		"":                                     "no users",
		"# nobody":                             "no users",
		"ann":                                  "line 1 is not NAME:HASH",
		":x":                                   "line 1 is not NAME:HASH",
		ann + ann:                              "line 2: the user ann is there twice",
		ann + "bob:secret":                     "line 2: the password of bob is not hashed by bcrypt",
		"bob:$apr1$x$y":                        "not hashed by bcrypt",
		"bob:$2y$15" + ann[len("ann:$2y$04"):]: "has the cost 15, more than 14",
	} {
		if u, err := Parse([]byte(text)); u != nil || err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("Parse(%.30q) = %v, want an error with %q", text, err, want)
		}
	}
}

// TestFewAtOnce: who tries many passwords does not have all of them compared at once.
func TestFewAtOnce(t *testing.T) {
	u, err := Parse([]byte(line(t, "ann", "secret", 8)))
	if err != nil {
		t.Fatal(err)
	}
	var tries sync.WaitGroup
	var mu sync.Mutex
	busy := 0
	for i := range 20 {
		tries.Go(func() {
			if _, err := u.Verify([]byte("ann"), fmt.Append(nil, i)); err == ErrBusy {
				mu.Lock()
				busy++
				mu.Unlock()
			}
		})
	}
	tries.Wait()
	if busy == 0 {
		t.Error("20 passwords are compared at once")
	}
	if ok, err := u.Verify([]byte("ann"), []byte("secret")); !ok || err != nil {
		t.Errorf("afterwards Verify = %v, %v", ok, err)
	}
}

package login

import (
	"strings"
	"testing"

	"golang.org/x/crypto/bcrypt"
)

var key = []byte("a secret")

func line(t testing.TB, name, password string, cost int) string {
	t.Helper()
	hash, err := bcrypt.GenerateFromPassword([]byte(password), cost)
	if err != nil {
		t.Fatal(err)
	}
	return name + ":" + string(hash) + "\n"
}

func TestUsers(t *testing.T) {
	u, err := Parse([]byte("# people\n\n"+line(t, "ann", "secret", 4)+line(t, "bob", "other: one", 5)+strings.TrimSuffix(line(t, "eve", "", 4), "\n")+"\r"), key)
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
		if began, ok := u.Begin(), u.Verify([]byte(tt.name), []byte(tt.password)); !began || ok != tt.want {
			t.Errorf("Verify(%s, %.20q) = %v, begun %v, want %v", tt.name, tt.password, ok, began, tt.want)
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
		if u, err := Parse([]byte(text), key); u != nil || err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("Parse(%.30q) = %v, want an error with %q", text, err, want)
		}
	}
}

// TestFewAtOnce: who tries many passwords does not have all of them compared at once.
func TestFewAtOnce(t *testing.T) {
	u, err := Parse([]byte(line(t, "ann", "secret", 4)), key)
	if err != nil {
		t.Fatal(err)
	}
	for range atOnce {
		if !u.Begin() {
			t.Fatalf("not %d may be compared at once", atOnce)
		}
	}
	for range 3 {
		if u.Begin() {
			t.Fatalf("more than %d may be compared at once", atOnce)
		}
	}
	u.Verify([]byte("ann"), []byte("wrong"))
	if !u.Begin() || u.Begin() {
		t.Error("after one has ended, not one may begin")
	}
}

package exchange

import (
	"encoding/base64"
	"testing"

	"golang.org/x/crypto/bcrypt"

	"poise/internal/login"
	"poise/internal/route"
)

// TestLogin: a password is compared once, where there is room for it; from then on it is known.
func TestLogin(t *testing.T) {
	hash, err := bcrypt.GenerateFromPassword([]byte("secret"), bcrypt.MinCost)
	if err != nil {
		t.Fatal(err)
	}
	users, err := login.Parse([]byte("ann:"+string(hash)), []byte("key"))
	if err != nil {
		t.Fatal(err)
	}
	a := &route.Actions{Login: &route.Login{Users: users, Challenge: []byte("Basic")}}
	ask := func(credentials string) (*Exchange, Step) {
		t.Helper()
		return acted(t, a, "/*", "GET / HTTP/1.1\r\nHost: a\r\nAuthorization: Basic "+base64.StdEncoding.EncodeToString([]byte(credentials))+"\r\n\r\n")
	}
	begun := 0
	for users.Begin() {
		begun++
	}
	if _, step := ask("ann:secret"); step.Kind != Answer || step.Reply.Status != 503 || step.Reply.RetryAfter == 0 {
		t.Errorf("while %d passwords are compared, the step is %+v, want 503", begun, step)
	}
	for range begun {
		users.Verify([]byte("ann"), []byte("wrong"))
	}
	x, step := ask("ann:secret")
	if step.Kind != Verify {
		t.Fatalf("the step is %+v, want to compare the password", step)
	}
	x.CheckPassword()
	if step := x.Verified(11); step.Kind != Forward || string(x.user) != "ann" {
		t.Errorf("after the password was right, the step is %+v for %q", step, x.user)
	}
	if x, step := ask("ann:secret"); step.Kind != Forward || string(x.user) != "ann" {
		t.Errorf("the second time the step is %+v for %q", step, x.user)
	}
	x, step = ask("ann:Secret")
	if step.Kind != Verify {
		t.Fatalf("another password's step is %+v", step)
	}
	x.CheckPassword()
	if step := x.Verified(11); step.Kind != Answer || step.Reply.Status != 401 || x.user != nil || x.visits != nil {
		t.Errorf("after the password was wrong, the step is %+v for %q", step, x.user)
	}
}

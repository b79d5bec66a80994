package admin

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"strings"
	"time"
)

// The states that a person can order.
const (
	Ready = "ready"
	Drain = "drain"
	Maint = "maint"
)

// MaxWeight is the greatest weight of a server, as in the configuration.
const MaxWeight = 256

// Order is what a person wants of a server. In JSON it is {"state": "drain", "for": "5m"} or {"weight": 3}, or both.
type Order struct {
	State  string // Ready, Drain or Maint; empty: as it is
	For    time.Duration
	Weight *int // nil: as it is
}

// order is an Order's JSON form.
type order struct {
	State  string `json:"state,omitempty"`
	For    string `json:"for,omitempty"`
	Weight *int   `json:"weight,omitempty"`
}

// MarshalJSON writes the form that the admin address reads.
func (o Order) MarshalJSON() ([]byte, error) {
	j := order{State: o.State, Weight: o.Weight}
	if o.For > 0 {
		j.For = o.For.String()
	}
	return json.Marshal(j)
}

// Refused is the error of a change that is not made, with the status that says so.
type Refused struct {
	Status int
	Text   string
}

func (r *Refused) Error() string { return r.Text }

// maxBody is far more than an order has.
const maxBody = 4 << 10

// change guards what changes something, behind guard: over TCP it needs the token. Over a Unix socket file rights have decided. A page in a browser cannot send
// this content type elsewhere without asking first, which nobody answers.
func (s Source) change(do func(r *http.Request, body []byte) (string, error)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		body, err := s.admit(w, r)
		answer := ""
		if err == nil {
			answer, err = do(r, body)
		}
		if err == nil {
			text(w, http.StatusOK, answer+"\n")
			return
		}
		status := http.StatusInternalServerError
		if refused := (*Refused)(nil); errors.As(err, &refused) {
			status = refused.Status
		}
		if status == http.StatusUnauthorized {
			w.Header().Set("WWW-Authenticate", "Bearer")
		}
		text(w, status, err.Error()+"\n")
	}
}

// admit tells why a request must not change anything, or returns its body.
func (s Source) admit(w http.ResponseWriter, r *http.Request) ([]byte, error) {
	if _, tcp := localIP(r); tcp {
		scheme, given, _ := strings.Cut(r.Header.Get("Authorization"), " ")
		switch {
		case s.Token == nil:
			return nil, &Refused{http.StatusForbidden, "changes over TCP need a token, and there is none: the program's log says why"}
		case !strings.EqualFold(scheme, "Bearer") || !s.Token.is(given):
			return nil, &Refused{http.StatusUnauthorized, "changes over TCP need the token in " + s.Token.Path + ", as in Authorization: Bearer TOKEN"}
		}
	}
	if kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || kind != "application/json" {
		return nil, &Refused{http.StatusUnsupportedMediaType, "the Content-Type of a change is application/json"}
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	if tooLarge := (*http.MaxBytesError)(nil); errors.As(err, &tooLarge) {
		return nil, &Refused{http.StatusRequestEntityTooLarge, fmt.Sprintf("the body is larger than %d bytes", maxBody)}
	}
	if err != nil {
		return nil, &Refused{http.StatusBadRequest, "the body broke off"}
	}
	return body, nil
}

// order is POST /v1/pools/{pool}/servers/{server}; names are percent-encoded, as they may hold a slash.
func (s Source) order(r *http.Request, body []byte) (string, error) {
	o, err := parseOrder(body)
	if err != nil {
		return "", &Refused{http.StatusBadRequest, err.Error()}
	}
	return s.Order(r.PathValue("pool"), r.PathValue("server"), o)
}

// reload is POST /v1/reload.
func (s Source) reload(*http.Request, []byte) (string, error) { return s.Reload() }

func parseOrder(body []byte) (o Order, err error) {
	var j order
	d := json.NewDecoder(strings.NewReader(string(body)))
	d.DisallowUnknownFields()
	if err := d.Decode(&j); err != nil {
		return o, fmt.Errorf(`the body is no order such as {"state": "drain", "for": "5m"} or {"weight": 3}: %w`, err)
	}
	if d.More() {
		return o, errors.New("the body goes on behind the order")
	}
	o.State, o.Weight = j.State, j.Weight
	switch {
	case j.State == "" && j.Weight == nil:
		return o, errors.New("the order has neither state nor weight")
	case j.State != "" && j.State != Ready && j.State != Drain && j.State != Maint:
		return o, fmt.Errorf("state %q is none of %s, %s, %s", j.State, Ready, Drain, Maint)
	case j.Weight != nil && (*j.Weight < 0 || *j.Weight > MaxWeight):
		return o, fmt.Errorf("weight %d is not from 0 to %d", *j.Weight, MaxWeight)
	case j.For == "":
		return o, nil
	case j.State != Drain:
		return o, errors.New("only a drain has a for")
	}
	if o.For, err = time.ParseDuration(j.For); err != nil || o.For <= 0 {
		return o, fmt.Errorf("for %q is no time such as 5m", j.For)
	}
	return o, nil
}

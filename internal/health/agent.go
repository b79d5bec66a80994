package health

import (
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// AgentOrder is what a server's agent wants of it; the words are those of a person's orders.
type AgentOrder uint8

// The agent's orders, the stricter ones later.
const (
	AgentReady AgentOrder = iota // none
	AgentDrain                   // no new clients; those that affinity ties to the server stay
	AgentMaint                   // no requests at all
)

var agentOrders = [...]string{"ready", "drain", "maint"}

func (o AgentOrder) String() string { return agentOrders[o] }

// Agent is what a server's agent has brought about so far: a program beside the server that says in words how much it can take. All of it lasts until the
// agent says otherwise, for only the agent undoes what it did. The zero Agent has done nothing.
type Agent struct {
	Down        bool
	Why         string // of Down, in the agent's words; may be empty
	Order       AgentOrder
	Weighs      bool // Share counts
	Share       int  // of the server's weight, in hundredths; may be more than 100
	MaxRequests int  // how many requests it may have in flight; 0: the agent does not say
}

// Hear returns what follows from an answer, one line, and those of its words that mean nothing. Words are in any order; of two that contradict each other the
// later one counts, and what no word is about stays as it was. [HAProxy, agent-check]
func (a Agent) Hear(answer string) (after Agent, unknown []string) {
	words, why, _ := strings.Cut(answer, "#")
	for _, word := range strings.FieldsFunc(words, isBreak) {
		if !a.take(strings.ToLower(word)) {
			unknown = append(unknown, Printable(word))
		}
	}
	a.Why = ""
	if a.Down {
		a.Why = Printable(strings.TrimSpace(why))
	}
	return a, unknown
}

func isBreak(r rune) bool { return r == ' ' || r == '\t' || r == ',' }

// take does what a word asks for. It is false for a word that means nothing.
func (a *Agent) take(word string) bool {
	switch word {
	case "up":
		a.Down = false
	case "down", "fail", "failed", "stopped":
		a.Down = true
	case "ready":
		a.Order = AgentReady
	case "drain":
		a.Order = AgentDrain
	case "maint":
		a.Order = AgentMaint
	default:
		return a.takeNumber(word)
	}
	return true
}

func (a *Agent) takeNumber(word string) bool {
	if text, ok := strings.CutPrefix(word, "maxconn:"); ok {
		return number(text, &a.MaxRequests)
	}
	text, percent := strings.CutSuffix(word, "%")
	text, named := strings.CutPrefix(text, "weight:")
	if !percent && !named || !number(text, &a.Share) {
		return false
	}
	a.Weighs = true
	return true
}

// mostDigits keeps numbers far from overflow.
const mostDigits = 7

// number reads digits alone: no sign, no space.
func number(text string, to *int) bool {
	if text == "" || len(text) > mostDigits || strings.Trim(text, "0123456789") != "" {
		return false
	}
	n, err := strconv.Atoi(text)
	if err == nil {
		*to = n
	}
	return err == nil
}

// String says what the agent has brought about, in its own words; empty: nothing.
func (a Agent) String() string {
	var parts []string
	if a.Order != AgentReady {
		parts = append(parts, a.Order.String())
	}
	if a.Weighs {
		parts = append(parts, strconv.Itoa(a.Share)+"%")
	}
	if a.MaxRequests > 0 {
		parts = append(parts, "maxconn:"+strconv.Itoa(a.MaxRequests))
	}
	if a.Down {
		parts = append(parts, strings.TrimSuffix("down #"+a.Why, " #"))
	}
	return strings.Join(parts, " ")
}

// maxSaid is how much of what an agent says in its own words is kept and logged, in bytes.
const maxSaid = 200

// Printable makes text of a stranger fit for a line of the log: short, and without what a terminal may act on.
func Printable(text string) string {
	short := text[:min(len(text), maxSaid)]
	for short != text && short != "" && !utf8.RuneStart(text[len(short)]) {
		short = short[:len(short)-1]
	}
	clean := strings.Map(func(r rune) rune {
		if r == utf8.RuneError || !unicode.IsPrint(r) {
			return '?'
		}
		return r
	}, short)
	if short != text {
		clean += "..."
	}
	return clean
}

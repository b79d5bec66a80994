package fault

// Rule is what a route asks of a request before it goes on. Its String is the key in the configuration.
type Rule uint8

// The rules, in the order in which they are asked. NoRule: none has refused the request.
const (
	NoRule Rule = iota
	Access
	RateLimit
	InFlightLimit
	CORS
	BasicAuth
	ForwardAuth
	MaxBody
	Rewrite
	// Rules is how many there are, NoRule among them.
	Rules = int(iota)
)

var ruleNames = [Rules]string{"", "access", "rate_limit", "in_flight_limit", "cors", "basic_auth", "forward_auth", "max_body", "rewrite"}

func (r Rule) String() string { return ruleNames[r] }

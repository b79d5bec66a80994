package config

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// Size is a number of bytes: in YAML a number, or a number with B, KB, MB, GB (powers of ten), KiB, MiB or GiB (powers of two).
type Size int64

type unit struct {
	name string
	size int64
}

// units, the largest that divides first when a Size is written.
var units = []unit{{"GiB", 1 << 30}, {"MiB", 1 << 20}, {"KiB", 1 << 10}, {"GB", 1e9}, {"MB", 1e6}, {"KB", 1e3}, {"B", 1}}

// String writes the size as the file would have it.
func (s Size) String() string {
	for _, u := range units[:3] {
		if s != 0 && int64(s)%u.size == 0 {
			return strconv.FormatInt(int64(s)/u.size, 10) + u.name
		}
	}
	return strconv.FormatInt(int64(s), 10)
}

// mistake is why a text is no value of its kind, and what was probably meant.
type mistake struct{ message, hint string }

func (m *mistake) Error() string { return m.message }

func parseSize(text string) (Size, error) {
	end := strings.LastIndexAny(text, "0123456789") + 1
	number, suffix := text[:end], strings.TrimLeft(text[end:], " ")
	factor := int64(1)
	if suffix != "" {
		u, hint := findUnit(suffix)
		if u.size == 0 {
			return 0, &mistake{fmt.Sprintf("%q is not a size", text), "write bytes, or a number with KiB, MiB or GiB"}
		}
		if hint {
			return 0, &mistake{fmt.Sprintf("%q is not a size", text), "write " + number + u.name}
		}
		factor = u.size
	}
	n, err := strconv.ParseInt(number, 10, 64)
	switch {
	case err != nil:
		return 0, &mistake{fmt.Sprintf("%q is not a size", text), "write bytes, or a number with KiB, MiB or GiB"}
	case n < 0:
		return 0, &mistake{fmt.Sprintf("%q is less than nothing", text), ""}
	case n > math.MaxInt64/factor:
		return 0, &mistake{fmt.Sprintf("%q is too large", text), ""}
	}
	return Size(n * factor), nil
}

// findUnit returns the unit of that name. guessed: it is not written so, but was probably meant.
func findUnit(name string) (u unit, guessed bool) {
	for _, u := range units {
		if name == u.name {
			return u, false
		}
	}
	for _, u := range units {
		if strings.EqualFold(name, u.name) || strings.EqualFold(name+"iB", u.name) || strings.EqualFold(name+"B", u.name) {
			return u, true
		}
	}
	return unit{}, false
}

// words are units of time as people write them, beside Go's own.
var words = strings.NewReplacer("milliseconds", "ms", "millisecond", "ms", "msec", "ms", "seconds", "s", "second", "s", "secs", "s", "sec", "s",
	"minutes", "m", "minute", "m", "mins", "m", "min", "m", "hours", "h", "hour", "h", "hrs", "h", "hr", "h", " ", "")

func parseDuration(text string) (time.Duration, error) {
	d, err := time.ParseDuration(text)
	if err == nil && d < 0 {
		return 0, &mistake{fmt.Sprintf("%q is less than nothing", text), ""}
	}
	if err == nil {
		return d, nil
	}
	if n, err := strconv.ParseFloat(text, 64); err == nil && n >= 0 && !math.IsInf(n, 0) {
		return 0, &mistake{fmt.Sprintf("%q has no unit", text), "write " + text + "s, or ms, m or h"}
	}
	m := &mistake{fmt.Sprintf("%q is not a duration", text), "write a number with ms, s, m or h, such as 250ms or 1m30s"}
	if days, ok := strings.CutSuffix(text, "d"); ok {
		if n, err := strconv.Atoi(days); err == nil && n > 0 && n < 10000 {
			m.hint = fmt.Sprintf("write %dh", n*24)
		}
	}
	guess := words.Replace(strings.ToLower(text))
	if g, err := time.ParseDuration(guess); err == nil && g >= 0 && guess != text {
		m.hint = "write " + guess
	}
	return 0, m
}

// formatDuration writes a duration as a person would: 1m30s, 2h, 250ms.
func formatDuration(d time.Duration) string {
	s := d.String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}

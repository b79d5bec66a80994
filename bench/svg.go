package main

import (
	"encoding/xml"
	"fmt"
	"strings"
)

// Sizes of the picture, in pixels.
const (
	pictureWidth = 780
	margin       = 24
	labelWidth   = 118 // of the candidates' names
	valueWidth   = 132 // right of the longest bar
	barHeight    = 15
	barStep      = 20
	groupGap     = 20
	titleHeight  = 22 // of a scenario's line
	headHeight   = 64
)

// longest is the ratio at which bars are cut, so that one slow candidate does not make all others dots.
const longest = 2.5

// svg draws CPU time per request of all scenarios as bars, relative to the baseline. It has its own background, so that it can be read where a
// page's theme and the
// system's differ.
func (r *report) svg() []byte {
	scale := 1.0
	for _, c := range r.Scenarios {
		for _, o := range c.Outcomes {
			scale = max(scale, min(longest, c.ratio(o)))
		}
	}
	p := picture{perRatio: float64(pictureWidth-2*margin-labelWidth-valueWidth) / scale, y: headHeight}
	for _, c := range r.Scenarios {
		p.group(c)
	}
	height := p.y + 2*barStep
	var b strings.Builder
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" width="%d" height="%d" role="img" aria-label="CPU time per request">`+"\n",
		pictureWidth, height, pictureWidth, height)
	b.WriteString(pictureStyle)
	fmt.Fprintf(&b, `<rect class="back" width="%d" height="%d" rx="8"/>`+"\n", pictureWidth, height)
	fmt.Fprintf(&b, `<text class="title" x="%d" y="32">CPU time of the balancer per request</text>`+"\n", margin)
	fmt.Fprintf(&b, `<text class="quiet" x="%d" y="51">%s; shorter is better</text>`+"\n", margin, r.relation())
	b.WriteString(p.b.String())
	fmt.Fprintf(&b, `<text class="quiet small" x="%d" y="%d">%s</text>`+"\n</svg>\n", margin, height-18, escaped(r.footer()))
	return []byte(b.String())
}

// relation says what 1 is.
func (r *report) relation() string {
	for _, c := range r.Scenarios {
		if b := c.baseline(c.Outcomes[0].Loops); !b.isPeer() {
			return "relative to " + escaped(b.Name)
		}
	}
	return "relative to the better of HAProxy and nginx in each scenario"
}

// footer says how it was measured.
func (r *report) footer() string {
	parts := []string{fmt.Sprintf("Medians of %d interleaved runs of %g s, one core each, %s.", r.Runs, r.Seconds, r.System)}
	for _, name := range peers {
		if v, ok := r.Versions[name]; ok {
			parts = append(parts, shortVersion(name, v))
		}
	}
	return strings.Join(parts, " ")
}

// shortVersion is the name and the number, of all that a peer says about itself.
func shortVersion(name, text string) string {
	for _, word := range strings.FieldsFunc(text, func(c rune) bool { return c == ' ' || c == '/' }) {
		if word[0] >= '0' && word[0] <= '9' {
			word, _, _ = strings.Cut(word, "-")
			return displayName(name) + " " + word + "."
		}
	}
	return displayName(name) + "."
}

// displayName is how a product writes itself.
func displayName(name string) string {
	switch {
	case strings.HasPrefix(name, "haproxy"):
		return "HAProxy" + strings.TrimPrefix(name, "haproxy")
	case strings.HasPrefix(name, "poise-"):
		return "Poise " + strings.TrimPrefix(name, "poise-")
	}
	return name
}

// picture is the drawing's middle, as far as it is done.
type picture struct {
	b        strings.Builder
	perRatio float64 // pixels
	y        int
}

// group draws one scenario.
func (p *picture) group(c *compared) {
	left := margin + labelWidth
	fmt.Fprintf(&p.b, `<text x="%d" y="%d"><tspan class="name">%s</tspan><tspan class="quiet" dx="8">%s</tspan></text>`+"\n",
		margin, p.y+14, escaped(c.Scenario.Name), escaped(c.Scenario.About))
	p.y += titleHeight
	one := float64(left) + p.perRatio
	fmt.Fprintf(&p.b, `<line class="one" x1="%.1f" y1="%d" x2="%.1f" y2="%d"/>`+"\n", one, p.y-2, one, p.y+(len(c.Outcomes)-1)*barStep+barHeight+2)
	for _, o := range c.Outcomes {
		p.bar(c, o)
	}
	p.y += groupGap
}

func (p *picture) bar(c *compared, o *outcome) {
	left := margin + labelWidth
	ratio := c.ratio(o)
	width := min(longest, ratio) * p.perRatio
	text := fmt.Sprintf("%.2f", ratio)
	if ratio > longest {
		text += " (cut)"
	}
	class := "peer"
	if o.Product == "poise" {
		class = "other"
		if strings.HasPrefix(o.Name, "poise-io_uring") {
			class = "poise"
		}
	}
	y := p.y + barHeight - 3
	fmt.Fprintf(&p.b, `<text class="label" x="%d" y="%d" text-anchor="end">%s</text>`+"\n", left-8, y, escaped(displayName(o.Name)))
	fmt.Fprintf(&p.b, `<rect class="%s" x="%d" y="%d" width="%.1f" height="%d" rx="2"/>`+"\n", class, left, p.y, width, barHeight)
	fmt.Fprintf(&p.b, `<text class="value" x="%.1f" y="%d">%s<tspan class="quiet" dx="7">%s µs</tspan></text>`+"\n",
		float64(left)+width+7, y, text, significant(median(o.Runs, run.cpu)))
	p.y += barStep
}

// pictureStyle follows the system's theme. The colours are GitHub's own for text and borders.
const pictureStyle = `<style>
text { font: 12px system-ui, -apple-system, "Segoe UI", Helvetica, Arial, sans-serif; fill: #1f2328 }
.title { font-size: 16px; font-weight: 600 }
.name, .value { font-weight: 600 }
.value { paint-order: stroke; stroke: #ffffff; stroke-width: 4px }
.quiet { fill: #59636e; font-weight: 400 }
.small { font-size: 11px }
.back { fill: #ffffff }
.poise { fill: #0969da }
.other { fill: #80bdf5 }
.peer { fill: #a3adb8 }
.one { stroke: #59636e; stroke-width: 1; stroke-dasharray: 3 3 }
@media (prefers-color-scheme: dark) {
text { fill: #e6edf3 }
.quiet { fill: #9198a1 }
.back { fill: #0d1117 }
.poise { fill: #4493f8 }
.other { fill: #264f86 }
.peer { fill: #565e68 }
.one { stroke: #9198a1 }
.value { stroke: #0d1117 }
}
</style>
`

func escaped(s string) string {
	var b strings.Builder
	_ = xml.EscapeText(&b, []byte(s)) // a Builder takes everything
	return b.String()
}

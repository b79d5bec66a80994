package route

import (
	"bytes"
	"strings"
)

// paths finds the rules for a path: a tree by segments, and what holds for all paths. nil has none.
type paths struct {
	root node
	any  leaf
}

// node is where a path is after some of its segments. A path that no route goes further along costs nothing more, however long it is.
type node struct {
	below map[string]*node // by the next segment
	exact leaf             // of the path that ends here
	wide  leaf             // of the prefix that ends here: it covers the path that does, too
}

func (p *paths) match(l *lookup) *rule {
	if p == nil {
		return nil
	}
	if path := l.req.Path; len(path) > 0 && path[0] == '/' { // else it is "*"
		if r := p.root.match(l, path); r != nil {
			return r
		}
	}
	return p.any.match(l)
}

// match looks for what is left of a path: nothing, or a slash and more.
func (n *node) match(l *lookup, rest []byte) *rule {
	if len(rest) == 0 {
		if r := n.exact.match(l); r != nil {
			return r
		}
	} else if len(n.below) > 0 {
		segment, more := rest[1:], []byte(nil)
		if i := bytes.IndexByte(segment, '/'); i >= 0 {
			segment, more = segment[:i], segment[i:]
		}
		if next := n.below[string(segment)]; next != nil {
			if r := next.match(l, more); r != nil {
				return r
			}
		}
	}
	return n.wide.match(l)
}

// add puts a rule into the tree. Rules come in order.
func (p *paths) add(r *rule) {
	if !r.path.set {
		p.any = append(p.any, r)
		return
	}
	n := &p.root
	for rest := r.path.text; rest != ""; {
		var segment string
		if i := strings.IndexByte(rest[1:], '/'); i >= 0 {
			segment, rest = rest[1:1+i], rest[1+i:]
		} else {
			segment, rest = rest[1:], ""
		}
		next := n.below[segment]
		if next == nil {
			next = &node{}
			if n.below == nil {
				n.below = map[string]*node{}
			}
			n.below[segment] = next
		}
		n = next
	}
	if r.path.wide {
		n.wide = append(n.wide, r)
	} else {
		n.exact = append(n.exact, r)
	}
}

package bind

import "github.com/jackc/pgx/v5/pgconn"

const (
	// maxHot is for how many bindings a connection keeps statements prepared: what
	// binds costs some 10 kB of the server's memory, besides the user's statements.
	maxHot = 48
	// halfLife is after how many flights of the connection all counts are halved.
	halfLife = 8192
)

// hot are the bindings that a connection works for most.
type hot struct {
	all     map[string]*bound
	most    []*bound // at most maxHot
	flights int
}

// bound is what a connection has for one binding.
type bound struct {
	binding string
	uses    int // halved now and then
	hot     bool
	// binds are the bind statements that are prepared: for single statements, and
	// for transactions and batches.
	binds [2]*pgconn.StatementDescription
}

func newHot() *hot { return &hot{all: make(map[string]*bound)} }

// has tells whether a binding is hot.
func (h *hot) has(binding string) bool {
	b := h.all[binding]
	return b != nil && b.hot
}

// use counts a flight of a binding. out is the binding that is no longer hot, as
// this one is now; usually nil.
func (h *hot) use(binding string) (b, out *bound) {
	if h.flights++; h.flights%halfLife == 0 {
		h.cool()
	}
	if b = h.all[binding]; b == nil {
		b = &bound{binding: binding}
		h.all[binding] = b
	}
	b.uses++
	if b.hot || b.uses < 2 {
		return b, nil
	}
	if len(h.most) < maxHot {
		b.hot = true
		h.most = append(h.most, b)
		return b, nil
	}
	weakest := 0
	for i, m := range h.most {
		if m.uses < h.most[weakest].uses {
			weakest = i
		}
	}
	// Clearly more, so that equals do not take turns.
	if out = h.most[weakest]; b.uses <= 2*out.uses+8 {
		return b, nil
	}
	out.hot, b.hot = false, true
	h.most[weakest] = b
	return b, out
}

// cool halves all counts and forgets who has none left.
func (h *hot) cool() {
	for binding, b := range h.all {
		if b.uses /= 2; b.uses == 0 && !b.hot {
			delete(h.all, binding)
		}
	}
}

package bind

import "github.com/jackc/pgx/v5/pgconn"

const (
	// maxHot is for how many bindings a connection keeps the user's statements
	// prepared: a simple one costs the server some 17 kB.
	maxHot = 112
	// maxOwn is how many of them have bind statements of their own. With those a
	// flight costs a few percent less than with the one that all others share.
	maxOwn = 16
	// halfLife is after how many flights of the connection all counts are halved.
	halfLife = 8192
)

// hot are the bindings that a connection works for most.
type hot struct {
	all              map[string]*bound
	statements, owns ranking
	flights          int
}

// bound is what a connection has for one binding.
type bound struct {
	binding string
	uses    int  // halved now and then
	hot     bool // has statements prepared
	own     bool // has bind statements of its own
	// binds are these: for single statements, and for transactions and batches.
	binds [2]*pgconn.StatementDescription
}

// ranking are as many of the bindings that are used most as there is room for.
type ranking struct {
	size  int
	most  []*bound
	least int // no binding in it has been used less often
}

func newHot() *hot {
	return &hot{all: make(map[string]*bound), statements: ranking{size: maxHot}, owns: ranking{size: maxOwn}}
}

// has tells whether a binding is hot.
func (h *hot) has(binding string) bool {
	b := h.all[binding]
	return b != nil && b.hot
}

// use counts a flight of a binding. cold is the binding that is no longer hot, as
// this one is now, and plain the one that has no bind statements of its own any
// longer; usually nil.
func (h *hot) use(binding string) (b, cold, plain *bound) {
	if h.flights++; h.flights%halfLife == 0 {
		h.cool()
	}
	if b = h.all[binding]; b == nil {
		b = &bound{binding: binding}
		h.all[binding] = b
	}
	if b.uses++; b.uses < 2 {
		return b, nil, nil
	}
	if !b.hot {
		if b.hot, cold = h.statements.admit(b); cold != nil {
			cold.hot = false
		}
	}
	if !b.own {
		if b.own, plain = h.owns.admit(b); plain != nil {
			plain.own = false
		}
	}
	return b, cold, plain
}

// admit lets a binding in if there is room or it is used clearly more than out,
// which has to go: so that equals do not take turns.
func (r *ranking) admit(b *bound) (in bool, out *bound) {
	if len(r.most) < r.size {
		r.most = append(r.most, b)
		return true, nil
	}
	if !exceeds(b.uses, r.least) {
		return false, nil
	}
	weakest := 0
	for i, m := range r.most {
		if m.uses < r.most[weakest].uses {
			weakest = i
		}
	}
	out = r.most[weakest]
	if r.least = out.uses; !exceeds(b.uses, r.least) {
		return false, nil
	}
	r.most[weakest] = b
	return true, out
}

// exceeds tells whether a binding that has been used so often takes the place of
// another.
func exceeds(uses, others int) bool { return uses > 2*others+8 }

// cool halves all counts and forgets who has none left.
func (h *hot) cool() {
	h.statements.least, h.owns.least = 0, 0
	for binding, b := range h.all {
		if b.uses /= 2; b.uses == 0 && !b.hot && !b.own {
			delete(h.all, binding)
		}
	}
}

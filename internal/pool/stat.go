package pool

// Stat is what a pool is doing.
type Stat struct {
	// Size is the budget of connections.
	Size int
	// InUse are connections that work or are being made, Idle those that could.
	InUse, Idle int
	// Waiting is how many wait for a connection.
	Waiting int
	// Replaced counts the connections that were replaced because of their age or
	// the number of tenants that they had worked for.
	Replaced int64
}

// Stat tells what the pool is doing at the moment.
func (p *Pool) Stat() Stat {
	p.mu.Lock()
	defer p.mu.Unlock()
	st := Stat{Size: len(p.slots), Replaced: p.replaced.Load()}
	for _, s := range p.slots {
		switch {
		case s.busy:
			st.InUse++
		case s.session != nil:
			st.Idle++
		}
	}
	for e := p.waiting.turns.Front(); e != nil; e = e.Next() {
		st.Waiting += len(e.Value.(*line).waiters)
	}
	return st
}

package pool

// Stat is what a pool is doing.
type Stat struct {
	// Size is the budget of connections.
	Size int
	// InUse are connections that work or are being made, Idle those that could.
	InUse, Idle int
	// Waiting is how many wait for a connection, AtLimit how many of them because
	// their tenant has as many as it may.
	Waiting, AtLimit int
	// RefusedWaiting and RefusedWait count the [ErrWaiting] and [ErrWait].
	RefusedWaiting, RefusedWait int64
	// Replaced counts the connections that were replaced because of their age or
	// the number of tenants that they had worked for.
	Replaced int64
	// MostTenants is how many tenants the connection has worked for that has
	// worked for most, MeanTenants the average of the connections.
	MostTenants int
	MeanTenants float64
}

// Stat tells what the pool is doing at the moment.
func (p *Pool) Stat() Stat {
	p.mu.Lock()
	defer p.mu.Unlock()
	st := Stat{
		Size: len(p.slots), InUse: len(p.slots) - p.free, Replaced: p.replaced.Load(),
		RefusedWaiting: p.refusedWaiting, RefusedWait: p.refusedWait,
	}
	connections, tenants := 0, 0
	for _, s := range p.slots {
		if !s.busy && s.session != nil {
			st.Idle++
		}
		if known := len(s.tenants); known > 0 {
			connections++
			tenants += known
			st.MostTenants = max(st.MostTenants, known)
		}
	}
	if connections > 0 {
		st.MeanTenants = float64(tenants) / float64(connections)
	}
	for _, l := range p.waiting.lines {
		st.Waiting += len(l.waiters)
		if l.turn == nil {
			st.AtLimit += len(l.waiters)
		}
	}
	return st
}

package pool_test

import (
	"errors"
	"net"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgproto3"
)

// faults of a leaky pooler. Without one it pools transactions as it should.
type faults struct {
	// early gives a backend to the next client although its transaction is open.
	early bool
	// tells, if not 0, is the transaction status that clients are told.
	tells byte
	// ends ends transactions after each flight and does not tell.
	ends bool
	// cuts makes transactions of their own, on the next backend each, of the
	// pieces of a flight that end with messages of these kinds.
	cuts string
	// goesOn runs what comes after an error in a flight.
	goesOn bool
	// keeps leaves the transaction of a client that is gone open.
	keeps bool
	// sessions gives a backend back when its client is gone.
	sessions bool
	// lastIn gives out the backend that came back last, as PgBouncer does; else
	// they take turns.
	lastIn bool
	// spoilt is the number of a backend, from 1, on which somebody has left a
	// tenant id. 0 is none. Those with higher numbers are given out first.
	spoilt int
	// edits, if not nil, changes statements.
	edits func(sql string) string
	// mute is the number of a client's flight that it does not answer. 0 is none.
	mute int
}

// leaky is a pooler made for being wrong.
type leaky struct {
	faults
	stopped chan struct{}
	count   chan struct{} // holds one for each free backend
	mu      sync.Mutex
	free    []*pgconn.HijackedConn
}

// startLeaky starts a pooler with so many backends and returns url through it. At
// the end of the test no client may be left.
func startLeaky(t testing.TB, server string, backends int, f faults) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &leaky{faults: f, count: make(chan struct{}, backends), stopped: make(chan struct{})}
	var all []net.Conn
	for i := range backends {
		conn, err := pgconn.Connect(t.Context(), server)
		if err != nil {
			t.Fatal(err)
		}
		if i+1 == f.spoilt {
			if err := conn.Exec(t.Context(), "SET rowhouse.tenant_id = 'another'").Close(); err != nil {
				t.Fatal(err)
			}
		}
		backend, err := conn.Hijack()
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, backend.Conn)
		p.give(backend)
	}
	var serving sync.WaitGroup
	serving.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			serving.Go(func() { p.serve(conn) })
		}
	})
	t.Cleanup(func() {
		close(p.stopped)
		_ = l.Close()
		for _, conn := range all {
			_ = conn.Close()
		}
		serving.Wait() // for ever, if a client has not hung up
	})
	u, err := url.Parse(server)
	if err != nil {
		t.Fatal(err)
	}
	u.Host = l.Addr().String()
	return u.String()
}

// take waits for a backend. It returns nil when the pooler is stopped.
func (p *leaky) take() *pgconn.HijackedConn {
	select {
	case <-p.count:
	case <-p.stopped:
		return nil
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	next := 0
	if p.lastIn {
		next = len(p.free) - 1
	}
	backend := p.free[next]
	p.free = slices.Delete(p.free, next, next+1)
	return backend
}

func (p *leaky) give(backend *pgconn.HijackedConn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.free = append(p.free, backend)
	p.count <- struct{}{}
}

// message is one of a client, as it goes over the network.
type message struct {
	raw  []byte
	kind byte
	sql  string
}

// serve serves one client.
func (p *leaky) serve(conn net.Conn) {
	defer conn.Close()
	client := pgproto3.NewBackend(conn, conn)
	if err := greet(client, conn); err != nil {
		return
	}
	var held *pgconn.HijackedConn
	defer func() { p.gone(held) }()
	for flights := 1; ; flights++ {
		flight, err := p.receive(client)
		if err != nil {
			return
		}
		if flights == p.mute {
			<-p.stopped
			return
		}
		open := held != nil && !p.sessions
		if held == nil {
			if held = p.take(); held == nil {
				return
			}
		}
		var status byte
		if held, status, err = p.answer(held, open, flight, conn); err != nil {
			return
		}
		if (status == 'I' || p.early) && !p.sessions {
			p.give(held)
			held = nil
		}
	}
}

// greet lets everybody in.
func greet(client *pgproto3.Backend, conn net.Conn) error {
	for {
		msg, err := client.ReceiveStartupMessage()
		if err != nil {
			return err
		}
		switch msg.(type) {
		case *pgproto3.StartupMessage:
			client.Send(&pgproto3.AuthenticationOk{})
			client.Send(&pgproto3.ParameterStatus{Name: "standard_conforming_strings", Value: "on"})
			client.Send(&pgproto3.ParameterStatus{Name: "client_encoding", Value: "UTF8"})
			client.Send(&pgproto3.BackendKeyData{ProcessID: 1, SecretKey: []byte{0, 0, 0, 1}})
			client.Send(&pgproto3.ReadyForQuery{TxStatus: 'I'})
			return client.Flush()
		case *pgproto3.CancelRequest:
			return errors.New("not here")
		}
		if _, err := conn.Write([]byte{'N'}); err != nil { // no encryption
			return err
		}
	}
}

// receive reads what a client sends up to Sync.
func (p *leaky) receive(client *pgproto3.Backend) (flight []message, err error) {
	for {
		msg, err := client.Receive()
		if err != nil {
			return nil, err
		}
		m := message{}
		switch msg := msg.(type) {
		case *pgproto3.Terminate:
			return nil, errors.New("the client is gone")
		case *pgproto3.Parse:
			if p.edits != nil {
				msg.Query = p.edits(msg.Query)
			}
			m.sql = msg.Query
		}
		if m.raw, err = msg.Encode(nil); err != nil {
			return nil, err
		}
		m.kind = m.raw[0]
		flight = append(flight, m)
		if m.kind == 'S' || m.kind == 'Q' {
			return flight, nil
		}
	}
}

// answer passes a flight on and its answers back. open tells whether a transaction
// is. It returns the backend that it used last.
func (p *leaky) answer(backend *pgconn.HijackedConn, open bool, flight []message, client net.Conn) (*pgconn.HijackedConn, byte, error) {
	parts := [][]message{flight}
	wrapped := p.goesOn && !open && !strings.HasPrefix(flight[0].sql, "begin")
	if wrapped {
		parts = cut(flight, "E")
	} else if p.cuts != "" {
		parts = cut(flight, p.cuts)
	}
	var all answers
	if wrapped {
		all.add(backend, query("BEGIN"), nil)
	}
	var told []byte
	for i, part := range parts {
		if i > 0 && p.cuts != "" {
			p.give(backend)
			backend = p.take()
		}
		all.failed = false
		all.add(backend, part, &told)
		if wrapped && all.failed {
			all.add(backend, query("ROLLBACK"), nil)
		}
	}
	if wrapped {
		all.add(backend, query("COMMIT"), nil)
	}
	status := all.status
	if p.tells != 0 {
		status = p.tells
	}
	if p.ends && status == 'T' {
		all.add(backend, query("COMMIT"), nil)
	}
	if all.err == nil {
		told, all.err = (&pgproto3.ReadyForQuery{TxStatus: status}).Encode(told)
	}
	if all.err == nil {
		_, all.err = client.Write(told)
	}
	return backend, all.status, all.err
}

// cut cuts a flight after messages of some kinds, and ends each piece with a Sync.
func cut(flight []message, kinds string) (parts [][]message) {
	var part []message
	for i, m := range flight {
		part = append(part, m)
		if i == len(flight)-1 {
			parts = append(parts, part)
		} else if strings.IndexByte(kinds, m.kind) >= 0 {
			parts = append(parts, append(part, message{raw: []byte{'S', 0, 0, 0, 4}, kind: 'S'}))
			part = nil
		}
	}
	return parts
}

func query(sql string) []message {
	raw, _ := (&pgproto3.Query{String: sql}).Encode(nil) // fails for a gigabyte
	return []message{{raw: raw, kind: 'Q', sql: sql}}
}

// answers are those of a backend to some flights.
type answers struct {
	failed bool
	status byte
	err    error
}

// add sends a flight and adds the answers, but for ReadyForQuery, to told, which
// may be nil.
func (a *answers) add(backend *pgconn.HijackedConn, flight []message, told *[]byte) {
	for _, m := range flight {
		if a.err == nil {
			_, a.err = backend.Conn.Write(m.raw)
		}
	}
	for a.err == nil {
		var msg pgproto3.BackendMessage
		if msg, a.err = backend.Frontend.Receive(); a.err != nil {
			return
		}
		switch msg := msg.(type) {
		case *pgproto3.ReadyForQuery:
			a.status = msg.TxStatus
			return
		case *pgproto3.ErrorResponse:
			a.failed = true
		}
		if told != nil {
			*told, a.err = msg.Encode(*told)
		}
	}
}

// gone gives back the backend of a client that hung up.
func (p *leaky) gone(held *pgconn.HijackedConn) {
	if held == nil {
		return
	}
	if !p.keeps {
		var a answers
		a.add(held, query("ROLLBACK"), nil)
		a.add(held, query("DISCARD ALL"), nil)
		if a.err != nil {
			return
		}
	}
	p.give(held)
}

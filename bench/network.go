package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/url"
	"sync"
	"sync/atomic"
	"time"
)

// proxy passes bytes on, later: what arrives is kept for oneWay and then written.
// It counts how often the client speaks after the server has.
type proxy struct {
	listener net.Listener
	target   string
	oneWay   time.Duration
	turns    atomic.Int64
	wg       sync.WaitGroup
}

func newProxy(target string, oneWay time.Duration) (*proxy, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	p := &proxy{listener: listener, target: target, oneWay: oneWay}
	p.wg.Go(p.accept)
	return p, nil
}

func (p *proxy) close() { _ = p.listener.Close() }

func (p *proxy) accept() {
	for {
		client, err := p.listener.Accept()
		if err != nil {
			return
		}
		server, err := net.Dial("tcp", p.target)
		if err != nil {
			_ = client.Close()
			continue
		}
		var serverSpoke atomic.Bool
		serverSpoke.Store(true)
		go p.pass(client, server, func() {
			if serverSpoke.Swap(false) {
				p.turns.Add(1)
			}
		})
		go p.pass(server, client, func() { serverSpoke.Store(true) })
	}
}

// pass copies from one side to the other. Chunks are delayed side by side, as on a
// wire, and not one after the other.
func (p *proxy) pass(from, to net.Conn, spoke func()) {
	type chunk struct {
		data []byte
		at   time.Time
	}
	chunks := make(chan chunk, 1024)
	go func() {
		defer to.Close()
		for c := range chunks {
			time.Sleep(time.Until(c.at))
			if _, err := to.Write(c.data); err != nil {
				break
			}
		}
		for range chunks { // let the reader finish
		}
	}()
	defer close(chunks)
	for {
		buf := make([]byte, 32<<10)
		n, err := from.Read(buf)
		if n > 0 {
			spoke()
			chunks <- chunk{buf[:n], time.Now().Add(p.oneWay)}
		}
		if err != nil {
			if err != io.EOF {
				_ = from.Close()
			}
			return
		}
	}
}

// through is url by way of the proxy.
func (p *proxy) through(raw string) (string, error) {
	u, err := url.Parse(raw)
	if err != nil {
		return "", err
	}
	u.Host = p.listener.Addr().String()
	return u.String(), nil
}

// delay puts a network between: oneWay there and oneWay back.
func delay(operator, app string, oneWay time.Duration) (string, string, func(), error) {
	u, err := url.Parse(operator)
	if err != nil {
		return "", "", nil, err
	}
	p, err := newProxy(u.Host, oneWay)
	if err != nil {
		return "", "", nil, err
	}
	if operator, err = p.through(operator); err != nil {
		return "", "", nil, err
	}
	if app, err = p.through(app); err != nil {
		return "", "", nil, err
	}
	return operator, app, p.close, nil
}

// flights counts the round trips of a warm single-statement unit of work.
func flights(ctx context.Context, b *bench) (float64, error) {
	u, err := url.Parse(b.app)
	if err != nil {
		return 0, err
	}
	p, err := newProxy(u.Host, 0)
	if err != nil {
		return 0, err
	}
	defer p.close()
	app, err := p.through(b.app)
	if err != nil {
		return 0, err
	}
	db, err := b.db(ctx, app)
	if err != nil {
		return 0, err
	}
	defer db.Close()
	read := func(i int) error {
		id := 1 + i%100
		return check(b.schemas[i%b.tenants], id, db.QueryRow(b.contexts[i%b.tenants], fmt.Sprintf(byID, ""), id))
	}
	for i := range 10 * connections { // warm
		if err := read(i); err != nil {
			return 0, err
		}
	}
	const n = 1000
	before := p.turns.Load()
	for i := range n {
		if err := read(i); err != nil {
			return 0, err
		}
	}
	return float64(p.turns.Load()-before) / n, nil
}

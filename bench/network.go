package main

import (
	"bytes"
	"context"
	"io"
	"net"
	"net/url"
	"sync"
	"sync/atomic"
	"time"
)

// proxy passes bytes on, later. It keeps for rtt what the client sends, and does
// not keep the answers: two sleeps of half the time would make a longer trip, since
// an idle Go program does not wake up sooner than after a millisecond. It counts
// how often the client speaks after the server has.
type proxy struct {
	listener net.Listener
	target   string
	rtt      time.Duration
	turns    atomic.Int64
	wg       sync.WaitGroup
}

func newProxy(target string, rtt time.Duration) (*proxy, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	p := &proxy{listener: listener, target: target, rtt: rtt}
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
		go pass(client, server, p.rtt, func() {
			if serverSpoke.Swap(false) {
				p.turns.Add(1)
			}
		})
		go answer(server, client, func() { serverSpoke.Store(true) })
	}
}

// pass copies from one side to the other. Chunks are delayed side by side, as on a
// wire, and not one after the other.
func pass(from, to net.Conn, delay time.Duration, spoke func()) {
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
	buf := make([]byte, 32<<10)
	for {
		n, err := from.Read(buf)
		if n > 0 {
			spoke()
			chunks <- chunk{bytes.Clone(buf[:n]), time.Now().Add(delay)}
		}
		if err != nil {
			if err != io.EOF {
				_ = from.Close()
			}
			return
		}
	}
}

// answer copies what comes back, at once.
func answer(from, to net.Conn, spoke func()) {
	defer to.Close()
	buf := make([]byte, 32<<10)
	for {
		n, err := from.Read(buf)
		if n > 0 {
			spoke()
			if _, err := to.Write(buf[:n]); err != nil {
				_ = from.Close()
				return
			}
		}
		if err != nil {
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

// delay puts a network between.
func (s *stage) delay(rtt time.Duration) (stop func(), err error) {
	u, err := url.Parse(s.reader)
	if err != nil {
		return nil, err
	}
	p, err := newProxy(u.Host, rtt)
	if err != nil {
		return nil, err
	}
	if s.reader, err = p.through(s.reader); err != nil {
		return nil, err
	}
	s.app, err = p.through(s.app)
	return p.close, err
}

// flights counts the round trips of a warm single-statement unit of work.
func flights(ctx context.Context, b *bench) (float64, error) {
	s := stage{schemas: b.schemas, reader: b.reader, app: b.app}
	u, err := url.Parse(s.app)
	if err != nil {
		return 0, err
	}
	p, err := newProxy(u.Host, 0)
	if err != nil {
		return 0, err
	}
	defer p.close()
	if s.app, err = p.through(s.app); err != nil {
		return 0, err
	}
	c, err := rowhouseDB(ctx, s)
	if err != nil {
		return 0, err
	}
	defer c.close()
	read := func(i int) error { return c.read(ctx, i%b.tenants, 1+i%rowsPerTenant) }
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

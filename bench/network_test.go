package main

import (
	"bufio"
	"context"
	"net"
	"testing"
	"time"
)

// echo answers each line with the same line.
func echo(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				for lines := bufio.NewScanner(conn); lines.Scan(); {
					if _, err := conn.Write(append(lines.Bytes(), '\n')); err != nil {
						return
					}
				}
			}()
		}
	}()
	return l.Addr().String()
}

func TestProxyDelaysAndCounts(t *testing.T) {
	t.Parallel()
	const rtt, trips = 20 * time.Millisecond, 5
	p, err := newProxy(echo(t), rtt)
	if err != nil {
		t.Fatal(err)
	}
	defer p.close()
	url, err := p.through("postgres://user@example.com:5432/db")
	if want := "postgres://user@" + p.listener.Addr().String() + "/db"; err != nil || url != want {
		t.Fatalf("through the proxy: %q, %v", url, err)
	}
	conn, err := new(net.Dialer).DialContext(context.Background(), "tcp", p.listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	answers := bufio.NewReader(conn)
	start := time.Now()
	for range trips {
		if _, err := conn.Write([]byte("hello\n")); err != nil {
			t.Fatal(err)
		}
		if line, err := answers.ReadString('\n'); err != nil || line != "hello\n" {
			t.Fatalf("answered %q, %v", line, err)
		}
	}
	if took, least := time.Since(start), trips*rtt; took < least {
		t.Errorf("%d round trips took %v, at least %v were wanted", trips, took, least)
	}
	if n := p.turns.Load(); n != trips {
		t.Errorf("counted %d round trips, want %d", n, trips)
	}
}

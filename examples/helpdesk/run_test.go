package helpdesk

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"

	"github.com/rowhouse/rowhouse/internal/pgtest"
)

// running is a help desk that Run serves.
type running struct {
	url    string
	out    string
	stop   context.CancelFunc
	ended  chan error
	stderr *bytes.Buffer
}

// run starts a help desk and waits until it is ready.
func run(t *testing.T, cfg Config) running {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	t.Cleanup(cancel)
	var stdout bytes.Buffer
	ready := make(chan string, 1)
	r := running{stop: cancel, ended: make(chan error, 1), stderr: &bytes.Buffer{}}
	cfg.Addr, cfg.Stdout, cfg.Stderr = "127.0.0.1:0", &stdout, r.stderr
	cfg.Ready = func(url string) { ready <- url }
	go func() { r.ended <- Run(ctx, cfg) }()
	select {
	case r.url = <-ready:
		r.out = stdout.String()
	case err := <-r.ended:
		t.Fatalf("the help desk does not start: %v", err)
	}
	return r
}

// fetch gets a page of a desk over the network.
func (r running) fetch(t *testing.T, host string) (int, string) {
	t.Helper()
	_, port, _ := net.SplitHostPort(strings.TrimPrefix(r.url, "http://"))
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://127.0.0.1:"+port+"/", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Host = host
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res.StatusCode, string(body)
}

// TestRunEmbedded starts a PostgreSQL of its own, twice.
func TestRunEmbedded(t *testing.T) {
	t.Parallel()
	dir, err := os.MkdirTemp("", "rowhouse-helpdesk-*")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(dir, 0o755); err != nil { // the server may run as another user
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	for range 2 {
		r := run(t, Config{DataDir: dir + "/data"})
		if !strings.Contains(r.out, r.url) || !strings.Contains(r.out, "http://acme.localhost:") || !strings.Contains(r.out, "http://globex.localhost:") {
			t.Errorf("the addresses are not in %q", r.out)
		}
		if status, page := r.fetch(t, "acme.localhost"); status != 200 || !strings.Contains(page, "Printer") || strings.Contains(page, "/tickets/7") {
			t.Errorf("Acme's desk answers %d %s", status, page)
		}
		r.stop()
		if err := <-r.ended; err != nil {
			t.Fatalf("the help desk ended with %v: %s", err, r.stderr)
		}
		if log := r.stderr.String(); !strings.Contains(log, "stopping PostgreSQL") || strings.Contains(log, "WARN") {
			t.Errorf("the log is %s", log)
		}
	}
}

func TestRunWithDatabaseURL(t *testing.T) {
	t.Parallel()
	r := run(t, Config{DatabaseURL: pgtest.Database(t)})
	if status, _ := r.fetch(t, "globex.localhost"); status != 200 {
		t.Errorf("Globex's desk answers %d", status)
	}
	r.stop()
	if err := <-r.ended; err != nil {
		t.Errorf("the help desk ended with %v", err)
	}
}

func TestRunRefusals(t *testing.T) {
	t.Parallel()
	busy, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { busy.Close() })
	for name, test := range map[string]struct {
		cfg  Config
		text string
	}{
		"busy port":    {Config{Addr: busy.Addr().String(), DatabaseURL: "unused"}, "choose another port with -port or PORT"},
		"bad URL":      {Config{Addr: "127.0.0.1:0", DatabaseURL: "postgres://[::1"}, "invalid database URL"},
		"nobody there": {Config{Addr: "127.0.0.1:0", DatabaseURL: "postgres://a:secret@127.0.0.1:1/b"}, "refused"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			err := Run(t.Context(), test.cfg)
			if err == nil || !strings.Contains(err.Error(), test.text) || strings.Contains(err.Error(), "secret") {
				t.Errorf("error is %v, want one about %q", err, test.text)
			}
		})
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := Run(ctx, Config{Addr: "127.0.0.1:0", DatabaseURL: pgtest.Server(t)}); !errors.Is(err, context.Canceled) {
		t.Errorf("error of a start that was cancelled is %v", err)
	}
}

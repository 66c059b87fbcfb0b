package main

import (
	"bufio"
	"bytes"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"testing"

	"github.com/rowhouse/rowhouse/internal/pgtest"
)

// TestDemo starts the demo as a process, reads a page and ends it with Ctrl-C.
func TestDemo(t *testing.T) {
	t.Parallel()
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	link := filepath.Join(t.TempDir(), "rowhouse")
	if err := os.Symlink(program, link); err != nil {
		t.Fatal(err)
	}
	var stderr bytes.Buffer
	cmd := exec.CommandContext(t.Context(), link, "demo", "--port", "0", "--database-url", pgtest.Database(t))
	cmd.Stderr = &stderr
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	readPage(t, address(t, stdout, &stderr))
	if err := cmd.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(io.Discard, stdout); err != nil {
		t.Error(err)
	}
	if err := cmd.Wait(); err != nil {
		t.Errorf("the demo ended with %v\n%s", err, &stderr)
	}
}

// address reads the demo's output up to its first address.
func address(t *testing.T, stdout io.Reader, stderr *bytes.Buffer) string {
	t.Helper()
	port := regexp.MustCompile(`http://localhost:(\d+)`)
	for lines := bufio.NewScanner(stdout); lines.Scan(); {
		if found := port.FindStringSubmatch(lines.Text()); found != nil {
			return "http://127.0.0.1:" + found[1]
		}
	}
	t.Fatalf("the demo printed no address\n%s", stderr)
	return ""
}

func readPage(t *testing.T, url string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Host = "localhost"
	answer, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = answer.Body.Close() }()
	if answer.StatusCode != http.StatusOK {
		t.Errorf("the public site answers %s", answer.Status)
	}
}

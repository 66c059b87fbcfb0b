//go:build linux || darwin

package fetchpg_test

import (
	"archive/zip"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/rowhouse/rowhouse/embedded"
	"github.com/rowhouse/rowhouse/embedded/fetchpg"
)

var _ = embedded.Config{Fetch: fetchpg.Fetch} // it has to fit

func TestFetchedServerRuns(t *testing.T) {
	t.Parallel()
	repo := newRepository(t, installedArchive(t))
	dir := openDir(t)
	bin, err := fetchpg.Source{Repository: repo.URL + "/"}.Fetch(t.Context(), filepath.Join(dir, "new"))
	if err != nil {
		t.Fatal(err)
	}
	srv, err := embedded.Start(t.Context(), embedded.Config{BinDir: bin})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := srv.Stop(t.Context()); err != nil {
			t.Error(err)
		}
	}()
	conn, err := pgx.Connect(t.Context(), srv.URL("postgres"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(t.Context())
	var answer int
	if err := conn.QueryRow(t.Context(), "SELECT 6 * 7").Scan(&answer); err != nil || answer != 42 {
		t.Errorf("the answer is %d (%v), want 42", answer, err)
	}
	assertClean(t, filepath.Join(dir, "new"))
}

func TestFetchDownloadsOnce(t *testing.T) {
	t.Parallel()
	repo := newRepository(t, fakeArchive(t, "exit 0"))
	dir := openDir(t)
	var group sync.WaitGroup
	for range 5 {
		group.Go(func() {
			if _, err := (fetchpg.Source{Repository: repo.URL}).Fetch(t.Context(), dir); err != nil {
				t.Error(err)
			}
		})
	}
	group.Wait()
	if got := repo.downloads.Load(); got != 1 {
		t.Errorf("downloaded %d times, want once", got)
	}
	repo.Close() // it needs no network any more
	if _, err := (fetchpg.Source{Repository: repo.URL}).Fetch(t.Context(), dir); err != nil {
		t.Error(err)
	}
	assertClean(t, dir)
}

func TestFetchReadsTheVariable(t *testing.T) {
	repo := newRepository(t, fakeArchive(t, "exit 0"))
	t.Setenv(fetchpg.RepositoryVariable, repo.URL)
	t.Setenv("TMPDIR", t.TempDir())
	bin, err := fetchpg.Fetch(t.Context(), openDir(t))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(bin, "postgres")); err != nil {
		t.Error(err)
	}
	left, err := os.ReadDir(os.TempDir())
	if err != nil || len(left) > 0 {
		t.Errorf("left among the temporary files: %v (%v)", left, err)
	}
}

func TestFetchVersions(t *testing.T) {
	t.Parallel()
	repo := newRepository(t, fakeArchive(t, "exit 0"))
	dir := openDir(t)
	for _, version := range []int{15, 16, 17, 18} {
		if _, err := (fetchpg.Source{Repository: repo.URL, Version: version}).Fetch(t.Context(), dir); err != nil {
			t.Errorf("version %d: %v", version, err)
		}
	}
	if got := repo.downloads.Load(); got != 4 {
		t.Errorf("downloaded %d times for 4 versions", got)
	}
	_, err := fetchpg.Source{Repository: repo.URL, Version: 9}.Fetch(t.Context(), dir)
	if !errors.Is(err, fetchpg.ErrUnsupported) {
		t.Errorf("version 9 gives %v, want ErrUnsupported", err)
	}
}

func TestFetchAfterOneThatWasKilled(t *testing.T) {
	t.Parallel()
	repo := newRepository(t, fakeArchive(t, "exit 0"))
	dir := openDir(t)
	half := filepath.Join(dir, ".fetch-123", "postgresql", "bin")
	if err := os.MkdirAll(half, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(half, "postgres"), nil, 0o755); err != nil {
		t.Fatal(err)
	}
	if _, err := (fetchpg.Source{Repository: repo.URL}).Fetch(t.Context(), dir); err != nil {
		t.Fatal(err)
	}
	assertClean(t, dir)
}

// TestFailures fails in each way, tries again with a good repository, and succeeds.
func TestFailures(t *testing.T) {
	t.Parallel()
	good := fakeArchive(t, "exit 0")
	for name, tc := range map[string]struct {
		archive []byte
		says    string
	}{
		"nothing there":     {nil, "no version found"},
		"not an archive":    {[]byte("<html>log in</html>"), "error fetching postgres"},
		"cut off":           {jar(t, unjar(t, good)[:200]), "unable to extract"},
		"other machine":     {fakeArchive(t, "echo wrong architecture; exit 126"), "wrong architecture"},
		"without a program": {archiveOf(t, map[string]string{"bin/pg_ctl": "exit 1"}), "initdb"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := openDir(t)
			_, err := fetchpg.Source{Repository: newRepository(t, tc.archive).URL}.Fetch(t.Context(), dir)
			if err == nil || !strings.Contains(err.Error(), tc.says) {
				t.Errorf("error is %v, want one that says %q", err, tc.says)
			}
			assertClean(t, dir)
			if _, err := (fetchpg.Source{Repository: newRepository(t, good).URL}).Fetch(t.Context(), dir); err != nil {
				t.Errorf("the second try: %v", err)
			}
		})
	}
}

func TestNoNetwork(t *testing.T) {
	t.Parallel()
	gone := newRepository(t, nil)
	gone.Close()
	_, err := fetchpg.Source{Repository: gone.URL}.Fetch(t.Context(), openDir(t))
	if err == nil {
		t.Fatal("fetched from a server that is gone")
	}
	for _, part := range []string{gone.URL, fetchpg.RepositoryVariable, "is the network there", "install PostgreSQL"} {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("message %q does not tell %q", err, part)
		}
	}
}

func TestFetchWithEndedContext(t *testing.T) {
	t.Parallel()
	repo := newRepository(t, fakeArchive(t, "exit 0"))
	repo.hold = make(chan struct{})
	dir := openDir(t)
	ctx, cancel := context.WithCancel(t.Context())
	failed := make(chan error, 1)
	go func() {
		_, err := fetchpg.Source{Repository: repo.URL}.Fetch(ctx, dir)
		failed <- err
	}()
	<-repo.asked
	cancel()
	if err := <-failed; !errors.Is(err, context.Canceled) {
		t.Errorf("error is %v, want context.Canceled", err)
	}
	close(repo.hold) // the download that was left goes on
	if _, err := (fetchpg.Source{Repository: repo.URL}).Fetch(t.Context(), dir); err != nil {
		t.Error(err)
	}
	if got := repo.downloads.Load(); got != 1 {
		t.Errorf("downloaded %d times, want once", got)
	}
}

// repository serves one archive under every name.
type repository struct {
	*httptest.Server
	downloads atomic.Int32
	asked     chan struct{} // gets a value for each download, while there is room
	hold      chan struct{} // if not nil downloads wait until it is closed
}

func newRepository(t *testing.T, archive []byte) *repository {
	t.Helper()
	repo := &repository{asked: make(chan struct{}, 1)}
	repo.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if archive == nil || !strings.HasPrefix(r.URL.Path, "/io/zonky/test/postgres/embedded-postgres-binaries-") {
			http.NotFound(w, r)
			return
		}
		if strings.HasSuffix(r.URL.Path, ".sha256") {
			sum := sha256.Sum256(archive)
			_, _ = w.Write([]byte(hex.EncodeToString(sum[:])))
			return
		}
		repo.downloads.Add(1)
		select {
		case repo.asked <- struct{}{}:
		default:
		}
		if repo.hold != nil {
			<-repo.hold
		}
		_, _ = w.Write(archive)
	}))
	t.Cleanup(repo.Close)
	return repo
}

// installedArchive packs the PostgreSQL that is installed here.
func installedArchive(t *testing.T) []byte {
	t.Helper()
	found, err := embedded.Find(t.Context())
	if err != nil {
		t.Fatalf("this test needs PostgreSQL: %v", err)
	}
	program, err := filepath.EvalSymlinks(filepath.Join(found[0].BinDir, "postgres"))
	if err != nil {
		t.Fatal(err)
	}
	root := filepath.Dir(filepath.Dir(program))
	parts := []string{"bin/initdb", "bin/pg_ctl", "bin/postgres"}
	for _, part := range []string{"lib", "share"} { // where it has a directory of its own
		if _, err := os.Stat(filepath.Join(root, part)); err == nil && root != "/usr" && root != "/usr/local" {
			parts = append(parts, part)
		}
	}
	return jar(t, tarXz(t, root, parts...))
}

// fakeArchive has programs that are shell scripts. pg_ctl fails for all but
// its version, as the real one would.
func fakeArchive(t *testing.T, script string) []byte {
	t.Helper()
	return archiveOf(t, map[string]string{
		"bin/initdb":   script,
		"bin/pg_ctl":   `[ "$1" = --version ]`,
		"bin/postgres": script,
	})
}

func archiveOf(t *testing.T, programs map[string]string) []byte {
	t.Helper()
	root := t.TempDir()
	for name, script := range programs {
		path := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte("#!/bin/sh\n"+script+"\n"), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	return jar(t, tarXz(t, root, "bin"))
}

// tarXz packs parts of a directory, without the bytecode that nobody needs.
func tarXz(t *testing.T, root string, parts ...string) []byte {
	t.Helper()
	cmd := exec.Command("tar", append([]string{"-C", root, "--exclude=bitcode", "-cJf", "-"}, parts...)...)
	cmd.Env = append(os.Environ(), "XZ_OPT=-0")
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("tar: %v", err)
	}
	return out
}

// jar wraps a packed directory as the repository does.
func jar(t *testing.T, txz []byte) []byte {
	t.Helper()
	var buf bytes.Buffer
	archive := zip.NewWriter(&buf)
	w, err := archive.Create("postgres-linux-x86_64.txz")
	if err == nil {
		_, err = w.Write(txz)
	}
	if err := errors.Join(err, archive.Close()); err != nil {
		t.Fatal(err)
	}
	return buf.Bytes()
}

func unjar(t *testing.T, archive []byte) []byte {
	t.Helper()
	r, err := zip.NewReader(bytes.NewReader(archive), int64(len(archive)))
	if err != nil {
		t.Fatal(err)
	}
	f, err := r.File[0].Open()
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var buf bytes.Buffer
	if _, err := buf.ReadFrom(f); err != nil {
		t.Fatal(err)
	}
	return buf.Bytes()
}

// assertClean checks that dir has nothing but binaries and the lock.
func assertClean(t *testing.T, dir string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if name := e.Name(); name != "fetch.lock" && !strings.HasPrefix(name, "postgresql-") {
			t.Errorf("left in %s: %s", dir, name)
		}
	}
}

// openDir returns a temporary directory that the server's user can pass.
func openDir(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	for _, d := range []string{dir, filepath.Dir(dir)} {
		if err := os.Chmod(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

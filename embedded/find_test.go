//go:build linux || darwin

package embedded

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// fakeBinaries makes a directory with programs of which postgres tells version.
func fakeBinaries(t *testing.T, version string, programs ...string) string {
	t.Helper()
	dir := t.TempDir()
	if programs == nil {
		programs = []string{"initdb", "pg_ctl", "postgres"}
	}
	for _, name := range programs {
		script := "#!/bin/sh\necho 'postgres (PostgreSQL) " + version + "'\n"
		if err := os.WriteFile(filepath.Join(dir, name), []byte(script), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func TestFindSortsByVersion(t *testing.T) {
	t.Parallel()
	beta, old, ten, nine := fakeBinaries(t, "19beta1"), fakeBinaries(t, "14.2"),
		fakeBinaries(t, "15.10 (Debian 15.10-0+deb12u1)"), fakeBinaries(t, "15.9")
	noInitdb := fakeBinaries(t, "18.0", "postgres", "pg_ctl")
	again := t.TempDir()
	if err := os.Symlink(filepath.Join(ten, "postgres"), filepath.Join(again, "postgres")); err != nil {
		t.Fatal(err)
	}
	found, err := findIn(t.Context(), []string{"/nowhere", nine, noInitdb, old, ten, again, beta})
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, inst := range found {
		got = append(got, inst.BinDir+" "+inst.Version)
	}
	want := []string{beta + " 19beta1", ten + " 15.10", nine + " 15.9"}
	if !slices.Equal(got, want) {
		t.Errorf("found\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

func TestFindNothing(t *testing.T) {
	t.Parallel()
	_, err := findIn(t.Context(), []string{"/nowhere/at/all", t.TempDir()})
	if !errors.Is(err, ErrNotFound) {
		t.Fatalf("error is %v, want ErrNotFound", err)
	}
	for _, part := range []string{"/nowhere/at/all", "apt-get install postgresql", "dnf install", "brew install", BinVariable} {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("message %q does not tell %q", err, part)
		}
	}
}

func TestFindOnlyOld(t *testing.T) {
	t.Parallel()
	_, err := findIn(t.Context(), []string{fakeBinaries(t, "9.6.24")})
	if !errors.Is(err, ErrTooOld) || !strings.Contains(err.Error(), "9.6.24") {
		t.Errorf("error is %v, want ErrTooOld with the version", err)
	}
}

func TestFindObeysVariable(t *testing.T) {
	one, two := fakeBinaries(t, "98.1"), fakeBinaries(t, "99.1")
	t.Setenv(BinVariable, one+string(os.PathListSeparator)+two)
	found, err := Find(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if len(found) < 2 || found[0].BinDir != two || found[1].BinDir != one {
		t.Errorf("found %v, want %s and %s first", found, two, one)
	}
}

func TestParseVersion(t *testing.T) {
	t.Parallel()
	for _, line := range []string{"", "postgres", "PostgreSQL 15", "postgres (PostgreSQL) devel"} {
		if got, err := parseVersion(line); err == nil {
			t.Errorf("line %q has version %+v, want an error", line, got)
		}
	}
}

func TestConfiguredBinaries(t *testing.T) {
	t.Parallel()
	old, none := fakeBinaries(t, "14.1"), t.TempDir()
	if _, err := binaries(t.Context(), Config{BinDir: old}, 0); !errors.Is(err, ErrTooOld) {
		t.Errorf("with an old BinDir the error is %v, want ErrTooOld", err)
	}
	if _, err := binaries(t.Context(), Config{BinDir: none}, 0); !errors.Is(err, ErrNotFound) || !strings.Contains(err.Error(), none) {
		t.Errorf("with an empty BinDir the error is %v, want ErrNotFound with its name", err)
	}
	if _, err := binaries(t.Context(), Config{BinDir: fakeBinaries(t, "16.1"), Version: 17}, 0); !errors.Is(err, ErrNotFound) {
		t.Errorf("with a BinDir of another version the error is %v, want ErrNotFound", err)
	}
	var mismatch *VersionError
	_, err := binaries(t.Context(), Config{BinDir: fakeBinaries(t, "16.1"), DataDir: "/data"}, 15)
	if !errors.As(err, &mismatch) || *mismatch != (VersionError{DataDir: "/data", DataMajor: 15, BinaryMajor: 16}) {
		t.Errorf("with data of version 15 and binaries of 16 the error is %v", err)
	}
}

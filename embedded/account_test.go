//go:build linux || darwin

package embedded

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestReachNamesTheBlockingDirectory(t *testing.T) {
	t.Parallel()
	top := t.TempDir()
	closed := filepath.Join(top, "closed")
	inner := filepath.Join(closed, "inner")
	if err := os.MkdirAll(inner, 0o755); err != nil {
		t.Fatal(err)
	}
	stranger := &account{name: "stranger", uid: 4242, gid: 4242}
	openParents(t, top)
	if err := stranger.reach(inner); err != nil {
		t.Errorf("an open directory cannot be reached: %v", err)
	}
	if err := os.Chmod(closed, 0o700); err != nil {
		t.Fatal(err)
	}
	err := stranger.reach(inner)
	if !errors.Is(err, ErrUnreachable) {
		t.Fatalf("error is %v, want ErrUnreachable", err)
	}
	for _, part := range []string{"may not enter " + closed + " ", "stranger", "0700", "chmod o+x " + closed} {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("message %q does not tell %q", err, part)
		}
	}
}

func TestMayEnterLooksAtTheRightBits(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	info, err := os.Stat(dir)
	if err != nil {
		t.Fatal(err)
	}
	uid, gid, ok := owner(info)
	if !ok {
		t.Fatal("a directory has no owner")
	}
	accounts := map[string]*account{
		"owner":    {uid: uid},
		"group":    {uid: uid + 1, gid: gid},
		"groups":   {uid: uid + 1, gid: gid + 1, groups: []uint32{gid}},
		"stranger": {uid: uid + 1, gid: gid + 1},
	}
	for _, tc := range []struct {
		mode  os.FileMode
		enter string
	}{{0o700, "owner"}, {0o010, "group groups"}, {0o001, "stranger"}, {0o711, "owner group groups stranger"}} {
		if err := os.Chmod(dir, tc.mode); err != nil {
			t.Fatal(err)
		}
		info, err := os.Stat(dir)
		if err != nil {
			t.Fatal(err)
		}
		for name, a := range accounts {
			want := strings.Contains(" "+tc.enter+" ", " "+name+" ")
			if got := a.mayEnter(info); got != want {
				t.Errorf("mode %04o: %s may enter: %t, want %t", tc.mode, name, got, want)
			}
		}
	}
	if err := os.Chmod(dir, 0o700); err != nil {
		t.Fatal(err)
	}
}

// openParents makes the test's own temporary directories passable.
func openParents(t *testing.T, dir string) {
	t.Helper()
	for _, d := range []string{dir, filepath.Dir(dir)} {
		if err := os.Chmod(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
}

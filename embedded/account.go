package embedded

import (
	"errors"
	"fmt"
	"os"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
)

// account is the unprivileged user that runs initdb and postgres for a process
// of root. It is nil for everybody else, who run them as themselves.
type account struct {
	name     string
	uid, gid uint32
	groups   []uint32
}

// serverAccount returns the account that the server has to run as.
func serverAccount() (*account, error) {
	if os.Geteuid() != 0 {
		return nil, nil
	}
	for _, name := range []string{"postgres", "nobody"} {
		u, err := user.Lookup(name)
		var unknown user.UnknownUserError
		if errors.As(err, &unknown) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("look up user %s: %w", name, err)
		}
		return newAccount(u)
	}
	return nil, errors.New("PostgreSQL does not run as root, and there is neither a user postgres nor nobody " +
		"to run it as: create one, or run this program as another user")
}

func newAccount(u *user.User) (*account, error) {
	ids, err := u.GroupIds()
	if err != nil {
		return nil, fmt.Errorf("look up groups of user %s: %w", u.Username, err)
	}
	numbers := make([]uint32, 0, len(ids)+2)
	for _, id := range append([]string{u.Uid, u.Gid}, ids...) {
		n, err := strconv.ParseUint(id, 10, 32)
		if err != nil {
			return nil, fmt.Errorf("user %s has the odd id %q: %w", u.Username, id, err)
		}
		numbers = append(numbers, uint32(n))
	}
	return &account{name: u.Username, uid: numbers[0], gid: numbers[1], groups: numbers[2:]}, nil
}

// give makes the account the owner of path.
func (a *account) give(path string) error {
	if a == nil {
		return nil
	}
	if err := os.Lchown(path, int(a.uid), int(a.gid)); err != nil {
		return fmt.Errorf("give %s to user %s: %w", path, a.name, err)
	}
	return nil
}

// reach returns ErrUnreachable, naming the directory, if the account cannot
// enter dir or one of its parents. It looks at the permission bits.
func (a *account) reach(dir string) error {
	if a == nil {
		return nil
	}
	resolved, err := filepath.EvalSymlinks(dir)
	if err != nil {
		return fmt.Errorf("resolve %s: %w", dir, err)
	}
	for _, d := range ancestors(resolved) {
		info, err := os.Stat(d)
		if err != nil {
			return fmt.Errorf("look at %s: %w", d, err)
		}
		if !a.mayEnter(info) {
			return fmt.Errorf("%w: user %s, which runs the server because PostgreSQL does not run as root, "+
				"may not enter %s (mode %04o) on the way to %s: choose a directory elsewhere, such as below /var/lib, "+
				"or allow it with chmod o+x %s",
				ErrUnreachable, a.name, d, info.Mode().Perm(), dir, d)
		}
	}
	return nil
}

// reachFile is reach for the directory that the file really is in.
func (a *account) reachFile(path string) error {
	if a == nil {
		return nil
	}
	resolved, err := filepath.EvalSymlinks(path)
	if err != nil {
		return fmt.Errorf("resolve %s: %w", path, err)
	}
	return a.reach(filepath.Dir(resolved))
}

// ancestors returns dir and its parents, outermost first.
func ancestors(dir string) []string {
	dirs := []string{dir}
	for parent := filepath.Dir(dir); parent != dir; parent = filepath.Dir(dir) {
		dirs = append(dirs, parent)
		dir = parent
	}
	slices.Reverse(dirs)
	return dirs
}

func (a *account) mayEnter(info os.FileInfo) bool {
	uid, gid, ok := owner(info)
	if !ok {
		return true
	}
	execute := os.FileMode(0o001)
	switch {
	case uid == a.uid:
		execute = 0o100
	case gid == a.gid || slices.Contains(a.groups, gid):
		execute = 0o010
	}
	return info.Mode().Perm()&execute != 0
}

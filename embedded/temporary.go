package embedded

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
)

// makeTemporary makes a data directory among the temporary files. It gets the name
// that sweep looks for only when it is locked.
func makeTemporary(ctx context.Context, acct *account) (string, *fileLock, error) {
	nascent, err := os.MkdirTemp("", nascentName)
	if err != nil {
		return "", nil, fmt.Errorf("make a temporary data directory: %w", err)
	}
	nascent, err = filepath.EvalSymlinks(nascent)
	if err != nil {
		return "", nil, fmt.Errorf("resolve the temporary data directory: %w", err)
	}
	if err := open(nascent, acct); err != nil {
		return "", nil, err
	}
	gate, err := acquire(ctx, filepath.Join(nascent, gateName))
	if err != nil {
		return "", nil, err
	}
	prefix, suffix := strings.TrimSuffix(nascentName, "*"), strings.TrimSuffix(temporaryName, "*")
	dir := filepath.Join(filepath.Dir(nascent), suffix+strings.TrimPrefix(filepath.Base(nascent), prefix))
	if err := os.Rename(nascent, dir); err != nil {
		return "", nil, fmt.Errorf("name the temporary data directory: %w", err)
	}
	return dir, gate, nil
}

// sweep stops and removes the temporary servers of this user whose processes
// are gone. What it cannot remove it leaves to the next.
func sweep(ctx context.Context, log *slog.Logger) {
	dirs, err := filepath.Glob(filepath.Join(os.TempDir(), temporaryName))
	if err != nil {
		return
	}
	for _, dir := range dirs {
		info, err := os.Lstat(dir)
		if err != nil || !info.IsDir() {
			continue
		}
		if uid, _, ok := owner(info); !ok || int(uid) != os.Geteuid() {
			continue
		}
		if _, err := os.Lstat(filepath.Join(dir, gateName)); err != nil {
			continue // not made by this package
		}
		if err := removeForgotten(ctx, dir, log); err != nil {
			log.Warn("cannot remove a forgotten temporary PostgreSQL", "dir", dir, "error", err)
		}
	}
}

// removeForgotten removes a temporary data directory if nobody uses it.
func removeForgotten(ctx context.Context, dir string, log *slog.Logger) error {
	dir, err := filepath.EvalSymlinks(dir)
	if err != nil {
		return fmt.Errorf("resolve %s: %w", dir, err)
	}
	gate, held, err := attempt(filepath.Join(dir, gateName))
	if err != nil || !held {
		return err
	}
	c := &cluster{dir: dir, temporary: true, log: log, gate: gate}
	defer func() {
		if err := c.gate.release(); err != nil {
			log.Warn("cannot release lock", "error", err)
		}
	}()
	if err := c.enter(); err != nil {
		return err
	}
	last, err := c.leave()
	if err != nil || !last {
		return err
	}
	if err := c.halt(ctx, nil); err != nil {
		return err
	}
	log.Info("removing a forgotten temporary PostgreSQL", "dir", dir)
	return discard(dir)
}

// discard removes a temporary data directory, its gate last: an initdb whose
// program was killed may still write, and what cannot be removed for that must be
// found by the next sweep.
func discard(dir string) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return fmt.Errorf("remove the temporary data directory: %w", err)
	}
	for _, e := range entries {
		if e.Name() == gateName {
			continue
		}
		if err := os.RemoveAll(filepath.Join(dir, e.Name())); err != nil {
			return fmt.Errorf("remove the temporary data directory: %w", err)
		}
	}
	return os.RemoveAll(dir)
}

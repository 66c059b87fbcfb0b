package embedded

import (
	"context"
	"fmt"
	"os"
	"time"
)

// fileLock is an advisory lock of the operating system on a file. It ends with
// the process that holds it, however that ends.
type fileLock struct {
	file *os.File
}

// openLock opens the file at path, creates it if need be, and locks nothing yet.
func openLock(path string) (*fileLock, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open lock: %w (a data directory belongs to the user that made it)", err)
	}
	return &fileLock{file: f}, nil
}

// acquire waits for the exclusive lock on the file at path until ctx ends.
func acquire(ctx context.Context, path string) (*fileLock, error) {
	for {
		l, held, err := attempt(path)
		if err != nil || held {
			return l, err
		}
		if err := pause(ctx); err != nil {
			return nil, fmt.Errorf("wait for lock %s: %w", path, err)
		}
	}
}

// attempt tries once to get the exclusive lock on path. A file that was
// removed before it could be locked counts as not held.
func attempt(path string) (l *fileLock, held bool, err error) {
	if l, err = openLock(path); err != nil {
		return nil, false, err
	}
	held, err = tryLock(l.file, exclusiveLock)
	if err == nil && held && l.current() {
		return l, true, nil
	}
	closeErr := l.release()
	if err == nil {
		err = closeErr
	}
	return nil, false, err
}

// current says whether the locked file still is the one at its path.
func (l *fileLock) current() bool {
	mine, err := l.file.Stat()
	if err != nil {
		return false
	}
	there, err := os.Stat(l.file.Name())
	return err == nil && os.SameFile(mine, there)
}

// release gives the lock up. It unlocks before it closes, because a child that
// is just being forked may hold a copy of the descriptor for a moment.
func (l *fileLock) release() error {
	if l == nil || l.file == nil {
		return nil
	}
	f := l.file
	l.file = nil
	unlockErr := unlock(f)
	if err := f.Close(); err != nil {
		return fmt.Errorf("close lock: %w", err)
	}
	return unlockErr
}

// pollInterval is how often a condition that nothing announces is looked at.
const pollInterval = 15 * time.Millisecond

// pause waits for the next look at a condition, or returns the error of ctx.
func pause(ctx context.Context) error {
	timer := time.NewTimer(pollInterval)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-timer.C:
		return nil
	}
}

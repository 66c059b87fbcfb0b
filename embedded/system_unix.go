//go:build linux || darwin

package embedded

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"syscall"
)

// The ways to hold a lock, and the signals that PostgreSQL knows as fast and
// immediate shutdown.
const (
	sharedLock    = syscall.LOCK_SH
	exclusiveLock = syscall.LOCK_EX

	fastShutdown      = syscall.SIGINT
	immediateShutdown = syscall.SIGQUIT
)

func supported() error { return nil }

// tryLock locks f if nobody holds it in a way that forbids it. A lock that is
// already held through f changes its mode.
func tryLock(f *os.File, mode int) (bool, error) {
	for {
		err := syscall.Flock(int(f.Fd()), mode|syscall.LOCK_NB)
		switch {
		case err == nil:
			return true, nil
		case errors.Is(err, syscall.EWOULDBLOCK):
			return false, nil
		case !errors.Is(err, syscall.EINTR):
			return false, fmt.Errorf("lock %s: %w", f.Name(), err)
		}
	}
}

func unlock(f *os.File) error {
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_UN); err != nil {
		return fmt.Errorf("unlock %s: %w", f.Name(), err)
	}
	return nil
}

// isolate makes cmd run as acct, if there is one, and in a session of its
// own, so that the terminal's Ctrl-C does not reach it. A cancelled command takes
// its children with it.
func isolate(cmd *exec.Cmd, acct *account) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if acct != nil {
		cmd.SysProcAttr.Credential = &syscall.Credential{Uid: acct.uid, Gid: acct.gid, Groups: acct.groups}
	}
	if cmd.Cancel != nil {
		cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	}
}

// sendSignal signals a process; one that is gone is not an error.
func sendSignal(pid int, sig syscall.Signal) error {
	if err := syscall.Kill(pid, sig); err != nil && !errors.Is(err, syscall.ESRCH) {
		return fmt.Errorf("signal process %d: %w", pid, err)
	}
	return nil
}

func processExists(pid int) bool {
	err := syscall.Kill(pid, 0)
	return err == nil || errors.Is(err, syscall.EPERM)
}

// owner returns the user and group of a file.
func owner(info os.FileInfo) (uid, gid uint32, ok bool) {
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return 0, 0, false
	}
	return st.Uid, st.Gid, true
}

//go:build !linux && !darwin

package embedded

import (
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"syscall"
)

const (
	sharedLock    = 1
	exclusiveLock = 2

	fastShutdown      = syscall.SIGINT
	immediateShutdown = syscall.SIGQUIT
)

// supported keeps everything below from being called: Start and Find ask first.
func supported() error {
	return fmt.Errorf("%w (%s): use Linux or macOS, or run a PostgreSQL server yourself", ErrUnsupported, runtime.GOOS)
}

func tryLock(*os.File, int) (bool, error) { return false, ErrUnsupported }

func unlock(*os.File) error { return ErrUnsupported }

func isolate(*exec.Cmd, *account) {}

func sendSignal(int, syscall.Signal) error { return ErrUnsupported }

func processExists(int) bool { return false }

func owner(os.FileInfo) (uid, gid uint32, ok bool) { return 0, 0, false }

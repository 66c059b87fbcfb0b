//go:build !linux && !darwin

package fetchpg

import (
	"fmt"
	"os"
	"runtime"
)

func tryLock(*os.File) (bool, error) {
	return false, fmt.Errorf("operating system %s: %w: package embedded works on Linux and macOS", runtime.GOOS, ErrUnsupported)
}

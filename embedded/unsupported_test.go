//go:build !linux && !darwin

package embedded_test

import (
	"errors"
	"testing"

	"github.com/rowhouse/rowhouse/embedded"
)

func TestUnsupported(t *testing.T) {
	t.Parallel()
	if _, err := embedded.Start(t.Context(), embedded.Config{}); !errors.Is(err, embedded.ErrUnsupported) {
		t.Errorf("Start gives %v, want ErrUnsupported", err)
	}
	if _, err := embedded.Find(t.Context()); !errors.Is(err, embedded.ErrUnsupported) {
		t.Errorf("Find gives %v, want ErrUnsupported", err)
	}
}

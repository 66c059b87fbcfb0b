package pgtest

import (
	"context"
	"strings"
	"testing"

	"github.com/rowhouse/rowhouse/embedded"
)

// Cluster starts a server that belongs to the test alone, for tests that kill
// or restart it or need parameters of their own, each as "name=value". What is
// committed on it survives a kill. It is removed at the end of the test.
func Cluster(t testing.TB, parameters ...string) *embedded.Server {
	t.Helper()
	version, err := wantedVersion()
	if err != nil {
		t.Fatalf("pgtest: %v", err)
	}
	cfg := embedded.Config{Version: version, Parameters: make(map[string]string, len(parameters))}
	for _, p := range parameters {
		name, value, ok := strings.Cut(p, "=")
		if !ok {
			t.Fatalf("pgtest: parameter %q: write it as name=value", p)
		}
		cfg.Parameters[name] = value
	}
	srv, err := embedded.Start(t.Context(), cfg)
	if err != nil {
		t.Fatalf("pgtest: this test needs PostgreSQL: %v", err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), cleanupTime)
		defer cancel()
		if err := srv.Stop(ctx); err != nil {
			t.Errorf("pgtest: %v", err)
		}
	})
	return srv
}

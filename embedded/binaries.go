package embedded

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
)

// binaries chooses the installation for a cluster. dataMajor is the version
// that made the cluster, or 0 for a new one.
func binaries(ctx context.Context, cfg Config, dataMajor int) (Installation, error) {
	want := cfg.Version
	if dataMajor != 0 {
		if want != 0 && want != dataMajor {
			return Installation{}, &VersionError{DataDir: cfg.DataDir, DataMajor: dataMajor, BinaryMajor: want}
		}
		want = dataMajor
	}
	inst, err := choose(ctx, cfg, want)
	if err != nil {
		return Installation{}, err
	}
	switch {
	case dataMajor != 0 && inst.Major != dataMajor:
		return Installation{}, &VersionError{DataDir: cfg.DataDir, DataMajor: dataMajor, BinaryMajor: inst.Major}
	case want != 0 && inst.Major != want:
		return Installation{}, fmt.Errorf("%w of version %d: the newest is version %s in %s; install PostgreSQL %d, or set %s to its programs",
			ErrNotFound, want, inst.Version, inst.BinDir, want, BinVariable)
	}
	return inst, nil
}

// choose returns the installation that was configured, or the newest of major
// version want (0: any), or what Fetch gets, or else the newest there is.
func choose(ctx context.Context, cfg Config, want int) (Installation, error) {
	if cfg.BinDir != "" {
		return inspect(ctx, cfg.BinDir)
	}
	found, err := Find(ctx)
	for _, inst := range found {
		if want == 0 || inst.Major == want {
			return inst, nil
		}
	}
	if cfg.Fetch != nil && ctx.Err() == nil {
		return fetch(ctx, cfg)
	}
	if err != nil {
		return Installation{}, err
	}
	return found[0], nil
}

func fetch(ctx context.Context, cfg Config) (Installation, error) {
	dir := cfg.FetchDir
	if dir == "" {
		base, err := baseDir()
		if err != nil {
			return Installation{}, err
		}
		dir = filepath.Join(base, ".binaries")
	}
	cfg.Log.Info("fetching PostgreSQL, because none is installed", "dir", dir)
	bin, err := cfg.Fetch(ctx, dir)
	if err != nil {
		return Installation{}, fmt.Errorf("fetch PostgreSQL: %w", err)
	}
	inst, err := inspect(ctx, bin)
	if errors.Is(err, ErrNotFound) {
		return Installation{}, fmt.Errorf("fetched PostgreSQL is not complete: %w", err)
	}
	return inst, err
}

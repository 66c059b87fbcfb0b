package embedded

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
)

// What a data directory holds. It belongs to the user that calls Start; only
// the cluster and the password belong to the server's account.
const (
	gateName      = "rowhouse.lock" // held exclusively while anybody starts or stops; marks the directory as ours
	usersName     = "users.lock"    // held shared by each Server
	passwordName  = "password"
	logName       = "server.log"
	clusterName   = "data"     // there only when initdb has finished
	unfinished    = "initdb-*" // where initdb works
	temporaryName = "rowhouse-pg-*"
	nascentName   = "rowhouse-new-*" // a temporary directory that is not locked yet
)

// cluster is an opened data directory. While gate is held nobody else starts or
// stops its server.
type cluster struct {
	dir       string
	temporary bool
	account   *account
	log       *slog.Logger

	gate  *fileLock
	users *fileLock
	alone bool // nobody else used the cluster when it was opened
}

// DefaultDataDir returns the directory that the data of the cluster called
// name is best kept in: below the user's cache directory, or for root
// /var/lib/rowhouse, which the server's account can reach. It makes nothing.
//
// name consists of lower-case letters, digits, "-" and "_" and begins with a
// letter or digit. It is an error if the user has no home directory.
func DefaultDataDir(name string) (string, error) {
	if !regexp.MustCompile(`^[a-z0-9][a-z0-9_-]*$`).MatchString(name) {
		return "", fmt.Errorf("cluster name %q is not valid: use lower-case letters, digits, - and _", name)
	}
	base, err := baseDir()
	if err != nil {
		return "", err
	}
	return filepath.Join(base, name), nil
}

func baseDir() (string, error) {
	if os.Geteuid() == 0 {
		return "/var/lib/rowhouse", nil
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("find a directory for PostgreSQL: %w: set HOME, or name the directory", err)
	}
	return filepath.Join(cache, "rowhouse"), nil
}

// openCluster makes or finds the data directory and locks it.
func openCluster(ctx context.Context, cfg Config, acct *account) (*cluster, error) {
	c := &cluster{account: acct, log: cfg.Log}
	var err error
	if cfg.DataDir == "" {
		sweep(ctx, cfg.Log)
		c.temporary = true
		c.dir, c.gate, err = makeTemporary(ctx, acct)
	} else {
		c.dir, c.gate, err = openDir(ctx, cfg.DataDir, acct)
	}
	if err != nil {
		return nil, err
	}
	if err := c.enter(); err != nil {
		c.abandon()
		return nil, err
	}
	return c, nil
}

// openDir makes the directory if need be, refuses foreign ones, and takes the gate.
func openDir(ctx context.Context, path string, acct *account) (string, *fileLock, error) {
	dir, err := filepath.Abs(path)
	if err != nil {
		return "", nil, fmt.Errorf("data directory %s: %w", path, err)
	}
	if err := os.MkdirAll(filepath.Dir(dir), 0o755); err != nil {
		return "", nil, fmt.Errorf("make the parent of the data directory: %w", err)
	}
	if err := os.Mkdir(dir, 0o700); err == nil {
		err = open(dir, acct)
		if err != nil {
			return "", nil, err
		}
	} else if !errors.Is(err, os.ErrExist) {
		return "", nil, fmt.Errorf("make the data directory: %w", err)
	}
	// One name for one directory: it is how a running server is recognised.
	if dir, err = filepath.EvalSymlinks(dir); err != nil {
		return "", nil, fmt.Errorf("data directory %s: %w", path, err)
	}
	if err := checkOurs(dir); err != nil {
		return "", nil, err
	}
	gate, err := acquire(ctx, filepath.Join(dir, gateName))
	return dir, gate, err
}

// open lets the server's account pass through a directory of root's.
func open(dir string, acct *account) error {
	if acct == nil {
		return nil
	}
	if err := os.Chmod(dir, 0o711); err != nil {
		return fmt.Errorf("open the data directory to user %s: %w", acct.name, err)
	}
	return nil
}

// checkOurs returns ErrForeignDir if dir has files but not ours.
func checkOurs(dir string) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return fmt.Errorf("read the data directory: %w", err)
	}
	if len(entries) == 0 {
		return nil
	}
	for _, e := range entries {
		if e.Name() == gateName {
			return nil
		}
	}
	return fmt.Errorf("data directory %s: %w: name one that is empty or does not exist", dir, ErrForeignDir)
}

// enter takes part in the count of users. It needs the gate.
func (c *cluster) enter() error {
	var err error
	if c.users, err = openLock(c.path(usersName)); err != nil {
		return err
	}
	if c.alone, err = tryLock(c.users.file, exclusiveLock); err != nil {
		return err
	}
	shared, err := tryLock(c.users.file, sharedLock)
	if err == nil && !shared {
		err = fmt.Errorf("lock %s is held by somebody who ignores %s: stop that program", usersName, gateName)
	}
	return err
}

// leave ends the use of the cluster and says whether nobody else uses it. It
// needs the gate, which keeps the answer true.
func (c *cluster) leave() (last bool, err error) {
	if last, err = tryLock(c.users.file, exclusiveLock); err != nil {
		return false, err
	}
	return last, c.users.release()
}

// abandon gives up after a failed start.
func (c *cluster) abandon() {
	last := false
	if c.users != nil {
		last, _ = c.leave() // the lock ends with the file in any case
	}
	if c.temporary && last {
		if err := discard(c.dir); err != nil {
			c.log.Warn("cannot remove temporary PostgreSQL", "dir", c.dir, "error", err)
		}
	}
	if err := c.gate.release(); err != nil {
		c.log.Warn("cannot release lock", "error", err)
	}
}

func (c *cluster) path(name string) string { return filepath.Join(c.dir, name) }

// data is PostgreSQL's own data directory.
func (c *cluster) data() string { return c.path(clusterName) }

// major returns the version that made the cluster, or 0 if there is none yet.
func (c *cluster) major() (int, error) {
	text, err := os.ReadFile(filepath.Join(c.data(), "PG_VERSION"))
	if errors.Is(err, os.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, fmt.Errorf("read the version of the cluster: %w", err)
	}
	major, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil {
		return 0, fmt.Errorf("read the version of the cluster in %s: %w", c.dir, err)
	}
	return major, nil
}

// password returns the superuser's password.
func (c *cluster) password() (string, error) {
	text, err := os.ReadFile(c.path(passwordName))
	if err != nil {
		return "", fmt.Errorf("read the password of the cluster: %w", err)
	}
	return strings.TrimSpace(string(text)), nil
}

// create runs initdb beside the final place and moves the result there as the
// last step. A process that is killed before leaves only what the next removes.
func (c *cluster) create(ctx context.Context, inst Installation) error {
	leftovers, err := filepath.Glob(c.path(unfinished))
	if err != nil {
		return fmt.Errorf("look for an unfinished initdb: %w", err)
	}
	for _, dir := range leftovers {
		if err := os.RemoveAll(dir); err != nil { // an orphaned initdb may still write to it
			c.log.Debug("cannot remove what is left of an unfinished initdb", "dir", dir, "error", err)
		}
	}
	if err := c.writePassword(); err != nil {
		return err
	}
	work, err := os.MkdirTemp(c.dir, unfinished)
	if err != nil {
		return fmt.Errorf("make a directory for initdb: %w", err)
	}
	if err := c.account.give(work); err != nil {
		return err
	}
	c.log.Info("making a PostgreSQL cluster", "dir", c.dir, "version", inst.Version)
	if err := c.initdb(ctx, inst, work); err != nil {
		return errors.Join(err, os.RemoveAll(work))
	}
	if err := os.Rename(work, c.data()); err != nil {
		return fmt.Errorf("put the new cluster in its place: %w", err)
	}
	return nil
}

func (c *cluster) writePassword() error {
	path := c.path(passwordName)
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("replace the password: %w", err)
	}
	if err := os.WriteFile(path, []byte(rand.Text()+"\n"), 0o600); err != nil {
		return fmt.Errorf("write the password: %w", err)
	}
	return c.account.give(path)
}

func (c *cluster) initdb(ctx context.Context, inst Installation, dir string) error {
	args := []string{"-D", dir, "-U", superuser, "--auth=scram-sha-256", "--pwfile=" + c.path(passwordName), "--encoding=UTF8"}
	if inst.Major >= 17 {
		args = append(args, "--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8")
	} else {
		args = append(args, "--locale="+oldLocale())
	}
	if c.temporary {
		args = append(args, "--no-sync")
	}
	cmd := exec.CommandContext(ctx, inst.program("initdb"), args...)
	cmd.Dir = c.dir
	cmd.Env = environment()
	isolate(cmd, c.account)
	out, err := cmd.CombinedOutput()
	if err != nil && ctx.Err() != nil {
		return fmt.Errorf("initdb was interrupted: %w", context.Cause(ctx))
	}
	if err != nil {
		return fmt.Errorf("initdb of PostgreSQL %s in %s: %w: %s", inst.Version, inst.BinDir, err, lastLines(string(out)))
	}
	return nil
}

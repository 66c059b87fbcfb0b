package rowhousecli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/spf13/cobra"
	"golang.org/x/term"
)

// The exit codes.
const (
	// ExitDone: done, or there was nothing to do.
	ExitDone = 0
	// ExitFailed: it failed.
	ExitFailed = 1
	// ExitUsage: the command line, or a setting, cannot be used; nothing was
	// done.
	ExitUsage = 2
	// ExitPending: a check found migrations that are pending, or applied ones
	// that were changed.
	ExitPending = 3
	// ExitSomeFailed: some tenants failed; the others are done.
	ExitSomeFailed = 4
	// ExitInterrupted: stopped by a signal.
	ExitInterrupted = 130
)

// ExitError is an error with an exit code of its own.
type ExitError struct {
	// Code is the exit code, one of the constants.
	Code int
	// Err is printed. May be nil if everything was said.
	Err error
	// Hint says what to do about it. May be empty.
	Hint string
}

// Error returns the text of Err.
func (e *ExitError) Error() string {
	if e.Err == nil {
		return fmt.Sprintf("exit code %d", e.Code)
	}
	return e.Err.Error()
}

// Unwrap returns Err.
func (e *ExitError) Unwrap() error { return e.Err }

// usage makes the error of a command line that cannot be understood.
func usage(cmd *cobra.Command, format string, args ...any) error {
	return &ExitError{Code: ExitUsage, Err: fmt.Errorf(format, args...), Hint: fmt.Sprintf("see %q", cmd.CommandPath()+" --help")}
}

// report prints how a command ended and returns the exit code.
func report(ctx context.Context, w io.Writer, err error) int {
	if err == nil {
		return ExitDone
	}
	exit := &ExitError{Code: ExitFailed, Err: err}
	errors.As(err, &exit)
	if ctx.Err() != nil && exit.Code != ExitInterrupted {
		exit = &ExitError{Code: ExitInterrupted, Err: fmt.Errorf("interrupted: %s", plain(err.Error()))}
	}
	if exit.Err != nil {
		say(w, "error", redact(plain(exit.Err.Error())))
		var pgErr *pgconn.PgError
		if errors.As(exit.Err, &pgErr) && pgErr.Detail != "" {
			say(w, "detail", redact(pgErr.Detail))
		}
	}
	if exit.Hint != "" {
		say(w, "hint", exit.Hint)
	}
	return exit.Code
}

// plain takes the names of our own packages off the front of a message: they say
// nothing to the user.
func plain(message string) string {
	for _, name := range []string{"rowhouse: ", "admin: ", "migrate: "} {
		if rest, ok := strings.CutPrefix(message, name); ok {
			return plain(rest)
		}
	}
	return message
}

// say prints a message with a word before it that says what it is.
func say(w io.Writer, word, message string) {
	message = strings.ReplaceAll(strings.TrimSpace(message), "\n\t", " ")
	message = strings.ReplaceAll(message, "\n", "\n  ")
	if colour(w) {
		word = map[string]string{"error": "\x1b[1;31m", "hint": "\x1b[36m"}[word] + word + "\x1b[0m"
	}
	// If this cannot be written there is nobody to tell.
	_, _ = fmt.Fprintf(w, "%s: %s\n", word, printable(message, '\n'))
}

// colour tells whether to write in colour to w.
func colour(w io.Writer) bool {
	return isTerminal(w) && os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb"
}

// isTerminal tells whether a stream is a terminal.
func isTerminal(stream any) bool {
	f, ok := stream.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

package pool

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgconn/ctxwatch"
)

// cancelGrace is how long a cancelled statement may take to end before its
// connection is given up.
const cancelGrace = 5 * time.Second

// canceller asks the server to cancel the statement when its context ends, and
// then waits for the server's word, so that the connection can be used again.
//
// pgconn has a handler for this that hangs up on its cancel request as soon as
// the statement has ended. That request may then still be on its way and hit the
// next statement, and PgBouncer 1.18.0 ends with a FATAL error when the sender of
// a cancel request hangs up early. This one waits until the request was answered:
// PostgreSQL answers when it has sent the signal, and a backend ignores a signal
// that finds it between statements.
type canceller struct {
	conn     *pgconn.PgConn
	answered chan struct{}
}

func newCanceller(conn *pgconn.PgConn) ctxwatch.Handler { return &canceller{conn: conn} }

// HandleCancel is called when the context has ended during a statement.
func (c *canceller) HandleCancel(ctx context.Context) {
	answered := make(chan struct{})
	c.answered = answered
	_ = c.conn.Conn().SetDeadline(time.Now().Add(cancelGrace))
	go func() {
		defer close(answered)
		ctx, stop := context.WithTimeout(context.WithoutCancel(ctx), cancelGrace)
		defer stop()
		// If it fails, the deadline ends the wait for the statement.
		_ = c.conn.CancelRequest(ctx)
	}()
}

// HandleUnwatchAfterCancel is called when the statement has ended after that.
func (c *canceller) HandleUnwatchAfterCancel() {
	<-c.answered
	_ = c.conn.Conn().SetDeadline(time.Time{})
}

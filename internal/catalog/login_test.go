package catalog_test

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgproto3"

	"github.com/rowhouse/rowhouse/internal/catalog"
	"github.com/rowhouse/rowhouse/internal/pgtest"
)

// A login serves if it was admitted; else the error says what to do about it.
func TestCheckLogin(t *testing.T) {
	t.Parallel()
	url := pgtest.Database(t)
	conn := connect(t, url)
	admitted, stranger, stubborn := pgtest.Login(t, url, ""), pgtest.Login(t, url, ""), pgtest.Login(t, url, "NOINHERIT")
	s, err := catalog.Install(t.Context(), conn, catalog.Options{AppLogins: []string{userOf(t, admitted), userOf(t, stubborn)}})
	must(t, err)
	must(t, catalog.CheckLogin(t.Context(), connect(t, admitted), s))

	err = catalog.CheckLogin(t.Context(), connect(t, stranger), s)
	wantErr(t, "stranger", err, catalog.ErrPrivilege)
	if want := `GRANT "` + s.App() + `" TO "` + userOf(t, stranger) + `"`; err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("stranger: got %v, want %s in it", err, want)
	}
	_, err = catalog.Load(t.Context(), connect(t, stranger))
	wantErr(t, "stranger reads the catalog", err, catalog.ErrPrivilege)

	// The grant says what is inherited since 16; before, the login does.
	err = catalog.CheckLogin(t.Context(), connect(t, stubborn), s)
	if value[int](t, conn, `SELECT current_setting('server_version_num')::int`) >= 160000 {
		must(t, err)
	} else if wantErr(t, "NOINHERIT", err, catalog.ErrPrivilege); err == nil || !strings.Contains(err.Error(), "ALTER ROLE") {
		t.Errorf("NOINHERIT: got %v, want the cure in it", err)
	}

	s.RolePrefix = "rh_0_"
	wantErr(t, "roles that are gone", catalog.CheckLogin(t.Context(), conn, s), catalog.ErrPrivilege)
}

// The two doors give nothing before one has gone through.
func TestDoorsGiveNothing(t *testing.T) {
	t.Parallel()
	url := pgtest.Database(t)
	app := pgtest.Login(t, url, "")
	super := connect(t, url)
	s, err := catalog.Install(t.Context(), super, catalog.Options{AppLogins: []string{userOf(t, app)}})
	must(t, err)
	exec(t, super, `CREATE TABLE public.mine (i int)`, `GRANT SELECT ON public.mine TO `+s.Shared())
	conn := connect(t, app)
	_, err = conn.Exec(t.Context(), `SELECT * FROM public.mine`)
	wantRefused(t, "before", err, "42501", "")
	exec(t, conn, `SET ROLE `+s.Shared(), `SELECT * FROM public.mine`)
	for _, role := range []string{s.Owner(), s.Builder(), s.Admin(), s.Renamer()} {
		_, err := conn.Exec(t.Context(), `SET ROLE `+role)
		wantRefused(t, "become "+role, err, "42501", "")
	}
}

// oldServer answers like PostgreSQL of a version that is too old: it tells it to
// any query.
func oldServer(t testing.TB, version int) (url string) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	done := make(chan struct{})
	t.Cleanup(func() { _ = listener.Close(); <-done })
	go func() {
		defer close(done)
		conn, err := listener.Accept()
		if err != nil {
			return
		}
		defer conn.Close()
		b := pgproto3.NewBackend(conn, conn)
		if _, err := b.ReceiveStartupMessage(); err != nil {
			return
		}
		b.Send(&pgproto3.AuthenticationOk{})
		b.Send(&pgproto3.BackendKeyData{ProcessID: 1, SecretKey: []byte{0, 0, 0, 1}})
		b.Send(&pgproto3.ReadyForQuery{TxStatus: 'I'})
		for b.Flush() == nil && answer(b, version) == nil {
		}
	}()
	return "postgres://someone@" + listener.Addr().String() + "/x?sslmode=disable"
}

// answer answers one message. Nothing but the version is ever asked for.
func answer(b *pgproto3.Backend, version int) error {
	message, err := b.Receive()
	switch message.(type) {
	case *pgproto3.Parse:
		b.Send(&pgproto3.ParseComplete{})
	case *pgproto3.Describe:
		b.Send(&pgproto3.ParameterDescription{})
		b.Send(&pgproto3.RowDescription{Fields: []pgproto3.FieldDescription{{Name: []byte("v"), DataTypeOID: 23, DataTypeSize: 4}}})
	case *pgproto3.Bind:
		b.Send(&pgproto3.BindComplete{})
	case *pgproto3.Execute:
		b.Send(&pgproto3.DataRow{Values: [][]byte{binary.BigEndian.AppendUint32(nil, uint32(version))}})
		b.Send(&pgproto3.CommandComplete{CommandTag: []byte("SELECT 1")})
	case *pgproto3.Sync:
		b.Send(&pgproto3.ReadyForQuery{TxStatus: 'I'})
	case *pgproto3.Terminate:
		return net.ErrClosed
	}
	return err
}

func TestServerTooOld(t *testing.T) {
	t.Parallel()
	for version, old := range map[int]bool{90624: true, 140019: true, 149999: true, 150000: false, 180004: false} {
		cfg, err := pgx.ParseConfig(oldServer(t, version))
		must(t, err)
		cfg.DefaultQueryExecMode = pgx.QueryExecModeDescribeExec
		conn, err := pgx.ConnectConfig(t.Context(), cfg)
		must(t, err)
		got, err := catalog.CheckServer(t.Context(), conn)
		if got != version || errors.Is(err, catalog.ErrServerTooOld) != old {
			t.Errorf("server %d: got %d, %v", version, got, err)
		}
		if old {
			_, err = catalog.Install(t.Context(), conn, catalog.Options{})
			wantErr(t, "install", err, catalog.ErrServerTooOld)
			if !strings.Contains(err.Error(), fmt.Sprint(version/10000)) || !strings.Contains(err.Error(), "15") {
				t.Errorf("the versions are not named: %v", err)
			}
		}
		_ = conn.Close(t.Context())
	}
}

package rowhousecli

import (
	"errors"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgtype"
)

var errFull = errors.New("disk full")

// fullDisk takes nothing.
type fullDisk struct{}

func (fullDisk) Write([]byte) (int, error) { return 0, errFull }

func TestRowsOnAFullDisk(t *testing.T) {
	t.Parallel()
	fields := []pgconn.FieldDescription{{Name: "a", DataTypeOID: pgtype.TextOID}}
	value := [][]byte{[]byte(strings.Repeat("x", 100))}
	for name, w := range map[string]rowWriter{
		"table": newTableRows(fullDisk{}, fields),
		"json":  newJSONRows(fullDisk{}, fields, pgtype.NewMap()),
	} {
		var err error
		n := 0
		for ; err == nil && n < 10000; n++ {
			err = w.row(value)
		}
		if n == 10000 {
			t.Errorf("%s: the error was not seen while writing", name)
		}
		if err := w.end(nil); !errors.Is(err, errFull) {
			t.Errorf("%s: end returned %v", name, err)
		}
	}
}

func TestRowsThatEndInAnError(t *testing.T) {
	t.Parallel()
	fields := []pgconn.FieldDescription{{Name: "a", DataTypeOID: pgtype.Int4OID}}
	failed := errors.New("division by zero")
	for _, rows := range []int{0, 1, sample + 1} {
		var table, json strings.Builder
		for _, w := range []rowWriter{newTableRows(&table, fields), newJSONRows(&json, fields, pgtype.NewMap())} {
			for range rows {
				if err := w.row([][]byte{[]byte("1")}); err != nil {
					t.Fatal(err)
				}
			}
			if err := w.end(failed); !errors.Is(err, failed) {
				t.Errorf("%d rows: the error was lost: %v", rows, err)
			}
		}
		if got := strings.Count(table.String(), "1\n"); got != rows {
			t.Errorf("the table has %d of %d rows", got, rows)
		}
		if strings.Contains(json.String(), "]") {
			t.Errorf("%d rows: the array is closed: %s", rows, json.String())
		}
	}
}

package rowhousecli

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgtype"
)

// firstUserOID is where the OIDs of types begin that are not PostgreSQL's own
// (FirstNormalObjectId).
const firstUserOID = 16384

// textOnly makes PostgreSQL answer in text: what is printed is then what it
// writes itself, whatever the type. It is rowhouse's AfterConnect.
func textOnly(_ context.Context, conn *pgx.Conn) error {
	textTypes(conn.TypeMap())
	return nil
}

func textTypes(types *pgtype.Map) {
	for oid := range uint32(firstUserOID) {
		if t, ok := types.TypeForOID(oid); ok {
			types.RegisterType(&pgtype.Type{Name: t.Name, OID: oid, Codec: &pgtype.TextFormatOnlyCodec{Codec: t.Codec}})
		}
	}
}

// sample is how many rows a table looks at before it settles how wide its columns
// are.
const sample = 500

// tableRows prints rows as a table. It holds back the first ones only.
type tableRows struct {
	out    *bufio.Writer
	head   []string
	held   [][]string
	layout layout // nil while rows are held back
}

func newTableRows(out io.Writer, fields []pgconn.FieldDescription) *tableRows {
	t := &tableRows{out: bufio.NewWriter(out)}
	for _, f := range fields {
		t.head = append(t.head, f.Name)
	}
	return t
}

func (t *tableRows) row(values [][]byte) error {
	cells := make([]string, len(values))
	for i, v := range values {
		if cells[i] = string(v); v == nil {
			cells[i] = "NULL"
		}
	}
	if t.layout == nil {
		t.held = append(t.held, cells)
		if len(t.held) == sample {
			t.settle()
		}
		return nil
	}
	t.layout.line(t.out, cells)
	return t.written()
}

// written is the error of the writer, if it has one. The bytes stay in its buffer.
func (t *tableRows) written() error {
	_, err := t.out.Write(nil)
	return err
}

// settle fixes the widths and prints what was held back.
func (t *tableRows) settle() {
	t.layout = newLayout(t.head, t.held)
	t.layout.line(t.out, t.head)
	for _, cells := range t.held {
		t.layout.line(t.out, cells)
	}
	t.held = nil
}

func (t *tableRows) end(failed error) error {
	if t.layout == nil && (failed == nil || len(t.held) > 0) {
		t.settle()
	}
	return errors.Join(failed, t.out.Flush())
}

// jsonRows prints rows as an array of objects, each on a line of its own.
type jsonRows struct {
	out   *bufio.Writer
	keys  [][]byte // encoded
	types []uint32
	known *pgtype.Map
	n     int
}

func newJSONRows(out io.Writer, fields []pgconn.FieldDescription, known *pgtype.Map) *jsonRows {
	j := &jsonRows{out: bufio.NewWriter(out), known: known}
	seen := make(map[string]bool)
	for _, f := range fields {
		name := f.Name
		for n := 2; seen[name]; n++ { // an object has each key once
			name = fmt.Sprintf("%s_%d", f.Name, n)
		}
		seen[name] = true
		j.keys = append(j.keys, encoded(name))
		j.types = append(j.types, f.DataTypeOID)
	}
	return j
}

func (j *jsonRows) row(values [][]byte) error {
	var b bytes.Buffer
	b.WriteString(map[bool]string{true: "[\n  {", false: ",\n  {"}[j.n == 0])
	for i, v := range values {
		if i > 0 {
			b.WriteString(", ")
		}
		b.Write(j.keys[i])
		b.WriteString(": ")
		b.Write(j.value(j.types[i], v))
	}
	b.WriteByte('}')
	j.n++
	_, err := j.out.Write(b.Bytes())
	return err
}

func (j *jsonRows) end(failed error) error {
	switch {
	case failed != nil: // an array that is not closed cannot be taken for all of it
	case j.n == 0:
		_, _ = j.out.WriteString("[]\n") // the error is kept for Flush
	default:
		_, _ = j.out.WriteString("\n]\n")
	}
	return errors.Join(failed, j.out.Flush())
}

// value makes JSON of a value in PostgreSQL's text format.
func (j *jsonRows) value(oid uint32, text []byte) []byte {
	if text == nil {
		return []byte("null")
	}
	switch oid {
	case pgtype.BoolOID:
		return []byte(map[bool]string{true: "true", false: "false"}[string(text) == "t"])
	case pgtype.Int2OID, pgtype.Int4OID, pgtype.Int8OID, pgtype.OIDOID, pgtype.Float4OID, pgtype.Float8OID, pgtype.NumericOID:
		if json.Valid(text) { // NaN and Infinity are not
			return text
		}
	case pgtype.JSONOID, pgtype.JSONBOID:
		var b bytes.Buffer
		if json.Compact(&b, text) == nil {
			return b.Bytes()
		}
	default:
		if array, ok := j.array(oid, text); ok {
			return array
		}
	}
	return encoded(string(text))
}

// array makes a JSON array of an array of one dimension.
func (j *jsonRows) array(oid uint32, text []byte) ([]byte, bool) {
	t, _ := j.known.TypeForOID(oid)
	if t == nil {
		return nil, false
	}
	only, ok := t.Codec.(*pgtype.TextFormatOnlyCodec)
	if !ok {
		return nil, false
	}
	codec, ok := only.Codec.(*pgtype.ArrayCodec)
	var array pgtype.Array[*string]
	if !ok || j.known.Scan(oid, pgtype.TextFormatCode, text, &array) != nil || len(array.Dims) > 1 {
		return nil, false
	}
	items := make([]string, len(array.Elements))
	for i, e := range array.Elements {
		var item []byte
		if e != nil {
			item = []byte(*e)
		}
		items[i] = string(j.value(codec.ElementType.OID, item))
	}
	return []byte("[" + strings.Join(items, ", ") + "]"), true
}

// encoded is a text as JSON, without the escapes that are for HTML.
func encoded(text string) []byte {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(text); err != nil {
		return []byte("null") // a string can always be encoded
	}
	return bytes.TrimSpace(b.Bytes())
}

package sqldb

import (
	"encoding/binary"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5/pgtype"
)

// wire reads a value in PostgreSQL's binary form. After a read beyond its end all
// that it gives is zero.
type wire struct {
	src []byte
	bad bool
}

func (w *wire) take(n int) []byte {
	if w.bad || n < 0 || n > len(w.src) {
		w.bad = true
		return nil
	}
	taken := w.src[:n]
	w.src = w.src[n:]
	return taken
}

func (w *wire) uint32() uint32 {
	if b := w.take(4); b != nil {
		return binary.BigEndian.Uint32(b)
	}
	return 0
}

func (w *wire) int() int { return int(int32(w.uint32())) }

// value reads a length and so many bytes. A length of -1 is NULL.
func (w *wire) value() (src []byte, null bool) {
	n := w.int()
	if n == -1 {
		return nil, true
	}
	return w.take(n), false
}

// nested writes values that hold others.
type nested struct {
	wire
	types *pgtype.Map
	buf   []byte
}

// element appends the next value, or what stands for NULL.
func (n *nested) element(oid uint32, null string, quote func(string) string) error {
	src, isNull := n.value()
	switch {
	case n.bad:
		return errBinary
	case isNull:
		n.buf = append(n.buf, null...)
		return nil
	}
	text, err := appendText(nil, n.types, oid, src)
	if err != nil {
		return err
	}
	n.buf = append(n.buf, quote(string(text))...)
	return nil
}

// spaces are what PostgreSQL takes for white space.
const spaces = " \t\n\r\v\f"

// quoter returns a function that quotes what is empty or has special characters.
func quoter(special string, escape *strings.Replacer) func(string) string {
	return func(s string) string {
		if s != "" && !strings.ContainsAny(s, special+spaces) {
			return s
		}
		return `"` + escape.Replace(s) + `"`
	}
}

// doubling is how ranges and records escape.
func doubling() *strings.Replacer { return strings.NewReplacer(`"`, `""`, `\`, `\\`) }

func bare(s string) string { return s }

// appendArray writes an array, with its bounds where they do not begin at 1.
func appendArray(buf []byte, m *pgtype.Map, src []byte, delimiter byte) ([]byte, error) {
	if delimiter == 0 {
		delimiter = ','
	}
	n := &nested{wire: wire{src: src}, types: m, buf: buf}
	const maxDimensions = 6 // PostgreSQL's
	lengths := make([]int, max(0, min(n.int(), maxDimensions)))
	n.uint32() // whether there are NULLs
	oid := n.uint32()
	bounds, plain := []byte(nil), true
	for i := range lengths {
		lengths[i] = n.int()
		lower := n.int()
		plain = plain && lower == 1
		bounds = fmt.Appendf(bounds, "[%d:%d]", lower, lower+lengths[i]-1)
	}
	if n.bad {
		return nil, errBinary
	}
	if len(lengths) == 0 {
		return append(buf, "{}"...), nil
	}
	if !plain {
		n.buf = append(append(n.buf, bounds...), '=')
	}
	special := quoter(`{}"\`+string(delimiter), strings.NewReplacer(`"`, `\"`, `\`, `\\`))
	err := n.dimension(lengths, oid, delimiter, func(s string) string {
		if strings.EqualFold(s, "null") {
			return `"` + s + `"`
		}
		return special(s)
	})
	return n.buf, err
}

// dimension writes the outermost dimension of an array and all in it.
func (n *nested) dimension(lengths []int, oid uint32, delimiter byte, quote func(string) string) error {
	n.buf = append(n.buf, '{')
	for i := range lengths[0] {
		if i > 0 {
			n.buf = append(n.buf, delimiter)
		}
		var err error
		if len(lengths) > 1 {
			err = n.dimension(lengths[1:], oid, delimiter, quote)
		} else {
			err = n.element(oid, "NULL", quote)
		}
		if err != nil {
			return err
		}
	}
	n.buf = append(n.buf, '}')
	return nil
}

// The flags of a range.
const (
	rangeEmpty          = 1 << 0
	rangeLowerInclusive = 1 << 1
	rangeUpperInclusive = 1 << 2
	rangeLowerInfinite  = 1 << 3
	rangeUpperInfinite  = 1 << 4
)

func appendRange(buf []byte, m *pgtype.Map, oid uint32, src []byte) ([]byte, error) {
	n := &nested{wire: wire{src: src}, types: m, buf: buf}
	first := n.take(1)
	if first == nil {
		return nil, errBinary
	}
	flags := first[0]
	if flags&rangeEmpty != 0 {
		return append(buf, "empty"...), nil
	}
	quote := quoter(`"\()[],`, doubling())
	bracket := func(inclusive byte, yes, no byte) {
		if flags&inclusive == 0 {
			yes = no
		}
		n.buf = append(n.buf, yes)
	}
	bracket(rangeLowerInclusive, '[', '(')
	if flags&rangeLowerInfinite == 0 {
		if err := n.element(oid, "", quote); err != nil {
			return nil, err
		}
	}
	n.buf = append(n.buf, ',')
	if flags&rangeUpperInfinite == 0 {
		if err := n.element(oid, "", quote); err != nil {
			return nil, err
		}
	}
	bracket(rangeUpperInclusive, ']', ')')
	return n.buf, nil
}

func appendMultirange(buf []byte, m *pgtype.Map, rangeOID uint32, src []byte) ([]byte, error) {
	n := &nested{wire: wire{src: src}, types: m, buf: append(buf, '{')}
	for i := range n.int() {
		if i > 0 {
			n.buf = append(n.buf, ',')
		}
		if err := n.element(rangeOID, "", bare); err != nil {
			return nil, err
		}
	}
	return append(n.buf, '}'), nil
}

func appendRecord(buf []byte, m *pgtype.Map, src []byte) ([]byte, error) {
	n := &nested{wire: wire{src: src}, types: m, buf: append(buf, '(')}
	quote := quoter(`"\(),`, doubling())
	for i := range n.int() {
		if i > 0 {
			n.buf = append(n.buf, ',')
		}
		if err := n.element(n.uint32(), "", quote); err != nil {
			return nil, err
		}
	}
	return append(n.buf, ')'), nil
}

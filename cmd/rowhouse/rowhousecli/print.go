package rowhousecli

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"unicode"

	"golang.org/x/text/width"
)

// result is what a command prints: as JSON what it marshals to, as a table what
// it says here.
type result interface {
	table() table
}

// table is a result for people. Without a head its columns are names and values.
type table struct {
	head []string
	rows [][]string
}

// print writes the result of a command.
func (s *session) print(r result) error {
	out := s.cmd.OutOrStdout()
	if s.value("output") == outputJSON {
		enc := json.NewEncoder(out)
		enc.SetEscapeHTML(false)
		enc.SetIndent("", "  ")
		return enc.Encode(r)
	}
	return r.table().write(out)
}

func (t table) write(w io.Writer) error {
	buf := bufio.NewWriter(w)
	l := newLayout(t.head, t.rows)
	if t.head != nil {
		l.line(buf, t.head)
	}
	for _, row := range t.rows {
		l.line(buf, row)
	}
	return buf.Flush()
}

// layout is the width of each column on a terminal.
type layout []int

// newLayout makes the columns as wide as their widest cell.
func newLayout(head []string, rows [][]string) layout {
	l := make(layout, len(head))
	for _, row := range append([][]string{head}, rows...) {
		for i, cell := range row {
			if i == len(l) {
				l = append(l, 0)
			}
			l[i] = max(l[i], columns(printable(cell)))
		}
	}
	return l
}

// line writes a row. What fails is kept by the writer, for its Flush.
func (l layout) line(w *bufio.Writer, cells []string) {
	var b strings.Builder
	for i, cell := range cells {
		cell = printable(cell)
		b.WriteString(cell)
		if i < len(cells)-1 {
			b.WriteString(strings.Repeat(" ", max(0, l[i]-columns(cell))+2))
		}
	}
	_, _ = w.WriteString(strings.TrimRight(b.String(), " ") + "\n")
}

// columns counts the columns of a terminal that a text takes.
func columns(text string) int {
	n := 0
	for _, r := range text {
		switch kind := width.LookupRune(r).Kind(); {
		case unicode.In(r, unicode.Mn, unicode.Me, unicode.Cf):
		case kind == width.EastAsianWide || kind == width.EastAsianFullwidth:
			n += 2
		default:
			n++
		}
	}
	return n
}

// printable makes visible what would change the terminal or the order of the
// text, but for the characters in keep.
func printable(text string, keep ...rune) string {
	hostile := func(r rune) bool {
		return (unicode.IsControl(r) || unicode.Is(unicode.Bidi_Control, r)) && !strings.ContainsRune(string(keep), r)
	}
	if !strings.ContainsFunc(text, hostile) {
		return text
	}
	var b strings.Builder
	for _, r := range text {
		if hostile(r) {
			b.WriteString(strings.Trim(fmt.Sprintf("%q", r), "'"))
		} else {
			b.WriteRune(r)
		}
	}
	return b.String()
}

// yesNo is a truth for people.
func yesNo(b bool) string {
	if b {
		return "yes"
	}
	return "no"
}

// count is a number of things.
func count(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}

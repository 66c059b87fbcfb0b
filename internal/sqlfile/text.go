package sqlfile

import (
	"strings"
	"unicode/utf8"
)

// byteOrderMark is what some editors put in front of UTF-8 text.
const byteOrderMark = "\uFEFF"

// text returns the contents of a file without a byte order mark. It complains
// about what cannot be sent to PostgreSQL as text, and then reports false.
func (r *reader) text(file string, raw []byte) (text string, ok bool) {
	text = strings.TrimPrefix(string(raw), byteOrderMark)
	if i := strings.IndexByte(text, 0); i >= 0 {
		r.probs.addf(file, lineAt(text, i), ErrEncoding, "zero byte (is the file UTF-16? save it as UTF-8)")
		return "", false
	}
	if !utf8.ValidString(text) {
		i := 0
		for {
			c, n := utf8.DecodeRuneInString(text[i:])
			if c == utf8.RuneError && n <= 1 {
				break
			}
			i += n
		}
		r.probs.addf(file, lineAt(text, i), ErrEncoding, "byte 0x%02x is no part of a character; save the file as UTF-8", text[i])
		return "", false
	}
	return text, true
}

// lineAt returns the 1-based line of an offset.
func lineAt(text string, off int) int { return 1 + strings.Count(text[:off], "\n") }

// annotation returns what follows marker in a comment line, and whether the
// line is one which begins with marker: "-- rowhouse: no transaction".
func annotation(line, marker string) (string, bool) {
	rest, ok := strings.CutPrefix(strings.TrimSpace(line), "--")
	if !ok {
		return "", false
	}
	rest = strings.TrimSpace(rest)
	if len(rest) < len(marker) || !strings.EqualFold(rest[:len(marker)], marker) {
		return "", false
	}
	return strings.TrimSpace(rest[len(marker):]), true
}

// ownAnnotation looks for rowhouse's one annotation, which both formats may
// have on their first line, and reports whether it is there.
func (r *reader) ownAnnotation(file, text string) bool {
	found := false
	n := 0
	for line := range strings.Lines(text) {
		n++
		what, ok := annotation(line, "rowhouse:")
		switch {
		case !ok:
		case n > 1:
			r.probs.addf(file, n, ErrAnnotation, "rowhouse's annotation must be the first line of the file")
		case !strings.EqualFold(strings.Join(strings.Fields(what), " "), "no transaction"):
			r.probs.addf(file, n, ErrAnnotation, "%q is unknown; there is only \"-- rowhouse: no transaction\"", what)
		default:
			found = true
		}
	}
	return found
}

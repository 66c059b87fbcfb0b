package rowhousecli

import (
	"strings"
	"testing"
)

func TestTable(t *testing.T) {
	t.Parallel()
	var b strings.Builder
	err := table{
		head: []string{"NAME", "N", "LAST"},
		rows: [][]string{{"東京", "1", "x"}, {"e\u0301te\u0301", "200", ""}, {"ok", "", "a\tb"}, {"\u202egnp", "3", "y"}},
	}.write(&b)
	if err != nil {
		t.Fatal(err)
	}
	want := "" +
		"NAME       N    LAST\n" +
		"東京       1    x\n" +
		"e\u0301te\u0301        200\n" +
		"ok              a\\tb\n" +
		"\\u202egnp  3    y\n"
	if b.String() != want {
		t.Errorf("got\n%swant\n%s", b.String(), want)
	}
}

func TestPrintable(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"plain 東京 \u00e9":  "plain 東京 \u00e9",
		"\x1b[31mred":      `\x1b[31mred`,
		"a\nb":             `a\nb`,
		"\u202eabc\u2066d": `\u202eabc\u2066d`,
		"\u009b1m":         `\u009b1m`,
	} {
		if got := printable(in); got != want {
			t.Errorf("printable(%q) = %q, want %q", in, got, want)
		}
	}
	if got := printable("a\nb\x07", '\n'); got != "a\nb\\a" {
		t.Errorf("with newlines kept: %q", got)
	}
}

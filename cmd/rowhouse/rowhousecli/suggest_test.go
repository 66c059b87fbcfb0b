package rowhousecli

import "testing"

func TestClosest(t *testing.T) {
	t.Parallel()
	words := []string{"acme", "beta", "globex", "a"}
	for in, want := range map[string]string{
		"acme": "acme", "acne": "acme", "acm": "acme", "amce": "acme", "bata": "beta",
		"globe": "globex", "glowbecks": "", "zzz": "", "": "", "x": "",
	} {
		if got := closest(in, words); got != want {
			t.Errorf("closest(%q) = %q, want %q", in, got, want)
		}
	}
}

func TestEdits(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		a, b string
		want int
	}{
		{"", "", 0}, {"", "abc", 3}, {"abc", "", 3}, {"kitten", "sitting", 3}, {"flaw", "lawn", 2}, {"same", "same", 0},
	} {
		if got := edits(test.a, test.b); got != test.want {
			t.Errorf("edits(%q, %q) = %d, want %d", test.a, test.b, got, test.want)
		}
	}
}

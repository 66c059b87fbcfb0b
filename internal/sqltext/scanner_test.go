package sqltext

import (
	"errors"
	"slices"
	"testing"
)

// tokens returns the texts of all tokens and the scanner's error.
func tokens(src string) ([]string, error) {
	s := NewScanner(src)
	var out []string
	for {
		t := s.Next()
		switch t.Kind {
		case EOF:
			return out, nil
		case Unterminated:
			return out, s.Err()
		}
		out = append(out, s.Text(t))
	}
}

func TestScannerTokens(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name string
		src  string
		want []string
	}{
		{
			name: "nothing",
			src:  "",
		},
		{
			name: "whitespace of every kind",
			src:  " \t\r\n\f\v",
		},
		{
			name: "words and punctuation",
			src:  "SELECT a.b, c FROM t;",
			want: []string{"SELECT", "a", ".", "b", ",", "c", "FROM", "t", ";"},
		},
		{
			name: "letters beyond ASCII",
			src:  "sélect naïve_ßtraße",
			want: []string{"sélect", "naïve_ßtraße"},
		},
		{
			name: "dollar inside an identifier opens nothing",
			src:  "a$b$c d$$ e",
			want: []string{"a$b$c", "d$$", "e"},
		},
		{
			name: "line comment",
			src:  "a -- b ' \" $$ /* ;\nc",
			want: []string{"a", "c"},
		},
		{
			name: "carriage return ends a line comment",
			src:  "a -- b\rc",
			want: []string{"a", "c"},
		},
		{
			name: "line comment at the end",
			src:  "a --",
			want: []string{"a"},
		},
		{
			name: "nested comments",
			src:  "a /* b /* c */ d */ e",
			want: []string{"a", "e"},
		},
		{
			name: "comment of stars and slashes",
			src:  "a /***/ b /*/**/*/ c /*//**/*/ d",
			want: []string{"a", "b", "c", "d"},
		},
		{
			name: "operator before a comment",
			src:  "a+/* x */b +-- x\n*c",
			want: []string{"a", "+", "b", "+", "*", "c"},
		},
		{
			name: "minus is no comment",
			src:  "a - -b",
			want: []string{"a", "-", "-", "b"},
		},
		{
			name: "string with doubled quote",
			src:  "'it''s; -- no' x",
			want: []string{"'it''s; -- no'", "x"},
		},
		{
			name: "backslash in a plain string",
			src:  `'a\' b`,
			want: []string{`'a\'`, "b"},
		},
		{
			name: "escape string",
			src:  `E'a\'b' e'c\\' d`,
			want: []string{`E'a\'b'`, `e'c\\'`, "d"},
		},
		{
			name: "escape string with doubled quote",
			src:  `E'a''b\'' c`,
			want: []string{`E'a''b\''`, "c"},
		},
		{
			name: "escape string continued on the next line",
			src:  "E'a'\n'b\\'c' d",
			want: []string{"E'a'\n'b\\'c'", "d"},
		},
		{
			name: "escape string continued behind a comment",
			src:  "E'a' -- x '\n  -- y\n 'b\\'c' d",
			want: []string{"E'a' -- x '\n  -- y\n 'b\\'c'", "d"},
		},
		{
			name: "escape string not continued on its line",
			src:  `E'a' 'b\' c`,
			want: []string{"E'a'", `'b\'`, "c"},
		},
		{
			name: "block comment continues no string",
			src:  "E'a' /* x */\n'b\\' c",
			want: []string{"E'a'", `'b\'`, "c"},
		},
		{
			name: "prefix letters",
			src:  `B'01' x'1F' N'a\' U&'d\0061' u&"d\0061" n`,
			want: []string{"B'01'", "x'1F'", `N'a\'`, `U&'d\0061'`, `u&"d\0061"`, "n"},
		},
		{
			name: "prefix letter away from its quote",
			src:  `E 'a\' U & 'b\'`,
			want: []string{"E", `'a\'`, "U", "&", `'b\'`},
		},
		{
			name: "word that ends in a prefix letter",
			src:  `type'a\' valueu&'b'`,
			want: []string{"type", `'a\'`, "valueu", "&", "'b'"},
		},
		{
			name: "quoted identifiers",
			src:  `"a;b" "c""d" "e--f"`,
			want: []string{`"a;b"`, `"c""d"`, `"e--f"`},
		},
		{
			name: "dollar quotes",
			src:  "$$a;b$$ $tag$c$$d$tag$ $été$e$été$",
			want: []string{"$$a;b$$", "$tag$c$$d$tag$", "$été$e$été$"},
		},
		{
			name: "dollar quote inside another",
			src:  "$a$ $b$ ; $b$ $a$ x",
			want: []string{"$a$ $b$ ; $b$ $a$", "x"},
		},
		{
			name: "closing tag right behind another",
			src:  "$a$x$b$a$ y",
			want: []string{"$a$x$b$a$", "y"},
		},
		{
			name: "parameters",
			src:  "$1+$23 $1$$x$$",
			want: []string{"$1", "+", "$23", "$1", "$$x$$"},
		},
		{
			name: "lone dollar",
			src:  "$ $a $-",
			want: []string{"$", "$", "a", "$", "-"},
		},
		{
			name: "numbers",
			src:  "1 1.5 .5 1e5 1E-5 1_000 0xFF_FF 1.. 2",
			want: []string{"1", "1.5", ".", "5", "1e5", "1E-5", "1_000", "0xFF_FF", "1", ".", ".", "2"},
		},
		{
			name: "number before a dollar quote",
			src:  "1e10$$a;b$$",
			want: []string{"1e10", "$$a;b$$"},
		},
		{
			name: "number before an escape string",
			src:  `1E'\';'`,
			want: []string{"1", `E'\';'`},
		},
		{
			name: "number with a sign but no exponent",
			src:  "1e+x 0x",
			want: []string{"1", "e", "+", "x", "0", "x"},
		},
		{
			name: "backslash",
			src:  `\d`,
			want: []string{`\`, "d"},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			got, err := tokens(tt.src)
			if err != nil {
				t.Fatalf("unexpected error: %v", err)
			}
			if !slices.Equal(got, tt.want) {
				t.Errorf("tokens of %q:\n got %q\nwant %q", tt.src, got, tt.want)
			}
		})
	}
}

func TestScannerKinds(t *testing.T) {
	t.Parallel()
	tests := []struct {
		src  string
		want Kind
	}{
		{"", EOF},
		{"select", Word},
		{`"select"`, Quoted},
		{`U&"select"`, UnicodeQuoted},
		{"'select'", String},
		{"E'select'", String},
		{"$$select$$", String},
		{"1.5", Number},
		{"$1", Param},
		{";", Semicolon},
		{"(", LeftParen},
		{")", RightParen},
		{`\`, Backslash},
		{"=", Other},
		{"$", Other},
		{"'", Unterminated},
	}
	for _, tt := range tests {
		s := NewScanner(tt.src)
		if got := s.Next().Kind; got != tt.want {
			t.Errorf("kind of %q is %d, want %d", tt.src, got, tt.want)
		}
		if got := s.Next().Kind; got != EOF {
			t.Errorf("%q: a token of kind %d follows, want EOF", tt.src, got)
		}
	}
}

func TestScannerUnterminated(t *testing.T) {
	t.Parallel()
	tests := []struct {
		src  string
		want error
	}{
		{"'abc", ErrUnterminatedString},
		{"'abc''", ErrUnterminatedString},
		{`E'abc\'`, ErrUnterminatedString},
		{`E'abc\`, ErrUnterminatedString},
		{"E'abc'\n'def", ErrUnterminatedString},
		{"U&'abc", ErrUnterminatedString},
		{`"abc`, ErrUnterminatedIdentifier},
		{`"abc""`, ErrUnterminatedIdentifier},
		{`U&"abc`, ErrUnterminatedIdentifier},
		{"/* abc", ErrUnterminatedComment},
		{"/* /* abc */", ErrUnterminatedComment},
		{"/*/", ErrUnterminatedComment},
		{"$$ abc", ErrUnterminatedDollarQuote},
		{"$a$ abc $b$ $A$", ErrUnterminatedDollarQuote},
		{"$$ abc $", ErrUnterminatedDollarQuote},
	}
	for _, tt := range tests {
		if _, err := tokens("x " + tt.src); !errors.Is(err, tt.want) {
			t.Errorf("%q: error %v, want %v", tt.src, err, tt.want)
		}
	}
}

// FuzzScanner holds that tokens are in order, do not overlap, are not empty,
// and that the scanner comes to an end.
func FuzzScanner(f *testing.F) {
	for _, seed := range scripts {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, src string) {
		for _, legacy := range []bool{false, true} {
			s := Scanner{src: src, legacy: legacy}
			end := 0
			for {
				tok := s.Next()
				if tok.Kind == EOF {
					break
				}
				if tok.Start < end || tok.End <= tok.Start || tok.End > len(src) {
					t.Fatalf("token [%d,%d) behind offset %d of %q", tok.Start, tok.End, end, src)
				}
				if (tok.Kind == Unterminated) != (s.Err() != nil) {
					t.Fatalf("kind %d with error %v in %q", tok.Kind, s.Err(), src)
				}
				end = tok.End
			}
		}
	})
}

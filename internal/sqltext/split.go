package sqltext

import "strings"

// Statement is one statement of a script.
type Statement struct {
	// SQL is the statement from its first token to its last: comments before
	// and after it are dropped, those inside are kept, and so is everything
	// else. The semicolon that ended it is not part of it.
	SQL string
	// Line is the 1-based line of the first token.
	Line int
	// Offset is the byte position of SQL in the script.
	Offset int
}

// Split cuts a script into its statements, at the semicolons at which psql and
// the server cut it. Statements that consist of nothing but comments are
// dropped. The last one needs no semicolon.
//
// A semicolon inside parentheses ends nothing (CREATE RULE … DO (…; …)), nor
// does one inside the body of a function between BEGIN ATOMIC and its END.
// psql counts BEGIN, CASE and END for the latter and is led astray by columns
// of these names; here the body ends with the END which begins a statement, as
// in the server's grammar.
//
// The error is an [*Error].
func Split(script string) ([]Statement, error) {
	s := NewScanner(script)
	var (
		out   []Statement
		tr    tracker
		lines = lineCounter{src: script}
		start = -1
		end   int
	)
	flush := func() {
		if start >= 0 {
			out = append(out, Statement{SQL: script[start:end], Line: lines.at(start), Offset: start})
		}
		start = -1
	}
	for {
		t := s.Next()
		if err := tr.refuse(&s, t); err != nil {
			return nil, &Error{Line: 1 + strings.Count(script[:tr.blame(t)], "\n"), Err: err}
		}
		if t.Kind == EOF {
			flush()
			return out, nil
		}
		if tr.step(&s, t) {
			flush()
			continue
		}
		if start < 0 {
			start = t.Start
		}
		end = t.End
	}
}

// lineCounter turns ascending offsets into line numbers in one pass.
type lineCounter struct {
	src       string
	off, line int
}

func (l *lineCounter) at(off int) int {
	l.line += strings.Count(l.src[l.off:off], "\n")
	l.off = off
	return l.line + 1
}

// tracker knows where in a statement the scanner is, as far as that decides
// whether a semicolon ends it.
type tracker struct {
	head   head
	prev   Token // last token of this statement, kind EOF at its beginning
	depth  int   // open parentheses
	paren  int   // offset of the outermost open one
	inBody bool  // between BEGIN ATOMIC and END
	body   int   // offset of that BEGIN
}

// head is how far the first words of a statement have been recognised.
type head uint8

const (
	headStart     head = iota // no token yet
	headCreate                // CREATE
	headCreateOr              // CREATE OR
	headReplace               // CREATE OR REPLACE
	headFunction              // CREATE [OR REPLACE] {FUNCTION | PROCEDURE} …
	headCopy                  // COPY …
	headUntracked             // anything else
)

func (h head) next(s *Scanner, t Token) head {
	switch {
	case h == headStart && s.is(t, "CREATE"):
		return headCreate
	case h == headStart && s.is(t, "COPY"):
		return headCopy
	case h == headCreate && s.is(t, "OR"):
		return headCreateOr
	case h == headCreateOr && s.is(t, "REPLACE"):
		return headReplace
	case (h == headCreate || h == headReplace) && (s.is(t, "FUNCTION") || s.is(t, "PROCEDURE")):
		return headFunction
	case h == headFunction || h == headCopy:
		return h
	}
	return headUntracked
}

// step takes the next token and reports whether it ends a statement.
func (tr *tracker) step(s *Scanner, t Token) bool {
	switch t.Kind {
	case Semicolon:
		if tr.depth == 0 && !tr.inBody {
			*tr = tracker{}
			return true
		}
	case LeftParen:
		if tr.depth == 0 {
			tr.paren = t.Start
		}
		tr.depth++
	case RightParen:
		tr.depth = max(0, tr.depth-1)
	case Word:
		tr.word(s, t)
	}
	tr.head = tr.head.next(s, t)
	tr.prev = t
	return false
}

// word opens and closes the body of a function.
func (tr *tracker) word(s *Scanner, t Token) {
	if tr.head != headFunction || tr.depth > 0 {
		return
	}
	if !tr.inBody {
		if s.is(t, "ATOMIC") && s.is(tr.prev, "BEGIN") {
			tr.inBody, tr.body = true, tr.prev.Start
		}
		return
	}
	if s.is(t, "END") && (tr.prev.Kind == Semicolon || s.is(tr.prev, "ATOMIC")) {
		tr.inBody = false
	}
}

// refuse returns what is wrong with t, before it is taken, or nil.
func (tr *tracker) refuse(s *Scanner, t Token) error {
	switch {
	case t.Kind == Unterminated:
		return s.Err()
	case t.Kind == Backslash:
		return ErrPsqlMeta
	case t.Kind == EOF && tr.depth > 0:
		return ErrUnclosedParen
	case t.Kind == EOF && tr.inBody:
		return ErrUnclosedBody
	case tr.head == headCopy && tr.depth == 0 && s.is(t, "STDIN") && s.is(tr.prev, "FROM"):
		return ErrCopyData
	}
	return nil
}

// blame returns the offset of what refuse complained about.
func (tr *tracker) blame(t Token) int {
	switch {
	case t.Kind == EOF && tr.depth > 0:
		return tr.paren
	case t.Kind == EOF && tr.inBody:
		return tr.body
	}
	return t.Start
}

// Leading returns up to n words of a statement from its beginning, in upper
// case, and stops at the first token that is no word. Comments do not count.
func Leading(sql string, n int) []string {
	s := NewScanner(sql)
	words := make([]string, 0, max(0, n))
	for len(words) < n {
		t := s.Next()
		if t.Kind != Word {
			break
		}
		words = append(words, strings.ToUpper(s.Text(t)))
	}
	return words
}

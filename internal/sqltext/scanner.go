// Package sqltext knows just enough of PostgreSQL's lexical rules to cut a
// script into statements and to tell what kind a statement is.
//
// Everything stands on [Scanner], which follows the server's lexer: strings of
// all kinds and their continuation lines, quoted identifiers, dollar quotes,
// nested comments. What lies inside a string or a comment is never seen as
// SQL, and the other way round. [Split] cuts scripts, [ChangesSession] is the
// guard in front of every statement that an application sends, and
// [ClassifyControl] and [RefusesTransaction] tell what a migration may hold.
//
// The package does not parse: text that PostgreSQL would refuse as a syntax
// error gets some answer, and the server then refuses it.
//
// Begin reading with Scanner.Next, then Split.
package sqltext

// Kind is the class of a [Token].
type Kind uint8

// The kinds of token that a [Scanner] tells apart.
const (
	EOF           Kind = iota // nothing is left
	Word                      // keyword or identifier without quotes
	Quoted                    // "identifier"
	UnicodeQuoted             // U&"identifier"
	String                    // string constant in any notation, dollar quotes included
	Number                    // numeric constant
	Param                     // $1
	Semicolon                 // ;
	LeftParen                 // (
	RightParen                // )
	Backslash                 // \ outside of any quotes: SQL has none, psql's commands begin with it
	Other                     // one byte of an operator or of punctuation
	Unterminated              // opens a string, identifier or comment that never ends; see [Scanner.Err]
)

// Token is one lexical element: src[Start:End] of the scanned text.
type Token struct {
	Kind       Kind
	Start, End int
}

// Scanner yields the tokens of a piece of SQL, without whitespace and
// comments. It is a value, reads the text once and allocates nothing.
type Scanner struct {
	src string
	pos int
	err error
	// legacy reads plain strings as a server does on which
	// standard_conforming_strings is off: backslashes escape.
	legacy bool
}

// NewScanner returns a scanner at the start of src.
func NewScanner(src string) Scanner { return Scanner{src: src} }

// Text returns the text of t, which must come from this scanner.
func (s *Scanner) Text(t Token) string { return s.src[t.Start:t.End] }

// Err returns what did not end after a token of kind [Unterminated]: one of
// the package's ErrUnterminated errors.
func (s *Scanner) Err() error { return s.err }

// is reports whether t is the keyword kw, which must be upper-case ASCII.
func (s *Scanner) is(t Token, kw string) bool {
	return t.Kind == Word && equalFold(s.src[t.Start:t.End], kw)
}

// Next returns the next token. After the last one, and after an unterminated
// one, it returns tokens of kind [EOF].
func (s *Scanner) Next() Token {
	if !s.skipSpace() {
		return s.unterminated(s.pos, ErrUnterminatedComment)
	}
	if s.pos >= len(s.src) {
		return Token{Kind: EOF, Start: len(s.src), End: len(s.src)}
	}
	start := s.pos
	switch c := s.src[start]; {
	case isIdentStart(c):
		return s.word(start)
	case c == '\'':
		return s.string(start, start+1, s.legacy)
	case c == '"':
		return s.quoted(start, start+1, Quoted)
	case c == '$':
		return s.dollar(start)
	case isDigit(c):
		return s.number(start)
	default:
		s.pos++
		return Token{Kind: punctuation(c), Start: start, End: s.pos}
	}
}

// unterminated takes the rest of the text for an element that does not end.
func (s *Scanner) unterminated(start int, err error) Token {
	s.err = err
	s.pos = len(s.src)
	return Token{Kind: Unterminated, Start: start, End: s.pos}
}

// skipSpace moves past whitespace and comments. It reports false, and stays at
// the comment, when a comment does not end.
func (s *Scanner) skipSpace() bool {
	for s.pos < len(s.src) {
		switch c := s.src[s.pos]; {
		case isSpace(c):
			s.pos++
		case c == '-' && s.at(s.pos+1) == '-':
			s.pos = lineEnd(s.src, s.pos)
		case c == '/' && s.at(s.pos+1) == '*':
			end := commentEnd(s.src, s.pos)
			if end < 0 {
				return false
			}
			s.pos = end
		default:
			return true
		}
	}
	return true
}

// at returns the byte at i, or 0 beyond the end.
func (s *Scanner) at(i int) byte {
	if i < len(s.src) {
		return s.src[i]
	}
	return 0
}

// word reads an identifier or keyword, or the string or quoted identifier
// that a prefix of one letter introduces: E”, B”, X”, N”, U&” and U&"".
func (s *Scanner) word(start int) Token {
	i := start + 1
	for i < len(s.src) && isIdentPart(s.src[i]) {
		i++
	}
	if i == start+1 && i < len(s.src) {
		switch c, next := s.src[start]|0x20, s.src[i]; {
		case next == '\'' && c == 'e':
			return s.string(start, i+1, true)
		case next == '\'' && c == 'n':
			return s.string(start, i+1, s.legacy)
		case next == '\'' && (c == 'b' || c == 'x'):
			return s.string(start, i+1, false)
		case next == '&' && c == 'u' && s.at(i+1) == '\'':
			return s.string(start, i+2, false)
		case next == '&' && c == 'u' && s.at(i+1) == '"':
			return s.quoted(start, i+2, UnicodeQuoted)
		}
	}
	s.pos = i
	return Token{Kind: Word, Start: start, End: i}
}

// string reads on from i, just behind the opening quote.
func (s *Scanner) string(start, i int, escapes bool) Token {
	for i < len(s.src) {
		switch c := s.src[i]; {
		case c == '\\' && escapes:
			i += 2
		case c != '\'':
			i++
		case s.at(i+1) == '\'':
			i += 2
		default:
			// A string goes on in a further pair of quotes on a later line,
			// and there its escapes still hold.
			next := -1
			if escapes {
				next = continued(s.src, i+1)
			}
			if next < 0 {
				s.pos = i + 1
				return Token{Kind: String, Start: start, End: s.pos}
			}
			i = next
		}
	}
	return s.unterminated(start, ErrUnterminatedString)
}

// quoted reads on from i, just behind the opening double quote.
func (s *Scanner) quoted(start, i int, kind Kind) Token {
	for ; i < len(s.src); i++ {
		if s.src[i] != '"' {
			continue
		}
		if s.at(i+1) != '"' {
			s.pos = i + 1
			return Token{Kind: kind, Start: start, End: s.pos}
		}
		i++
	}
	return s.unterminated(start, ErrUnterminatedIdentifier)
}

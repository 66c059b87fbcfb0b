package sqltext

import "strings"

// dollar reads a parameter ($1), a dollar-quoted string, or a lone $.
func (s *Scanner) dollar(start int) Token {
	i := start + 1
	if isDigit(s.at(i)) {
		for isDigit(s.at(i)) {
			i++
		}
		s.pos = i
		return Token{Kind: Param, Start: start, End: i}
	}
	for i < len(s.src) && (isIdentStart(s.src[i]) || i > start+1 && isDigit(s.src[i])) {
		i++
	}
	if s.at(i) != '$' {
		s.pos = start + 1
		return Token{Kind: Other, Start: start, End: s.pos}
	}
	tag := s.src[start : i+1]
	n := strings.Index(s.src[i+1:], tag)
	if n < 0 {
		return s.unterminated(start, ErrUnterminatedDollarQuote)
	}
	s.pos = i + 1 + n + len(tag)
	return Token{Kind: String, Start: start, End: s.pos}
}

// number reads the longest numeric constant. What follows it is a token of its
// own, as it is to the server: 1e5$$x$$ is a number and a string.
func (s *Scanner) number(start int) Token {
	i := start
	if s.src[i] == '0' && strings.IndexByte("xXoObB", s.at(i+1)) >= 0 && isHex(s.at(i+2)) {
		i += 2
		for isHex(s.at(i)) || s.at(i) == '_' {
			i++
		}
		s.pos = i
		return Token{Kind: Number, Start: start, End: i}
	}
	digits := func() {
		for isDigit(s.at(i)) || s.at(i) == '_' && isDigit(s.at(i+1)) {
			i++
		}
	}
	digits()
	if s.at(i) == '.' && s.at(i+1) != '.' {
		i++
		digits()
	}
	if e := s.at(i) | 0x20; e == 'e' {
		j := i + 1
		if s.at(j) == '+' || s.at(j) == '-' {
			j++
		}
		if isDigit(s.at(j)) {
			i = j
			digits()
		}
	}
	s.pos = i
	return Token{Kind: Number, Start: start, End: i}
}

// lineEnd returns the end of the line at i. A carriage return ends a comment
// as well as a newline does.
func lineEnd(src string, i int) int {
	for i < len(src) && src[i] != '\n' && src[i] != '\r' {
		i++
	}
	return i
}

// commentEnd returns the end of the comment that opens at i with its nested
// ones, or -1 when it has none.
func commentEnd(src string, i int) int {
	depth := 0
	for i+1 < len(src) {
		switch {
		case src[i] == '/' && src[i+1] == '*':
			depth++
			i += 2
		case src[i] == '*' && src[i+1] == '/':
			depth--
			i += 2
			if depth == 0 {
				return i
			}
		default:
			i++
		}
	}
	return -1
}

// continued returns the position behind the quote that continues a string
// which was closed before i, or -1. Between the two lie whitespace with a
// newline in it and line comments, nothing else.
func continued(src string, i int) int {
	newline := false
	for i < len(src) {
		switch c := src[i]; {
		case c == '\n' || c == '\r':
			newline = true
			i++
		case isSpace(c):
			i++
		case c == '-' && i+1 < len(src) && src[i+1] == '-':
			i = lineEnd(src, i)
		case c == '\'' && newline:
			return i + 1
		default:
			return -1
		}
	}
	return -1
}

func punctuation(c byte) Kind {
	switch c {
	case ';':
		return Semicolon
	case '(':
		return LeftParen
	case ')':
		return RightParen
	case '\\':
		return Backslash
	}
	return Other
}

func isSpace(c byte) bool { return c == ' ' || c >= '\t' && c <= '\r' }

func isDigit(c byte) bool { return c >= '0' && c <= '9' }

func isHex(c byte) bool { return isDigit(c) || c|0x20 >= 'a' && c|0x20 <= 'f' }

// isIdentStart takes every byte beyond ASCII for a letter, as PostgreSQL does.
func isIdentStart(c byte) bool {
	return c|0x20 >= 'a' && c|0x20 <= 'z' || c == '_' || c >= 0x80
}

func isIdentPart(c byte) bool { return isIdentStart(c) || isDigit(c) || c == '$' }

// equalFold compares s with upper, which is upper-case ASCII letters. Only
// ASCII letters fold, as in PostgreSQL's keywords.
func equalFold(s, upper string) bool {
	if len(s) != len(upper) {
		return false
	}
	for i := range len(s) {
		c := s[i]
		if c >= 'a' && c <= 'z' {
			c -= 'a' - 'A'
		}
		if c != upper[i] {
			return false
		}
	}
	return true
}

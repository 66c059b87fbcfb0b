package sqlfile

import (
	"fmt"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// expander substitutes variables in one line as goose's ENVSUB does, which
// follows the shell:
//
//	$VAR ${VAR}           the value, or nothing
//	${VAR-default}        default when VAR is not set
//	${VAR:-default}       default when VAR is not set or empty
//	${VAR:offset:length}  a part of the value; length may be left out
//	${VAR?message}        an error when VAR is not set
//	$$ and \$             a dollar sign
//	$(                    itself
//
// A default or message may hold variables in turn.
type expander struct {
	src    string
	pos    int
	lookup func(string) (string, bool)
	depth  int
}

// maxExpandDepth bounds how far defaults nest.
const maxExpandDepth = 100

func expand(line string, lookup func(string) (string, bool)) (string, error) {
	if strings.IndexByte(line, '$') < 0 {
		return line, nil
	}
	e := &expander{src: line, lookup: lookup}
	out, err := e.text(false)
	if err != nil {
		return line, fmt.Errorf("%w: %w", ErrEnvsub, err)
	}
	return out, nil
}

// text expands up to the end, or in braces up to the one that closes them.
func (e *expander) text(inBraces bool) (string, error) {
	if e.depth++; e.depth > maxExpandDepth {
		return "", fmt.Errorf("defaults nest more than %d deep", maxExpandDepth)
	}
	defer func() { e.depth-- }()
	var out strings.Builder
	for e.pos < len(e.src) {
		rest := e.src[e.pos:]
		switch {
		case inBraces && rest[0] == '}':
			return out.String(), nil
		case strings.HasPrefix(rest, `\\`), strings.HasPrefix(rest, `$(`):
			out.WriteString(rest[:2])
			e.pos += 2
		case strings.HasPrefix(rest, `\$`), strings.HasPrefix(rest, `$$`):
			out.WriteByte('$')
			e.pos += 2
		case rest[0] == '$' && len(rest) > 1:
			e.pos++
			value, err := e.variable()
			if err != nil {
				return "", err
			}
			out.WriteString(value)
		default:
			out.WriteByte(rest[0])
			e.pos++
		}
	}
	return out.String(), nil
}

// variable expands what follows a dollar sign.
func (e *expander) variable() (string, error) {
	if e.src[e.pos] != '{' {
		name, err := e.name()
		if err != nil {
			return "", err
		}
		value, _ := e.lookup(name)
		return value, nil
	}
	e.pos++
	name, err := e.name()
	if err != nil {
		return "", err
	}
	value, err := e.operation(name)
	if err != nil {
		return "", err
	}
	if e.pos >= len(e.src) || e.src[e.pos] != '}' {
		return "", fmt.Errorf("${%s has no closing brace on its line", name)
	}
	e.pos++
	return value, nil
}

// operation expands what follows the name in braces, up to the closing one.
func (e *expander) operation(name string) (string, error) {
	value, set := e.lookup(name)
	rest := e.src[e.pos:]
	switch {
	case rest == "" || rest[0] == '}':
		return value, nil
	case strings.HasPrefix(rest, ":-"):
		e.pos += 2
		return e.fallback(value, value != "")
	case rest[0] == '-':
		e.pos++
		return e.fallback(value, set)
	case rest[0] == ':':
		e.pos++
		return e.slice(name, value)
	case rest[0] == '?':
		e.pos++
		message, err := e.text(true)
		if err == nil && !set {
			if message == "" {
				message = "not set"
			}
			err = fmt.Errorf("$%s: %s", name, message)
		}
		return value, err
	}
	return "", fmt.Errorf("${%s is followed by %q; want }, :-, -, : or ?", name, firstRune(rest))
}

// fallback reads the default, and returns the value when it is to be used.
func (e *expander) fallback(value string, use bool) (string, error) {
	other, err := e.text(true)
	if err != nil || !use {
		return other, err
	}
	return value, nil
}

// slice returns a part of value. Negative numbers count from its end, and
// what lies outside is cut off.
func (e *expander) slice(name, value string) (string, error) {
	body, _, _ := strings.Cut(e.src[e.pos:], "}")
	e.pos += len(body)
	offset, length, hasLength := strings.Cut(body, ":")
	from, err := strconv.Atoi(strings.TrimSpace(offset))
	if err != nil {
		return "", fmt.Errorf("${%s:%s}: the offset is no number", name, body)
	}
	from = position(from, 0, len(value))
	if !hasLength {
		return value[from:], nil
	}
	n, err := strconv.Atoi(strings.TrimSpace(length))
	if err != nil {
		return "", fmt.Errorf("${%s:%s}: the length is no number", name, body)
	}
	if n >= 0 {
		return value[from : from+min(n, len(value)-from)], nil
	}
	return value[from:position(n, from, len(value))], nil
}

// position counts i from the end when it is negative, within low and high.
func position(i, low, high int) int {
	if i < 0 {
		i += high
	}
	return min(max(i, low), high)
}

// name reads a variable's name: a letter, then letters, digits, underscores.
func (e *expander) name() (string, error) {
	rest := e.src[e.pos:]
	if c := firstRune(rest); !unicode.IsLetter(c) {
		return "", fmt.Errorf("$ is followed by %q; a variable begins with a letter, and $$ is a dollar sign", c)
	}
	n := strings.IndexFunc(rest, func(c rune) bool {
		return !unicode.IsLetter(c) && !unicode.IsNumber(c) && c != '_'
	})
	if n < 0 {
		n = len(rest)
	}
	e.pos += n
	return rest[:n], nil
}

// firstRune returns the first character, or U+FFFD when there is none.
func firstRune(s string) rune {
	c, _ := utf8.DecodeRuneInString(s)
	return c
}

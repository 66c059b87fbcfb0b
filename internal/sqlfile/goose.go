package sqlfile

import (
	"bytes"
	"strings"

	"github.com/rowhouse/rowhouse/internal/sqltext"
)

// gooseMarker is what makes a comment line an annotation.
const gooseMarker = "+goose"

// gooseAnnotation returns the words of an annotation line. As goose does, it
// takes the marker anywhere in a comment line.
func gooseAnnotation(line string) (string, bool) {
	line = strings.TrimSpace(line)
	if !strings.HasPrefix(line, "--") || !strings.Contains(line, gooseMarker) {
		return "", false
	}
	words := strings.Replace(strings.ReplaceAll(line, "--", ""), gooseMarker, "", 1)
	return strings.TrimSpace(words), true
}

// section is a part of a goose file.
type section uint8

const (
	beforeUp section = iota
	inUp
	inDown
	sections
)

// gooseParser reads a goose file line by line.
//
// goose itself cuts where a line ends in a semicolon outside of StatementBegin
// and StatementEnd. Here the annotations only divide the file, and
// sqltext.Split cuts. The result is the same for every file that goose runs,
// but for these, where goose sends something broken or more than one statement
// and the lexer is right: a semicolon at the end of a line within a string, a
// dollar quote or a block comment; several statements on one line; a last
// statement without a semicolon, which goose refuses.
type gooseParser struct {
	r    *reader
	file string
	line int

	text    [sections]bytes.Buffer // one newline for each line of the file
	blocks  [sections][]span
	section section

	block     int // line of the open StatementBegin, or 0
	blockAt   int // its offset
	noTx      bool
	envsub    bool
	expanded  bool // some line was
	statement bool // goose's buffer is not empty
}

// goose reads a file in goose's format. Both scripts are nil when the file has
// problems; down is nil too when the file has no Down.
func (r *reader) goose(file, text string) (up, down *Script) {
	before := len(*r.probs)
	p := &gooseParser{r: r, file: file}
	p.noTx = r.ownAnnotation(file, text)
	for line := range strings.Lines(text) {
		p.line++
		p.take(strings.TrimRight(line, "\r\n"))
	}
	p.finish()
	if len(*r.probs) > before {
		return nil, nil
	}
	up = p.script(inUp)
	if p.section == inDown {
		down = p.script(inDown)
	}
	return up, down
}

func (p *gooseParser) problem(line int, format string, args ...any) {
	p.r.probs.addf(p.file, line, ErrAnnotation, format, args...)
}

// take reads one line.
func (p *gooseParser) take(line string) {
	words, ok := gooseAnnotation(line)
	if !ok {
		p.write(line)
		return
	}
	if strings.TrimLeft(line, " \t") != line {
		p.problem(p.line, "the line begins with whitespace; goose wants annotations at its very beginning")
	}
	end := ""
	switch strings.ToLower(words) {
	case "up":
		p.up()
	case "down":
		p.down()
	case "statementbegin":
		p.blockBegin()
	case "statementend":
		end = p.blockEnd()
	case "no transaction":
		p.noTx = true
	case "envsub on":
		p.envsub = true
		if p.r.cfg.lookup == nil {
			p.r.probs.addf(p.file, p.line, ErrEnvsub, "the file wants variables and there is no place to take them from; set a lookup")
		}
	case "envsub off":
		p.envsub = false
	default:
		p.problem(p.line, "%q is unknown; there are Up, Down, StatementBegin, StatementEnd, NO TRANSACTION, ENVSUB ON and ENVSUB OFF", words)
	}
	p.put(end)
}

func (p *gooseParser) up() {
	if p.section != beforeUp {
		p.problem(p.line, "second \"-- +goose Up\"; a file has one, before its Down")
		return
	}
	p.section = inUp
}

func (p *gooseParser) down() {
	switch {
	case p.section == beforeUp:
		p.problem(p.line, "\"-- +goose Down\" before \"-- +goose Up\"")
	case p.section == inDown:
		p.problem(p.line, "second \"-- +goose Down\"")
	case p.block > 0:
		p.problem(p.block, "StatementBegin without StatementEnd before \"-- +goose Down\"")
	}
	p.section, p.block, p.statement = inDown, 0, false
}

func (p *gooseParser) blockBegin() {
	switch {
	case p.section == beforeUp:
		p.problem(p.line, "StatementBegin before \"-- +goose Up\"")
	case p.block > 0:
		p.problem(p.line, "StatementBegin inside the one of line %d, which has no StatementEnd", p.block)
	}
	p.block, p.blockAt = p.line, p.text[p.section].Len()
}

// blockEnd returns what stands in the annotation's place: a semicolon, since
// the block ends its statement whether or not there is one.
func (p *gooseParser) blockEnd() string {
	if p.block == 0 {
		p.problem(p.line, "StatementEnd without StatementBegin")
		return ""
	}
	p.blocks[p.section] = append(p.blocks[p.section], span{p.blockAt, p.text[p.section].Len()})
	p.block, p.statement = 0, false
	return ";"
}

// write adds a line to its section, expanded when ENVSUB is on. Like goose it
// expands nothing in comment lines between statements.
func (p *gooseParser) write(line string) {
	if !p.statement && (line == "" || strings.HasPrefix(strings.TrimSpace(line), "--")) {
		p.put(line)
		return
	}
	if p.envsub && p.r.cfg.lookup != nil {
		out, err := expand(line, p.r.cfg.lookup)
		if err != nil {
			p.r.probs.add(p.file, p.line, err)
		}
		line, p.expanded = out, true
	}
	p.statement = p.block > 0 || !endsStatement(line)
	p.put(line)
}

// put writes to the current section and keeps the lines of the others in step.
func (p *gooseParser) put(line string) {
	for s := range sections {
		if s == p.section {
			p.text[s].WriteString(line)
		}
		p.text[s].WriteByte('\n')
	}
}

// endsStatement is goose's rule: the last word before a comment ends in a
// semicolon.
func endsStatement(line string) bool {
	last := ""
	for word := range strings.FieldsSeq(line) {
		if strings.HasPrefix(word, "--") {
			break
		}
		last = word
	}
	return strings.HasSuffix(last, ";")
}

// finish checks what can only be told at the end of the file.
func (p *gooseParser) finish() {
	if p.block > 0 {
		p.problem(p.block, "StatementBegin without StatementEnd")
	}
	head := p.text[beforeUp].String()
	s := sqltext.NewScanner(head)
	if p.section == beforeUp {
		if strings.TrimSpace(head) == "" {
			p.r.probs.addf(p.file, 0, ErrEmpty, "the file has no \"-- +goose Up\" and no SQL")
			return
		}
		p.problem(1, "no \"-- +goose Up\" in the file")
		return
	}
	if t := s.Next(); t.Kind != sqltext.EOF {
		p.problem(lineAt(head, t.Start), "SQL before \"-- +goose Up\"; goose would not run it")
	}
}

// script builds one direction.
func (p *gooseParser) script(s section) *Script {
	text := p.text[s].String()
	if p.expanded {
		if line := loneDollar(text); line > 0 {
			p.r.probs.addf(p.file, line, ErrEnvsub, "a lone $ is left: ENVSUB makes $ of $$ and expands $tag; end ENVSUB before a dollar quote, or write $$$$")
			return nil
		}
	}
	return p.r.buildScript(scriptSource{file: p.file, text: text, noTransaction: p.noTx, blocks: p.blocks[s]})
}

// loneDollar returns the line of the first $ that is no part of a token, or 0.
func loneDollar(text string) int {
	s := sqltext.NewScanner(text)
	for {
		t := s.Next()
		switch {
		case t.Kind == sqltext.EOF || t.Kind == sqltext.Unterminated:
			return 0
		case t.Kind == sqltext.Other && s.Text(t) == "$":
			return lineAt(text, t.Start)
		}
	}
}

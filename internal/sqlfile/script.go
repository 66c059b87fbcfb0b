package sqlfile

import (
	"errors"
	"strings"

	"github.com/rowhouse/rowhouse/internal/sqltext"
)

// scriptSource is what becomes a [Script]: the text of one direction, with
// the lines of its file.
type scriptSource struct {
	file          string
	text          string
	noTransaction bool
	detect        bool   // a statement that refuses a transaction implies noTransaction
	blocks        []span // goose's StatementBegin … StatementEnd
}

// span is a range of bytes of a text.
type span struct{ start, end int }

// buildScript cuts the text into statements and settles what happens to the
// transaction control in it.
//
// rowhouse runs a script in a transaction of its own, together with the row
// that records it. BEGIN … COMMIT pairs in the file are therefore blanked out,
// and all of the file is one transaction: a single pair around it, which many
// authors write, several pairs, and what stands before, between and behind
// them. Merging pairs keeps every statement in its order and makes the file
// atomic. What it cannot keep is a statement that needs an earlier one
// committed, such as the use of an enum value that the pair before added;
// PostgreSQL refuses that, nothing is done, and the file wants
// "-- rowhouse: no transaction". Everything else that controls a transaction
// is an error.
//
// Without a transaction a pair is kept together as one message.
//
// It returns nil when there are problems.
func (r *reader) buildScript(src scriptSource) *Script {
	stmts, err := sqltext.Split(src.text)
	if err != nil {
		var at *sqltext.Error
		if errors.As(err, &at) {
			r.probs.add(src.file, at.Line, at.Err)
		}
		return nil
	}
	noTransaction := src.noTransaction
	for _, s := range stmts {
		if src.detect && sqltext.RefusesTransaction(s.SQL) {
			noTransaction = true
		}
	}
	before := len(*r.probs)
	groups := r.pairs(src, stmts, noTransaction)
	if len(*r.probs) > before {
		return nil
	}
	if noTransaction {
		out := &Script{File: src.file, NoTransaction: true}
		for _, g := range joinBlocks(groups, src.blocks) {
			out.Statements = append(out.Statements, g.message(src.text))
		}
		return out
	}
	out := &Script{File: src.file}
	for _, g := range groups {
		out.Statements = append(out.Statements, g.stmts...)
	}
	out.SQL = message(src.text, stmts, out.Statements)
	return out
}

// group is a statement, or what stands between BEGIN and COMMIT.
type group struct {
	stmts []sqltext.Statement
	pair  bool
}

// pairs groups the statements and drops BEGIN and COMMIT. It complains about
// pairs that are none, about other transaction control, and about statements
// that cannot run where they stand.
func (r *reader) pairs(src scriptSource, stmts []sqltext.Statement, noTransaction bool) []group {
	var (
		groups []group
		open   *sqltext.Statement
		pair   []sqltext.Statement
	)
	for i, s := range stmts {
		switch sqltext.ClassifyControl(s.SQL) {
		case sqltext.NoControl:
			r.checkPlace(src, s, open != nil, noTransaction)
			if open != nil {
				pair = append(pair, s)
			} else {
				groups = append(groups, group{stmts: stmts[i : i+1 : i+1]})
			}
		case sqltext.Begin:
			if open != nil {
				r.probs.addf(src.file, s.Line, ErrTransactionControl, "transaction begun again, it is open since line %d; end that one first", open.Line)
			}
			open = &stmts[i]
		case sqltext.Commit:
			if open == nil {
				r.probs.addf(src.file, s.Line, ErrTransactionControl, "%s without a BEGIN; remove it", firstWord(s))
			}
			if len(pair) > 0 {
				groups = append(groups, group{stmts: pair, pair: true})
			}
			open, pair = nil, nil
		case sqltext.OtherControl:
			r.probs.addf(src.file, s.Line, ErrTransactionControl, "%s cannot be run here, since rowhouse begins and ends the migration's transaction; only plain BEGIN and COMMIT pairs are understood", firstWord(s))
		}
	}
	if open != nil {
		r.probs.addf(src.file, open.Line, ErrTransactionControl, "transaction begun and never committed; add COMMIT or remove this line")
	}
	return groups
}

// checkPlace complains about a statement that PostgreSQL would refuse because
// of the transaction around it.
func (r *reader) checkPlace(src scriptSource, s sqltext.Statement, inPair, noTransaction bool) {
	if noTransaction && !inPair || !sqltext.RefusesTransaction(s.SQL) {
		return
	}
	what := strings.Join(sqltext.Leading(s.SQL, 3), " ")
	if inPair {
		r.probs.addf(src.file, s.Line, ErrNeedsNoTransaction, "%s stands between BEGIN and COMMIT; move it out of them", what)
		return
	}
	r.probs.addf(src.file, s.Line, ErrNeedsNoTransaction, "%s; give the file the annotation \"-- +goose NO TRANSACTION\"", what)
}

func firstWord(s sqltext.Statement) string {
	return strings.Join(sqltext.Leading(s.SQL, 1), "")
}

// joinBlocks joins the statements of each StatementBegin … StatementEnd, which
// goose sends as one message, unless one of them cannot be joined.
func joinBlocks(groups []group, blocks []span) []group {
	var out []group
	for _, b := range blocks {
		n := 0
		for n < len(groups) && groups[n].stmts[0].Offset < b.start {
			n++
		}
		out, groups = append(out, groups[:n]...), groups[n:]
		var joined group
		n = 0
		for n < len(groups) && groups[n].stmts[0].Offset < b.end {
			joined.stmts = append(joined.stmts, groups[n].stmts...)
			n++
		}
		if n > 1 && joined.joinable(groups[:n]) {
			out = append(out, joined)
		} else {
			out = append(out, groups[:n]...)
		}
		groups = groups[n:]
	}
	return append(out, groups...)
}

// joinable reports whether nothing among the parts needs a message of its own.
func (g group) joinable(parts []group) bool {
	for _, p := range parts {
		if p.pair {
			return false
		}
	}
	for _, s := range g.stmts {
		if sqltext.RefusesTransaction(s.SQL) {
			return false
		}
	}
	return true
}

// message returns the group as one statement's worth of text.
func (g group) message(text string) sqltext.Statement {
	first, last := g.stmts[0], g.stmts[len(g.stmts)-1]
	first.SQL = text[first.Offset : last.Offset+len(last.SQL)]
	return first
}

// message returns the text up to the last statement of keep, with only those
// in it, each where it was, and ready to be followed by more SQL.
func message(text string, all, keep []sqltext.Statement) string {
	if len(keep) == 0 {
		return ""
	}
	last := keep[len(keep)-1]
	out := []byte(text)
	for _, s := range all {
		if len(keep) > 0 && s.Offset == keep[0].Offset {
			keep = keep[1:]
			continue
		}
		for i := s.Offset; i < s.Offset+len(s.SQL); i++ {
			if out[i] != '\n' {
				out[i] = ' '
			}
		}
	}
	return string(out[:last.Offset+len(last.SQL)]) + ";\n"
}

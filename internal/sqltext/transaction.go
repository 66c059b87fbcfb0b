package sqltext

// Control is what a statement does to the transaction that it runs in.
type Control uint8

// The kinds of transaction control.
const (
	// NoControl is a statement that leaves the transaction alone.
	NoControl Control = iota
	// Begin is BEGIN or START TRANSACTION without any modes.
	Begin
	// Commit is COMMIT or END that starts no further transaction.
	Commit
	// OtherControl is everything else that begins, ends or divides a
	// transaction: modes, chains, ROLLBACK, savepoints, two-phase commit.
	OtherControl
)

// ClassifyControl tells what a single statement does to its transaction.
func ClassifyControl(sql string) Control {
	s := NewScanner(sql)
	first := s.Next()
	if first.Kind != Word {
		return NoControl
	}
	switch oneOf(s.Text(first), "BEGIN", "START", "COMMIT", "END", "ROLLBACK", "ABORT",
		"SAVEPOINT", "RELEASE", "PREPARE") {
	case "BEGIN":
		return s.plain(Begin)
	case "START":
		if s.is(s.Next(), "TRANSACTION") && s.Next().Kind == EOF {
			return Begin
		}
		return OtherControl
	case "COMMIT", "END":
		return s.plain(Commit)
	case "PREPARE":
		if s.is(s.Next(), "TRANSACTION") && s.Next().Kind == String {
			return OtherControl
		}
		return NoControl
	case "":
		return NoControl
	}
	return OtherControl
}

// plain returns c when nothing but noise words is left, else OtherControl.
func (s *Scanner) plain(c Control) Control {
	t := s.Next()
	if s.is(t, "WORK") || s.is(t, "TRANSACTION") {
		t = s.Next()
	}
	if c == Commit && s.is(t, "AND") && s.is(s.Next(), "NO") && s.is(s.Next(), "CHAIN") {
		t = s.Next()
	}
	if t.Kind == EOF {
		return c
	}
	return OtherControl
}

// RefusesTransaction tells whether PostgreSQL refuses to run the statement in
// a transaction block: everything CONCURRENTLY but REFRESH MATERIALIZED VIEW,
// VACUUM, REINDEX of a schema or database, CLUSTER of everything, ALTER
// SYSTEM, and what creates and drops databases and tablespaces.
//
// Statements about subscriptions depend on their options; they are not
// recognised.
func RefusesTransaction(sql string) bool {
	s := NewScanner(sql)
	first := s.Next()
	if first.Kind != Word {
		return false
	}
	switch oneOf(s.Text(first), "CREATE", "DROP", "REINDEX", "VACUUM", "CLUSTER", "ALTER") {
	case "VACUUM":
		return true
	case "CREATE", "DROP":
		return s.createRefuses()
	case "REINDEX":
		return s.reindexRefuses()
	case "CLUSTER":
		return s.clusterRefuses()
	case "ALTER":
		return s.alterRefuses()
	}
	return false
}

func (s *Scanner) createRefuses() bool {
	t := s.Next()
	if s.is(t, "UNIQUE") {
		t = s.Next()
	}
	if s.is(t, "INDEX") {
		return s.is(s.Next(), "CONCURRENTLY")
	}
	return s.is(t, "DATABASE") || s.is(t, "TABLESPACE")
}

// reindexRefuses knows both spellings: REINDEX TABLE CONCURRENTLY t and
// REINDEX (CONCURRENTLY) TABLE t.
func (s *Scanner) reindexRefuses() bool {
	t := s.Next()
	if t.Kind == LeftParen {
		for t.Kind != RightParen && t.Kind != EOF && t.Kind != Unterminated {
			if t = s.Next(); !s.is(t, "CONCURRENTLY") {
				continue
			}
			if t = s.Next(); !s.switchedOff(t) {
				return true
			}
		}
		t = s.Next()
	}
	if oneOf(s.Text(t), "SCHEMA", "DATABASE", "SYSTEM") != "" {
		return true
	}
	return s.is(s.Next(), "CONCURRENTLY")
}

// switchedOff reports whether t, behind the name of an option, disables it.
func (s *Scanner) switchedOff(t Token) bool {
	return oneOf(s.Text(t), "OFF", "FALSE") != "" || s.Text(t) == "0" ||
		t.Kind == String && oneOf(s.Text(t), "'OFF'", "'FALSE'") != ""
}

// clusterRefuses reports whether CLUSTER names no table.
func (s *Scanner) clusterRefuses() bool {
	t := s.Next()
	if t.Kind == LeftParen {
		for t.Kind != RightParen && t.Kind != EOF && t.Kind != Unterminated {
			t = s.Next()
		}
		t = s.Next()
	}
	if s.is(t, "VERBOSE") {
		t = s.Next()
	}
	return t.Kind == EOF
}

func (s *Scanner) alterRefuses() bool {
	switch t := s.Next(); oneOf(s.Text(t), "SYSTEM", "TABLE", "DATABASE") {
	case "SYSTEM":
		return true
	case "TABLE":
		return s.finds("DETACH", "CONCURRENTLY")
	case "DATABASE":
		return s.finds("SET", "TABLESPACE")
	}
	return false
}

// finds reports whether the words follow, the second anywhere behind the
// first, outside of parentheses.
func (s *Scanner) finds(first, second string) bool {
	depth, want := 0, first
	for {
		t := s.Next()
		switch {
		case t.Kind == EOF, t.Kind == Unterminated:
			return false
		case t.Kind == LeftParen:
			depth++
		case t.Kind == RightParen:
			depth--
		case depth == 0 && s.is(t, want):
			if want == second {
				return true
			}
			want = second
		}
	}
}

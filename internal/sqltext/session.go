package sqltext

import "strings"

// settingPrefix begins the names of rowhouse's own settings.
const settingPrefix = "ROWHOUSE"

// ChangesSession tells whether sql holds a statement that changes the session
// or the transaction it runs in, and which must therefore not be run through
// rowhouse: BEGIN, COMMIT, SAVEPOINT and their kin, PREPARE and DEALLOCATE,
// DISCARD, RESET, LISTEN, UNLISTEN, LOAD, DECLARE … WITH HOLD, and SET. It
// returns the keyword, for a message.
//
// Of SET three forms pass: SET CONSTRAINTS, SET TRANSACTION, and SET LOCAL of
// a setting on which the tenant's binding does not rest. Refused are role,
// session_authorization, search_path (and its spelling SET LOCAL SCHEMA), all
// that begins with rowhouse, and client_encoding (SET LOCAL NAMES) and
// standard_conforming_strings, since with them the server would read the next
// statement otherwise than this function does.
//
// When sql holds several statements each one is judged. In doubt the answer is
// yes. For a statement that passes it takes some tens of nanoseconds and no
// allocation.
//
// It is no wall: functions, procedures and DO blocks can do what it refuses
// as far as PostgreSQL's privileges let them.
func ChangesSession(sql string) (keyword string, changes bool) {
	s := NewScanner(sql)
	if kw := s.judge(s.skipOpening(s.Next())); kw != "" {
		return kw, true
	}
	if !mayHoldSeveral(sql) {
		return "", false
	}
	if kw := judgeAll(NewScanner(sql)); kw != "" {
		return kw, true
	}
	// A server on which backslashes escape in plain strings sees other
	// boundaries; who sends several statements must please both.
	if strings.IndexByte(sql, '\\') >= 0 {
		if kw := judgeAll(Scanner{src: sql, legacy: true}); kw != "" {
			return kw, true
		}
	}
	return "", false
}

// mayHoldSeveral reports whether anything but whitespace follows a semicolon.
func mayHoldSeveral(sql string) bool {
	i := strings.IndexByte(sql, ';')
	if i < 0 {
		return false
	}
	for i++; i < len(sql); i++ {
		if !isSpace(sql[i]) {
			return true
		}
	}
	return false
}

// judgeAll judges what follows each semicolon, whether or not it ends a
// statement: nothing refused may stand behind those which do not, but for the
// END of a function's body.
func judgeAll(s Scanner) string {
	var tr tracker
	for t := s.skipOpening(s.Next()); t.Kind != EOF && t.Kind != Unterminated; t = s.Next() {
		tr.step(&s, t)
		if t.Kind != Semicolon {
			continue
		}
		t = s.skipOpening(s.Next())
		wasBody := tr.inBody
		tr.step(&s, t)
		if wasBody && !tr.inBody {
			continue
		}
		if kw := s.judge(t); kw != "" {
			return kw
		}
	}
	return ""
}

// skipOpening moves past semicolons and parentheses before a statement.
func (s *Scanner) skipOpening(t Token) Token {
	for t.Kind == Semicolon || t.Kind == LeftParen {
		t = s.Next()
	}
	return t
}

// judge returns the keyword for which the statement that begins with t is
// refused, or "". The scanner itself does not move.
func (s *Scanner) judge(t Token) string {
	if t.Kind != Word {
		return ""
	}
	rest := *s
	switch kw := refusedKeyword(s.src[t.Start:t.End]); kw {
	case "SET":
		return rest.judgeSet()
	case "DECLARE":
		return rest.judgeDeclare()
	default:
		return kw
	}
}

// refusedKeyword returns w in upper case when statements that begin with it
// are refused, or some of them are.
func refusedKeyword(w string) string {
	switch len(w) {
	case 3:
		return oneOf(w, "SET", "END")
	case 4:
		return oneOf(w, "LOAD")
	case 5:
		return oneOf(w, "BEGIN", "START", "ABORT", "RESET")
	case 6:
		return oneOf(w, "COMMIT", "LISTEN")
	case 7:
		return oneOf(w, "RELEASE", "PREPARE", "DISCARD", "DECLARE")
	case 8:
		return oneOf(w, "ROLLBACK", "UNLISTEN")
	case 9:
		return oneOf(w, "SAVEPOINT")
	case 10:
		return oneOf(w, "DEALLOCATE")
	}
	return ""
}

func oneOf(w string, keywords ...string) string {
	for _, kw := range keywords {
		if equalFold(w, kw) {
			return kw
		}
	}
	return ""
}

// judgeSet reads on behind SET. The word that follows decides only with the
// one after it, since SET local.x = 1 sets a session's variable.
func (s *Scanner) judgeSet() string {
	first, second := s.Next(), s.Next()
	switch {
	case s.is(first, "LOCAL"):
		return s.judgeSetLocal(second)
	case s.is(first, "CONSTRAINTS"):
		if second.Kind >= Word && second.Kind <= UnicodeQuoted && !s.is(second, "TO") {
			return ""
		}
	case s.is(first, "TRANSACTION"):
		if oneOf(s.Text(second), "ISOLATION", "READ", "NOT", "DEFERRABLE", "SNAPSHOT") != "" {
			return ""
		}
	}
	return "SET"
}

// judgeSetLocal judges the name behind SET LOCAL. Names of settings compare
// without regard to case, in quotes too, and "a.b" in quotes is the same
// setting as a.b.
func (s *Scanner) judgeSetLocal(t Token) string {
	name := s.Text(t)
	switch t.Kind {
	case Word:
		if kw := oneOf(name, "SESSION", "SCHEMA", "NAMES"); kw != "" {
			return "SET LOCAL"
		}
		if equalFold(name, "TO") {
			return "SET"
		}
	case Quoted:
		name = name[1 : len(name)-1]
		if strings.IndexByte(name, '"') >= 0 {
			return "SET LOCAL"
		}
	case UnicodeQuoted:
		return "SET LOCAL"
	default:
		return "SET"
	}
	if boundSetting(name) {
		return "SET LOCAL"
	}
	return ""
}

// boundSetting reports whether a tenant's binding rests on the setting.
func boundSetting(name string) bool {
	if len(name) >= len(settingPrefix) && equalFold(name[:len(settingPrefix)], settingPrefix) {
		return true
	}
	return oneOf(name, "ROLE", "SESSION_AUTHORIZATION", "SEARCH_PATH",
		"CLIENT_ENCODING", "STANDARD_CONFORMING_STRINGS") != ""
}

// judgeDeclare reads on behind DECLARE, up to the cursor's query.
func (s *Scanner) judgeDeclare() string {
	var prev Token
	for {
		t := s.Next()
		switch {
		case s.is(t, "HOLD") && s.is(prev, "WITH"):
			return "DECLARE"
		case t.Kind == EOF, t.Kind == Unterminated, t.Kind == Semicolon, s.is(t, "FOR"):
			return ""
		}
		prev = t
	}
}

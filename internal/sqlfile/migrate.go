package sqlfile

import "strings"

// golangMigrate reads one file in golang-migrate's format: a script, which the
// tool sends as a single simple-protocol message. It returns nil when the file
// has problems.
func (r *reader) golangMigrate(file, text string) *Script {
	before := len(*r.probs)
	noTransaction := r.ownAnnotation(file, text)
	n := 0
	for line := range strings.Lines(text) {
		n++
		if _, ok := gooseAnnotation(line); ok {
			r.probs.addf(file, n, ErrAnnotation, "a goose annotation in a file that is named as golang-migrate names them: both halves would run; rename the file to N_name.sql")
			break
		}
	}
	if len(*r.probs) > before {
		return nil
	}
	if strings.TrimSpace(text) == "" {
		r.probs.addf(file, 0, ErrEmpty, "write the migration, or a comment which says why there is nothing to do")
		return nil
	}
	return r.buildScript(scriptSource{
		file:          file,
		text:          text,
		noTransaction: noTransaction,
		// The tool has no annotation. It sends a file of one statement
		// outside of any transaction, and with its option for several
		// statements each of them, so a file with such a statement in it is
		// one that was meant to run that way.
		detect: true,
	})
}

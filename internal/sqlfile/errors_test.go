package sqlfile

import (
	"strings"
	"testing"
)

func TestFileErrorMessage(t *testing.T) {
	t.Parallel()
	_, err := Read(dir("1_a.up.sql", "SELECT 1;\nROLLBACK;", "2_b.down.sql", "SELECT 1"))
	want := []string{
		"1_a.up.sql:2: transaction control: ROLLBACK cannot be run here",
		"2_b.down.sql: no up migration: version 2 has a down file only",
	}
	lines := strings.Split(err.Error(), "\n")
	if len(lines) != len(want) {
		t.Fatalf("%d lines in %q, want %d", len(lines), err, len(want))
	}
	for i := range want {
		if !strings.HasPrefix(lines[i], want[i]) {
			t.Errorf("line %d is %q, want it to begin with %q", i, lines[i], want[i])
		}
	}
}

func TestFormatString(t *testing.T) {
	t.Parallel()
	for f, want := range map[Format]string{Goose: "goose", GolangMigrate: "golang-migrate", 0: "Format(0)"} {
		if got := f.String(); got != want {
			t.Errorf("format %d is %q, want %q", f, got, want)
		}
	}
}

package sqltext

import "testing"

func TestClassifyControl(t *testing.T) {
	t.Parallel()
	tests := []struct {
		sql  string
		want Control
	}{
		{"BEGIN", Begin},
		{"begin work", Begin},
		{"Begin Transaction", Begin},
		{"-- a\nBEGIN /* b */", Begin},
		{"START TRANSACTION", Begin},
		{"COMMIT", Commit},
		{"commit work", Commit},
		{"COMMIT TRANSACTION", Commit},
		{"COMMIT AND NO CHAIN", Commit},
		{"COMMIT WORK AND NO CHAIN", Commit},
		{"END", Commit},
		{"end transaction", Commit},
		{"BEGIN ISOLATION LEVEL SERIALIZABLE", OtherControl},
		{"BEGIN READ ONLY", OtherControl},
		{"BEGIN WORK DEFERRABLE", OtherControl},
		{"START TRANSACTION READ WRITE", OtherControl},
		{"START", OtherControl},
		{"COMMIT AND CHAIN", OtherControl},
		{"COMMIT PREPARED 'x'", OtherControl},
		{"END AND CHAIN", OtherControl},
		{"ROLLBACK", OtherControl},
		{"ROLLBACK TO a", OtherControl},
		{"ABORT", OtherControl},
		{"SAVEPOINT a", OtherControl},
		{"RELEASE SAVEPOINT a", OtherControl},
		{"PREPARE TRANSACTION 'x'", OtherControl},
		{"PREPARE transaction AS SELECT 1", NoControl},
		{"PREPARE p AS SELECT 1", NoControl},
		{"SELECT 1", NoControl},
		{"(SELECT 1)", NoControl},
		{"\"BEGIN\"", NoControl},
		{"BEGINNING", NoControl},
		{"SET TRANSACTION READ ONLY", NoControl},
		{"", NoControl},
	}
	for _, tt := range tests {
		if got := ClassifyControl(tt.sql); got != tt.want {
			t.Errorf("ClassifyControl(%q) = %d, want %d", tt.sql, got, tt.want)
		}
	}
}

func TestRefusesTransaction(t *testing.T) {
	t.Parallel()
	tests := []struct {
		sql  string
		want bool
	}{
		{"CREATE INDEX CONCURRENTLY i ON t (a)", true},
		{"create unique index /* x */ concurrently if not exists i on t (a)", true},
		{"DROP INDEX CONCURRENTLY IF EXISTS i", true},
		{"REINDEX INDEX CONCURRENTLY i", true},
		{"REINDEX TABLE CONCURRENTLY t", true},
		{"REINDEX (CONCURRENTLY) TABLE t", true},
		{"REINDEX (VERBOSE, CONCURRENTLY TRUE) INDEX i", true},
		{"REINDEX (CONCURRENTLY off, VERBOSE) INDEX i", false},
		{"REINDEX (CONCURRENTLY 'off') INDEX i", false},
		{"REINDEX (VERBOSE) SCHEMA s", true},
		{"REINDEX DATABASE d", true},
		{"REINDEX (", false},
		{"VACUUM", true},
		{"VACUUM (ANALYZE) t", true},
		{"CLUSTER", true},
		{"CLUSTER VERBOSE", true},
		{"CLUSTER (VERBOSE)", true},
		{"CLUSTER (", true},
		{"ALTER SYSTEM SET work_mem = '1GB'", true},
		{"CREATE DATABASE d", true},
		{"DROP DATABASE IF EXISTS d", true},
		{"CREATE TABLESPACE s LOCATION '/x'", true},
		{"DROP TABLESPACE s", true},
		{"ALTER TABLE t DETACH PARTITION p CONCURRENTLY", true},
		{"ALTER TABLE IF EXISTS a.t DETACH PARTITION p CONCURRENTLY", true},
		{"ALTER DATABASE d SET TABLESPACE s", true},
		{"ALTER DATABASE d SET work_mem = '1GB'", false},
		{"ALTER TABLE t DETACH PARTITION p FINALIZE", false},
		{"ALTER TABLE t ADD CHECK (detach > concurrently)", false},
		{"ALTER TABLE t ADD COLUMN a int", false},
		{"ALTER TABLE t ADD COLUMN a text DEFAULT 'x", false},
		{"ALTER INDEX i RENAME TO concurrently", false},
		{"CREATE INDEX i ON t (a)", false},
		{"CREATE INDEX \"concurrently\" ON t (a)", false},
		{"CREATE TABLE concurrently (a int)", false},
		{"DROP INDEX i", false},
		{"DROP TABLE t", false},
		{"REINDEX TABLE t", false},
		{"CLUSTER t USING i", false},
		{"REFRESH MATERIALIZED VIEW CONCURRENTLY v", false},
		{"ANALYZE t", false},
		{"SELECT 'CREATE INDEX CONCURRENTLY'", false},
		{"\"VACUUM\"", false},
		{"", false},
	}
	for _, tt := range tests {
		if got := RefusesTransaction(tt.sql); got != tt.want {
			t.Errorf("RefusesTransaction(%q) = %v, want %v", tt.sql, got, tt.want)
		}
	}
}

// FuzzClassify holds that classification ends on any text, and that a
// statement is never both control and something that wants no transaction.
func FuzzClassify(f *testing.F) {
	for _, seed := range []string{"BEGIN", "COMMIT AND NO CHAIN", "REINDEX (CONCURRENTLY", "CLUSTER (", "ALTER TABLE t DETACH"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, sql string) {
		if ClassifyControl(sql) != NoControl && RefusesTransaction(sql) {
			t.Fatalf("%q is both", sql)
		}
	})
}

package rowhousecli

import (
	"reflect"
	"strings"
	"testing"

	"github.com/rowhouse/rowhouse/migrate"
)

func TestParseFile(t *testing.T) {
	t.Parallel()
	file, err := parseFile("dir/rowhouse.yaml", []byte(`
x: &logins [web, worker]
`))
	if err == nil || !strings.Contains(err.Error(), `dir/rowhouse.yaml:2: unknown key "x"`) {
		t.Fatalf("got %v, %v", file, err)
	}
	file, err = parseFile("dir/rowhouse.yaml", []byte(`
app: {logins: &logins [web, worker]}
app_logins: *logins
app_url: ~
migrations:
  both: {audit: a}
  tenant: {z: z, b: b}
  kinds: {big: {c: c}, small: {d: /d}}
  shared:
`))
	if err != nil {
		t.Fatal(err)
	}
	if got := file.values["app_logins"].values; !reflect.DeepEqual(got, []string{"web", "worker"}) {
		t.Errorf("app_logins are %q", got)
	}
	if _, set := file.values["app_url"]; set {
		t.Error("app_url is set to nothing, and counts")
	}
	var got []migrate.Set
	for _, s := range file.sets {
		got = append(got, s.set)
	}
	want := []migrate.Set{
		{Name: "audit", Scope: migrate.Both},
		{Name: "z", Scope: migrate.Tenant},
		{Name: "b", Scope: migrate.Tenant},
		{Name: "c", Scope: migrate.Tenant, Kind: "big"},
		{Name: "d", Scope: migrate.Tenant, Kind: "small"},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("sets are %+v, want %+v", got, want)
	}
}

func TestMigrationSets(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	file, err := parseFile(dir+"/rowhouse.yaml", []byte("migrations: {tenant: {here: ., there: "+dir+"}}"))
	if err != nil {
		t.Fatal(err)
	}
	sets, err := file.migrationSets()
	if err != nil || len(sets) != 2 || sets[0].FS == nil || sets[1].FS == nil {
		t.Fatalf("got %v, %v", sets, err)
	}
}

// FuzzParseFile: whatever is in a file, it is read or refused with its name.
func FuzzParseFile(f *testing.F) {
	for _, s := range []string{"", "migrations: {tenant: {app: m}}", "app: &a [*a]", "- x", "a: [", "app_logins: {}", "? {}\n: x", "<<: {app: 1}", "\xff", "migrations: &m {kinds: *m}"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		file, err := parseFile("rowhouse.yaml", data)
		if err != nil && !strings.HasPrefix(err.Error(), "rowhouse.yaml:") {
			t.Errorf("error without the file's name: %v", err)
		}
		if err == nil {
			for _, s := range file.sets {
				if s.dir == "" || s.line == 0 {
					t.Errorf("half a set: %+v", s)
				}
			}
		}
	})
}

package migrate

import (
	"errors"
	"testing"
	"testing/fstest"
)

func TestSetsOfOneName(t *testing.T) {
	t.Parallel()
	files := fstest.MapFS{"1_a.up.sql": {Data: []byte("CREATE TABLE a (i int);")}}
	for _, test := range []struct {
		name string
		a, b Set
		ok   bool
	}{
		{"shared and tenant", Set{Scope: Shared}, Set{Scope: Tenant}, true},
		{"tenant and shared", Set{Scope: Tenant}, Set{Scope: Shared}, true},
		{"shared and one kind", Set{Scope: Shared}, Set{Scope: Tenant, Kind: "big"}, true},
		{"shared twice", Set{Scope: Shared}, Set{Scope: Shared}, false},
		{"tenant twice", Set{Scope: Tenant}, Set{Scope: Tenant}, false},
		{"two kinds", Set{Scope: Tenant, Kind: "big"}, Set{Scope: Tenant, Kind: "small"}, false},
		{"shared and both", Set{Scope: Shared}, Set{Scope: Both}, false},
		{"both and tenant", Set{Scope: Both}, Set{Scope: Tenant}, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			test.a.Name, test.a.FS = "app", files
			test.b.Name, test.b.FS = "app", files
			read, err := readSets([]Set{test.a, test.b})
			if test.ok && (err != nil || len(read) != 2) {
				t.Fatalf("got %d sets, error %v, want both sets", len(read), err)
			}
			if !test.ok && !errors.Is(err, ErrSet) {
				t.Fatalf("got error %v, want ErrSet", err)
			}
			test.b.Name = "other"
			if _, err := readSets([]Set{test.a, test.b}); err != nil {
				t.Fatalf("with another name: %v", err)
			}
		})
	}
}

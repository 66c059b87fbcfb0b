package orm_test

import (
	"os"
	"regexp"
	"strings"
	"testing"
)

// The code in docs/orms.md is that of the files that it names.
func TestDocumentIsTrue(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile("../../docs/orms.md")
	if err != nil {
		t.Fatal(err)
	}
	blocks := regexp.MustCompile("(?s)```go\n// (\\S+)\n(.*?)```").FindAllStringSubmatch(string(page), -1)
	if len(blocks) != strings.Count(string(page), "```go") || len(blocks) < 7 {
		t.Fatalf("%d pieces of code name their file", len(blocks))
	}
	for _, block := range blocks {
		file, err := os.ReadFile(block[1])
		if err != nil {
			t.Fatal(err)
		}
		for piece := range strings.SplitSeq(block[2], "…\n") {
			if piece == "" || !strings.Contains(string(file), piece) {
				t.Errorf("%s does not have\n%s", block[1], piece)
			}
		}
	}
}

package rowhousecli

// closest returns the word that is most like s, or empty if none is like it: two
// typing errors at most, and fewer than the word has characters.
func closest(s string, words []string) string {
	best, distance := "", min(3, len(s))
	for _, w := range words {
		if d := edits(s, w); d < distance {
			best, distance = w, d
		}
	}
	return best
}

// edits counts the bytes to insert, delete or replace to make b of a
// (Levenshtein).
func edits(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := 1
			if a[i] == b[j] {
				cost = 0
			}
			diagonal, row[j+1] = row[j+1], min(diagonal+cost, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}

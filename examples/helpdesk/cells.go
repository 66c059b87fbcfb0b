package helpdesk

import (
	"database/sql/driver"
	"encoding/json"
	"fmt"
	"time"
)

// cellLength is how many characters of a value are shown.
const cellLength = 120

// cells are the values of a row as text.
func cells(values []any) []string {
	texts := make([]string, len(values))
	for i, v := range values {
		texts[i] = shorten(cell(v))
	}
	return texts
}

// cell is a value as text, whatever its type.
func cell(v any) string {
	switch v := v.(type) {
	case nil:
		return "NULL"
	case string:
		return v
	case []byte:
		return fmt.Sprintf(`\x%x`, v)
	case [16]byte: // a UUID
		return fmt.Sprintf("%x-%x-%x-%x-%x", v[:4], v[4:6], v[6:8], v[8:10], v[10:])
	case time.Time:
		return v.UTC().Format("2006-01-02 15:04:05")
	case driver.Valuer: // most types that Go has not
		if plain, err := v.Value(); err == nil {
			return fmt.Sprint(plain)
		}
	case map[string]any, []any: // JSON and arrays
		if encoded, err := json.Marshal(v); err == nil {
			return string(encoded)
		}
	}
	return fmt.Sprint(v)
}

func shorten(s string) string {
	n := 0
	for i := range s {
		if n == cellLength {
			return s[:i] + "…"
		}
		n++
	}
	return s
}

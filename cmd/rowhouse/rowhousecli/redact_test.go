package rowhousecli

import (
	"net/url"
	"strings"
	"testing"
)

func TestRedact(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"nothing here":                      "nothing here",
		"postgres://u@h/db":                 "postgres://u@h/db",
		"postgres://u:geheim@h/db":          "postgres://u:xxxxx@h/db",
		`in -d=POSTGRESQL://u:ge"h@im@h/db`: "in -d=POSTGRESQL://u:xxxxx@h/db",
		"postgres://u@x:geheim@h/db":        "postgres://u@x:xxxxx@h/db",
		"host=h password=geheim dbname=d":   "host=h password=xxxxx dbname=d",
		"host=h password = 'ge h\\'eim' x":  "host=h password = xxxxx x",
		`password=ge\ heim dbname=d`:        "password=xxxxx dbname=d",
		"sslpassword=geheim":                "sslpassword=xxxxx",
	} {
		if got := redact(in); got != want {
			t.Errorf("redact(%q) = %q, want %q", in, got, want)
		}
	}
}

func TestDisplay(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"":                             "",
		"postgres://u:geheim@h:1/db":   "postgres://u:xxxxx@h:1/db",
		"postgres://h/db?password=x":   "postgres://h/db?password=xxxxx",
		"postgres://u:1?geheim@h/db":   "postgres://u:xxxxx@h/db",
		"postgres://u:ge/heim@h/db":    "postgres://u:xxxxx@h/db",
		"host=h password=geheim user=": "host=h password=xxxxx user=",
	} {
		if got := display(in); got != want {
			t.Errorf("display(%q) = %q, want %q", in, got, want)
		}
	}
}

func TestCheckConnection(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"postgres://u:p@h:1/db":              "",
		"postgresql:///db?host=/tmp":         "",
		"host=h user=u password='a b'":       "",
		"postgres://u:p@h:port/db":           "percent-encoded",
		"postgres://u:p@h/db?sslmode=mostly": "sslmode",
		"nonsense":                           "expected a URL such as",
		"mysql://u:p@h/db":                   "expected a URL such as",
	} {
		err := checkConnection(in)
		if want == "" && err != nil {
			t.Errorf("checkConnection(%q): %v", in, err)
		}
		if want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("checkConnection(%q) = %v, want an error with %q in it", in, err, want)
		}
	}
}

func TestImpatient(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"postgres://u:p%40@h/db":                 "postgres://u:p%40@h/db?connect_timeout=10",
		"postgres://h/db?sslmode=disable":        "postgres://h/db?connect_timeout=10&sslmode=disable",
		"postgres://h/db?connect_timeout=3":      "postgres://h/db?connect_timeout=3",
		"host=h dbname=db":                       "host=h dbname=db connect_timeout=10",
		"host=h connect_timeout=3":               "host=h connect_timeout=3",
		"postgres:///db?host=%2Ftmp%2Fx&port=12": "postgres:///db?connect_timeout=10&host=%2Ftmp%2Fx&port=12",
	} {
		if got := impatient(in); got != want {
			t.Errorf("impatient(%q) = %q, want %q", in, got, want)
		}
	}
}

// FuzzPassword: whatever is in a password, nothing of it is shown.
func FuzzPassword(f *testing.F) {
	for _, s := range []string{"", "@", ":", "/", "?", "#", "%", "%zz", " ", "\n", "'", `\`, "1?", "1/", "1#", "@h/db?x=", "]", "&password="} {
		f.Add(s)
	}
	const mark = "Qz9x7"
	f.Fuzz(func(t *testing.T, s string) {
		password := mark + s + mark
		for _, conn := range []string{
			"postgres://me:" + password + "@h/db",
			"postgres://me:1" + s + mark + "@h/db",
			"postgres://me:" + url.QueryEscape(password) + "@h/db?sslmode=mostly",
			"host=h password='" + strings.NewReplacer(`\`, `\\`, `'`, `\'`).Replace(password) + "' sslmode=mostly",
		} {
			shown := display(conn)
			if err := checkConnection(conn); err != nil {
				shown += err.Error()
			}
			shown += redact("unknown command " + conn)
			if strings.Contains(shown, mark) {
				t.Errorf("%q: the password is in %q", conn, shown)
			}
		}
	})
}

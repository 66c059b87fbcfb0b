package main

import (
	"bytes"
	"net"
	"strings"
	"testing"
)

func TestParse(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		args     []string
		env      map[string]string
		addr     string
		problems string
	}{
		"nothing":               {nil, nil, "", ""},
		"flag":                  {[]string{"-port", "9000"}, nil, "127.0.0.1:9000", ""},
		"environment":           {nil, map[string]string{"PORT": "9001"}, "127.0.0.1:9001", ""},
		"flag over environment": {[]string{"-port=9000"}, map[string]string{"PORT": "9001"}, "127.0.0.1:9000", ""},
		"bad flag value":        {[]string{"-port", "http"}, nil, "", `-port is "http"`},
		"bad environment":       {nil, map[string]string{"PORT": "70000"}, "", `PORT is "70000"`},
		"unknown flag":          {[]string{"-prot", "1"}, nil, "", "not defined"},
		"argument":              {[]string{"9000"}, nil, "", `unexpected argument "9000"`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var stderr bytes.Buffer
			cfg, err := parse(test.args, func(key string) string { return test.env[key] }, &stderr)
			if (err != nil) != (test.problems != "") || !strings.Contains(stderr.String(), test.problems) {
				t.Fatalf("error is %v with %q, want %q", err, stderr.String(), test.problems)
			}
			if err == nil && cfg.Addr != test.addr {
				t.Errorf("address is %q, want %q", cfg.Addr, test.addr)
			}
		})
	}
}

func TestRunExitCodes(t *testing.T) {
	t.Parallel()
	busy, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { busy.Close() })
	_, port, _ := net.SplitHostPort(busy.Addr().String())
	noEnv := func(string) string { return "" }
	for name, test := range map[string]struct {
		args []string
		code int
		text string
	}{
		"help":      {[]string{"-help"}, 0, "-port"},
		"usage":     {[]string{"-port", "x"}, exitUsage, "choose a number"},
		"busy port": {[]string{"-port", port}, exitFailed, "choose another port with -port or PORT"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var stdout, stderr bytes.Buffer
			if code := run(t.Context(), test.args, noEnv, &stdout, &stderr); code != test.code {
				t.Errorf("exit code is %d, want %d", code, test.code)
			}
			if !strings.Contains(stderr.String(), test.text) || stdout.Len() > 0 {
				t.Errorf("stderr has %q, stdout %q, want %q on stderr", stderr.String(), stdout.String(), test.text)
			}
		})
	}
}

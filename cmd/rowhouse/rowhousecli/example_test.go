package rowhousecli_test

import (
	"context"
	"fmt"
	"os"
	"strings"

	"github.com/rowhouse/rowhouse/cmd/rowhouse/rowhousecli"
)

// An application gives the commands its own name, version and migration sets. Its
// main function takes the arguments and streams of the process.
func ExampleRun() {
	app := rowhousecli.App{Name: "myapp", Version: "v1.0.0"}
	code := rowhousecli.Run(context.Background(), app, []string{"tenant", "list", "--database-url", "oops"},
		strings.NewReader(""), os.Stdout, os.Stdout)
	fmt.Println("exit code", code)
	// Output:
	// error: database_url from --database-url: not a connection string: expected a URL such as postgres://user@host:5432/database, or key=value pairs
	// exit code 2
}

package helpdesk_test

import (
	"context"
	"fmt"
	"log"
	"strings"

	"github.com/rowhouse/rowhouse/embedded"
	"github.com/rowhouse/rowhouse/examples/helpdesk"
)

func ExampleRun() {
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	server, err := embedded.Start(ctx, embedded.Config{})
	if err != nil {
		log.Fatal(err)
	}
	defer server.Stop(context.WithoutCancel(ctx))

	err = helpdesk.Run(ctx, helpdesk.Config{
		DatabaseURL: server.URL("postgres"),
		Addr:        "127.0.0.1:0",
		Ready: func(url string) {
			fmt.Println(strings.HasPrefix(url, "http://localhost:"))
			stop() // a program would wait for Ctrl-C
		},
	})
	fmt.Println(err)
	// Output:
	// true
	// <nil>
}

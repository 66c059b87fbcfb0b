// Command quickstart is the program of the README: notes for several tenants.
//
// Create a tenant with the command-line tool, then start it:
//
//	export DATABASE_URL=postgres://…
//	rowhouse --config examples/quickstart/rowhouse.yaml tenant create --name Acme --schema acme --domain acme.localhost
//	go run ./examples/quickstart
//	curl -d 'buy milk' acme.localhost:8080
package main

import (
	"context"
	"fmt"
	"io"
	"log"
	"net/http"
	"os"

	"github.com/rowhouse/rowhouse"
	"github.com/rowhouse/rowhouse/tenanthttp"
)

func main() {
	db, err := rowhouse.Open(context.Background(), rowhouse.Config{DatabaseURL: os.Getenv("DATABASE_URL")})
	if err != nil {
		log.Fatal(err)
	}
	tenants, err := tenanthttp.New(db, tenanthttp.Config{})
	if err != nil {
		log.Fatal(err)
	}
	log.Fatal(http.ListenAndServe("localhost:8080", tenants(notes(db))))
}

// notes never mentions a tenant: r.Context() carries it.
func notes(db *rowhouse.DB) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		text, _ := io.ReadAll(http.MaxBytesReader(w, r.Body, 1000))
		if _, err := db.Exec(r.Context(), "INSERT INTO notes (text) VALUES ($1)", string(text)); err != nil {
			http.Error(w, "not saved", http.StatusInternalServerError)
			return
		}
		var n int
		if err := db.QueryRow(r.Context(), "SELECT count(*) FROM notes").Scan(&n); err != nil {
			http.Error(w, "not read", http.StatusInternalServerError)
			return
		}
		fmt.Fprintln(w, "notes:", n)
	})
}

package tenanthttp_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"net/http"
	"net/http/httptest"

	"github.com/rowhouse/rowhouse"
	"github.com/rowhouse/rowhouse/admin"
	"github.com/rowhouse/rowhouse/embedded"
	"github.com/rowhouse/rowhouse/tenanthttp"
)

func Example() {
	ctx := context.Background()
	server, err := embedded.Start(ctx, embedded.Config{})
	if err != nil {
		log.Fatal(err)
	}
	defer server.Stop(ctx)
	url := server.URL("postgres")
	if err := createAcme(ctx, url); err != nil {
		log.Fatal(err)
	}
	db, err := rowhouse.Open(ctx, rowhouse.Config{DatabaseURL: url})
	if err != nil {
		log.Fatal(err)
	}
	defer db.Close()

	// The handler never mentions a tenant: r.Context() carries it.
	app := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var schema string
		if err := db.QueryRow(r.Context(), "SELECT current_schema()").Scan(&schema); err != nil {
			tenanthttp.Error(w, r, err)
			return
		}
		fmt.Fprintf(w, "this is %s", schema)
	})
	tenants, err := tenanthttp.New(db, tenanthttp.Config{})
	if err != nil {
		log.Fatal(err)
	}
	handler := tenants(app) // for http.ListenAndServe

	for _, host := range []string{"acme.example.com:8080", "nobody.example.com"} {
		r := httptest.NewRequest(http.MethodGet, "http://"+host+"/", nil)
		w := httptest.NewRecorder()
		handler.ServeHTTP(w, r)
		fmt.Println(w.Code, w.Body)
	}
	// Output:
	// 200 this is acme
	// 404 {"type":"about:blank","title":"Not Found","status":404,"detail":"There is no site at this address."}
}

func createAcme(ctx context.Context, url string) error {
	operator, err := admin.Open(ctx, admin.Config{DatabaseURL: url})
	if err != nil {
		return err
	}
	defer operator.Close()
	_, err = operator.Create(ctx, admin.CreateParams{Name: "Acme", Schema: "acme", Domains: []string{"acme.example.com"}})
	return err
}

func ExampleConfig_validate() {
	cfg := tenanthttp.Config{
		Validate: func(r *http.Request, t *rowhouse.Tenant) error {
			var fields struct{ Paid bool }
			if err := t.DecodeMetadata(&fields); err != nil {
				return err
			}
			if !fields.Paid {
				return &tenanthttp.Refusal{Status: http.StatusPaymentRequired, Detail: "Your trial has ended."}
			}
			return nil
		},
	}
	err := cfg.Validate(httptest.NewRequest(http.MethodGet, "/", nil), &rowhouse.Tenant{Metadata: []byte(`{"paid": false}`)})
	var refusal *tenanthttp.Refusal
	fmt.Println(errors.As(err, &refusal), refusal.Status)
	// Output: true 402
}

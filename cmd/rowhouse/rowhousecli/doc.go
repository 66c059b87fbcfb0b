// Package rowhousecli is the command line of rowhouse, for an application to
// embed as its own: with the application's migration sets compiled in, one binary
// serves and looks after its fleet.
//
//	func main() {
//		ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
//		defer stop()
//		app := rowhousecli.App{Name: "myapp", Sets: sets}
//		os.Exit(rowhousecli.Run(ctx, app, os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
//	}
//
// An application with a cobra tree of its own hangs [Command] into it and runs
// the tree with [Execute].
//
// # Settings
//
// A setting comes from its flag, else from its environment variable, else from
// the configuration file, else it has a default. The command "config" prints each
// with its source.
//
//	flag             environment             file            default
//	--database-url   DATABASE_URL            database_url    none
//	--app-url        ROWHOUSE_APP_URL        app_url         the database URL
//	--app-login      ROWHOUSE_APP_LOGINS     app_logins      the login of the app URL, if there is one
//	--shared-schema  ROWHOUSE_SHARED_SCHEMA  shared_schema   "public"
//	--isolation      ROWHOUSE_ISOLATION      isolation       "roles"
//	--output         ROWHOUSE_OUTPUT         output          "table"
//	--config         ROWHOUSE_CONFIG                         rowhouse.yaml, if it exists
//
// An empty variable counts as not set; an empty flag is an error.
//
// The database URL is the operator's, the app URL the application's. Commands that
// work as a tenant use the latter; "migrate", and every other command that changes
// something, lets its login serve. Without an app URL there is one login for both.
//
// # The configuration file
//
// The file is YAML. Unknown keys are errors. Directories are relative to the
// file, and migration sets run in the order in which they stand there, after
// those of [App].
//
//	database_url: postgres://operator@db.internal/app
//	app_logins: [web]
//	migrations:
//	  shared:
//	    app: migrations/shared        # the shared schema
//	  tenant:
//	    app: migrations/tenant        # every tenant
//	  kinds:
//	    enterprise:
//	      reports: migrations/reports # tenants of kind "enterprise"
//	  both:
//	    audit: migrations/audit       # the shared schema and every tenant
//	app:                              # the application's own; not looked at
//	  theme: dark
//
// # Output
//
// Results go to the standard output, as a table or as JSON with the same fields;
// everything else goes to the standard error. Commands that only read (tenant
// list and show, domain list, limits list and show, migrate with --plan or --check) never make or
// upgrade a catalog. The exit codes are the constants [ExitDone] to
// [ExitInterrupted].
//
// Begin reading at [Command]; settings.go says where a value comes from,
// session.go how a command reaches the database, errors.go what is printed when
// it fails.
package rowhousecli

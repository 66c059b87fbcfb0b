package test

import (
	"bytes"
	"context"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"github.com/rowhouse/rowhouse/embedded"
	"github.com/rowhouse/rowhouse/examples/helpdesk"
)

// startDesk serves the help desk on a temporary PostgreSQL and returns the address
// of the public site.
func startDesk(t *testing.T) string {
	t.Helper()
	server, err := embedded.Start(t.Context(), embedded.Config{})
	if err != nil {
		t.Fatalf("this test needs PostgreSQL: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ready, ended := make(chan string, 1), make(chan error, 1)
	var log bytes.Buffer
	go func() {
		ended <- helpdesk.Run(ctx, helpdesk.Config{
			DatabaseURL: server.URL("postgres"), Addr: "127.0.0.1:0", Stderr: &log, Ready: func(url string) { ready <- url },
		})
	}()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("the help desk ended with %v", err)
		}
		if t.Failed() {
			t.Log(log.String())
		}
		grace, stop := context.WithTimeout(context.Background(), time.Minute)
		defer stop()
		if err := server.Stop(grace); err != nil {
			t.Error(err)
		}
	})
	select {
	case url := <-ready:
		return url
	case err := <-ended:
		ended <- err
		t.Fatalf("the help desk does not start: %v\n%s", err, log.String())
	}
	return ""
}

// TestSignUpInBrowser is a visitor's way from the public site to a ticket at a
// desk of its own, and against the wall.
func TestSignUpInBrowser(t *testing.T) {
	t.Parallel()
	public := startDesk(t)
	b := openBrowser(t)

	b.load(200, chromedp.Navigate(public))
	b.shoot("1-home")
	b.load(200, chromedp.Click("a.big.primary"))

	// What is wrong is shown beside its field, and what was typed stays.
	b.do(chromedp.SendKeys("#name", "Globex"))
	b.load(422, chromedp.Click("form button"))
	b.want("#schema-error", "Another company has this schema name already.")
	b.wantValue("#name", "Globex")
	b.shoot("2-signup-taken")

	// The page suggests address and schema.
	b.load(200, chromedp.Navigate(public+"/signup"))
	b.do(chromedp.SendKeys("#name", "Umbrella Repairs"), chromedp.Click(`label[data-accent="rose"]`))
	b.wantValue("#address", "umbrella-repairs")
	b.wantValue("#schema", "umbrella_repairs")
	b.shoot("3-signup")

	b.load(200, chromedp.Click("form button"))
	if at, want := ask(b, chromedp.Location()), desk(public, "umbrella-repairs")+"/"; at != want {
		t.Errorf("after signing up the browser is at %s, want %s", at, want)
	}
	b.want(".brand-name", "Umbrella Repairs")
	b.shoot("4-new-desk")
	fileTicket(b)
	breakIn(b)

	b.load(200, chromedp.Navigate(desk(public, "acme")))
	b.wantNot("main", "awning")
	b.shoot("8-acme")
	b.load(200, chromedp.Click(".list tr:nth-child(3) .subject a"))
	b.shoot("9-acme-ticket")
	b.load(200, chromedp.Click(`a[href="/plan"]`))
	b.shoot("10-plan")
	b.load(404, chromedp.Navigate(desk(public, "nobody")))
	b.want(".problem h1", "Nobody lives here")
	b.shoot("11-nobody")
}

// fileTicket files a ticket at a desk that has none, and answers it.
func fileTicket(b *browser) {
	b.t.Helper()
	b.load(200, chromedp.Click(".empty a.button"))
	b.do(
		chromedp.SendKeys("#subject", "The awning opens when it should close"),
		chromedp.SendKeys("#body", "Since the storm.\nIt does close when it should open."),
		chromedp.SendKeys("#requester", "Front desk"),
	)
	b.shoot("5-new-ticket")
	b.load(200, chromedp.Click("form button"))
	b.want("h1", "The awning opens when it should close")
	b.do(chromedp.SendKeys("#body", "The motor was connected the wrong way round."), chromedp.SetValue("#status", "solved"))
	b.load(200, chromedp.Click("form button"))
	b.want(".say.ours", "The motor was connected the wrong way round.")
	b.want(".facts .pill", "solved")
	b.shoot("6-ticket")
}

// breakIn tries to read another company's tickets, and then its own.
func breakIn(b *browser) {
	b.t.Helper()
	b.load(200, chromedp.Click(`a[href="/break-in"]`))
	b.load(200, chromedp.Click(`button[value="read"]`))
	b.want(".outcome .code", "SQLSTATE 42501")
	b.want(".outcome .message", "permission denied for schema acme")
	b.shoot("7-break-in")
	b.load(200, chromedp.Click(`button[value="own"]`))
	b.want(".outcome.ran .rows tbody", "The awning opens")
	b.shoot("7-break-in-own")
}

// desk is the address of a company's desk.
func desk(public, company string) string {
	return strings.Replace(public, "localhost", company+".localhost", 1)
}

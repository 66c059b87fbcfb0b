package test

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
)

// screenshotsVariable is the environment variable with the directory that
// screenshots are kept in. Not set, they go away with the test.
const screenshotsVariable = "ROWHOUSE_SCREENSHOTS"

// browserTime is how long a test may use its browser.
const browserTime = 3 * time.Minute

// browser is a tab of a headless Chromium of the test's own.
type browser struct {
	t   *testing.T
	ctx context.Context
	dir string // of the screenshots
}

// openBrowser starts Chromium. A machine without it fails the test.
func openBrowser(t *testing.T) *browser {
	t.Helper()
	program, err := findChromium()
	if err != nil {
		t.Fatalf("this test needs Chromium: %v", err)
	}
	dir := os.Getenv(screenshotsVariable)
	if dir == "" {
		dir = t.TempDir()
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	options := append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.ExecPath(program),
		chromedp.UserDataDir(t.TempDir()),
		chromedp.NoFirstRun,
		chromedp.Flag("disable-quic", true),
		chromedp.Flag("disable-component-update", true),
		chromedp.Flag("disable-sync", true),
		chromedp.Flag("disable-background-networking", true),
		chromedp.Flag("no-proxy-server", true), // all that it visits is on this machine
		chromedp.WSURLReadTimeout(time.Minute),
	)
	if os.Geteuid() == 0 {
		options = append(options, chromedp.NoSandbox)
	}
	ctx, cancel := chromedp.NewExecAllocator(t.Context(), options...)
	t.Cleanup(cancel)
	b := &browser{t: t, dir: dir}
	b.ctx, cancel = chromedp.NewContext(ctx, chromedp.WithListener(b.watch))
	t.Cleanup(cancel)
	b.do() // starts it
	b.ctx, cancel = context.WithTimeout(b.ctx, browserTime)
	t.Cleanup(cancel)
	return b
}

func findChromium() (string, error) {
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome", "/Applications/Chromium.app/Contents/MacOS/Chromium", "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome"} {
		if program, err := exec.LookPath(name); err == nil {
			return program, nil
		}
	}
	return "", errors.New(`no chromium in PATH: install it, on Debian with "apt-get install chromium"`)
}

// watch fails the test for what a developer would see in the console: scripts
// that throw, and what the content security policy forbids.
func (b *browser) watch(event any) {
	switch event := event.(type) {
	case *runtime.EventExceptionThrown:
		b.t.Errorf("exception in a script: %s", event.ExceptionDetails.Text)
	case *log.EventEntryAdded:
		if e := event.Entry; e.Source == log.EntrySourceSecurity || e.Source == log.EntrySourceJavascript {
			b.t.Errorf("the browser complains: %s", e.Text)
		}
	}
}

// do runs what needs no answer.
func (b *browser) do(steps ...chromedp.Action[chromedp.Void]) {
	b.t.Helper()
	if err := chromedp.Do(b.ctx, steps...); err != nil {
		b.t.Fatal(err)
	}
}

// load runs what loads a page, and fails the test if the page has another status.
func (b *browser) load(status int64, steps ...chromedp.Action[chromedp.Void]) {
	b.t.Helper()
	res, err := chromedp.RunResponse(b.ctx, steps...)
	if err != nil {
		b.t.Fatal(err)
	}
	if res.Status != status {
		b.t.Fatalf("%s answers %d, want %d", res.URL, res.Status, status)
	}
}

// ask runs an action for its answer.
func ask[T any](b *browser, action chromedp.Action[T]) T {
	b.t.Helper()
	answer, err := chromedp.Run(b.ctx, action)
	if err != nil {
		b.t.Fatal(err)
	}
	return answer
}

// shoot keeps screenshots of the page: whole, at a desk and on a phone, by day and
// by night. A page that is wider than its screen fails the test.
func (b *browser) shoot(name string) {
	b.t.Helper()
	for _, look := range []struct {
		name, scheme  string
		width, height int64
		options       []chromedp.EmulateViewportOption
	}{
		{"desktop", "light", 1280, 860, nil},
		{"desktop-dark", "dark", 1280, 860, nil},
		{"phone", "light", 390, 844, []chromedp.EmulateViewportOption{chromedp.EmulateMobile, chromedp.EmulatePortrait, chromedp.EmulateScale(2)}},
	} {
		b.do(chromedp.EmulateViewport(look.width, look.height, look.options...))
		b.scheme(look.scheme)
		if width := ask(b, chromedp.Evaluate[int64]("document.documentElement.scrollWidth")); width > look.width {
			b.t.Errorf("page %s is %d pixels wide on a screen of %d", name, width, look.width)
		}
		image := ask(b, chromedp.FullScreenshot(100))
		if err := os.WriteFile(filepath.Join(b.dir, name+"-"+look.name+".png"), image, 0o644); err != nil {
			b.t.Fatal(err)
		}
	}
	b.do(chromedp.EmulateReset())
}

// scheme makes it day ("light") or night ("dark").
func (b *browser) scheme(scheme string) {
	b.t.Helper()
	_, err := chromedp.Call(b.ctx, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
		Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}},
	})
	if err != nil {
		b.t.Fatal(err)
	}
}

// want fails the test if an element does not say text, whatever its case.
func (b *browser) want(selector, text string) {
	b.t.Helper()
	if got := ask(b, chromedp.Text(selector)); !strings.Contains(strings.ToLower(got), strings.ToLower(text)) {
		b.t.Errorf("%s says %q, want %q", selector, got, text)
	}
}

func (b *browser) wantNot(selector, text string) {
	b.t.Helper()
	if got := ask(b, chromedp.Text(selector)); strings.Contains(strings.ToLower(got), strings.ToLower(text)) {
		b.t.Errorf("%s says %q, which has %q in it", selector, got, text)
	}
}

func (b *browser) wantValue(selector, value string) {
	b.t.Helper()
	if got := ask(b, chromedp.Value(selector)); got != value {
		b.t.Errorf("%s has %q in it, want %q", selector, got, value)
	}
}

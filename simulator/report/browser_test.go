package report

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	cdplog "github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	cdppage "github.com/chromedp/cdproto/page"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
)

// chromium finds a browser. Continuous integration must have one.
func chromium(t *testing.T) string {
	t.Helper()
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome"} {
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	if os.Getenv("CI") == "true" {
		t.Fatal("there is no Chromium, so nobody has looked at the HTML report; install Debian's package chromium")
	}
	t.Skip("SKIPPED: there is no Chromium, so nobody has looked at the HTML report; install Debian's package chromium")
	return ""
}

// browser is a page in a real browser. Whatever it complains about or asks the
// network for fails the test.
type browser struct {
	t   *testing.T
	ctx context.Context

	mu         sync.Mutex
	complaints []string
}

// start starts a browser; each page has a tab of its own.
func start(t *testing.T) context.Context {
	t.Helper()
	options := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath(chromium(t)), chromedp.NoSandbox,
		chromedp.DisableGPU, chromedp.UserDataDir(t.TempDir()), chromedp.WindowSize(1240, 900))
	ctx, cancel := chromedp.NewExecAllocator(t.Context(), options...)
	t.Cleanup(cancel)
	ctx, cancel = chromedp.NewContext(ctx)
	t.Cleanup(cancel)
	if err := chromedp.Do(ctx); err != nil {
		t.Fatalf("start the browser: %v", err)
	}
	return ctx
}

func open(t *testing.T, parent context.Context, name string) *browser {
	t.Helper()
	path := filepath.Join(t.TempDir(), name+".html")
	if err := os.WriteFile(path, []byte(render(t, pages(t)[name])), 0o644); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := chromedp.NewContext(parent)
	t.Cleanup(cancel)
	ctx, cancel = context.WithTimeout(ctx, 2*time.Minute)
	t.Cleanup(cancel)
	b := &browser{t: t, ctx: ctx}
	if err := chromedp.Listen(ctx, func(event any) { b.hear(event, "file://"+path) }); err != nil {
		t.Fatal(err)
	}
	command(b, network.Enable, network.EnableParams{})
	command(b, runtime.Enable, cdp.Empty{})
	command(b, cdplog.Enable, cdp.Empty{})
	b.do(chromedp.Navigate("file://"+path), chromedp.WaitReady(chromedp.CSS("footer")))
	return b
}

func (b *browser) hear(event any, self string) {
	var complaint string
	switch e := event.(type) {
	case *runtime.EventConsoleAPICalled:
		complaint = fmt.Sprintf("console.%s", e.Type)
	case *runtime.EventExceptionThrown:
		complaint = (&chromedp.ExceptionError{ExceptionDetails: e.ExceptionDetails}).Error()
	case *cdplog.EventEntryAdded:
		complaint = "log: " + e.Entry.Text
	case *cdppage.EventJavascriptDialogOpening:
		complaint = "a dialog: " + e.Message
	case *network.EventRequestWillBeSent:
		if url := e.Request.URL; url != self && url != "data:," {
			complaint = "a request for " + url
		}
	}
	if complaint != "" {
		b.mu.Lock()
		b.complaints = append(b.complaints, complaint)
		b.mu.Unlock()
	}
}

func (b *browser) do(actions ...chromedp.Action[chromedp.Void]) {
	b.t.Helper()
	if err := chromedp.Do(b.ctx, actions...); err != nil {
		b.t.Fatal(err)
	}
}

// command runs a command of the browser's protocol.
func command[P, R any](b *browser, c cdp.Command[P, R], parameters P) {
	b.t.Helper()
	if _, err := chromedp.Call(b.ctx, c, parameters); err != nil {
		b.t.Fatal(err)
	}
}

// eval evaluates an expression of the page.
func eval[T any](b *browser, expression string) T {
	b.t.Helper()
	v, err := chromedp.Run(b.ctx, chromedp.Evaluate[T](expression))
	if err != nil {
		b.t.Fatalf("%s: %v", expression, err)
	}
	return v
}

// quiet fails when the page complained.
func (b *browser) quiet() {
	b.t.Helper()
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, c := range b.complaints {
		b.t.Errorf("the browser complains: %s", c)
	}
}

// shoot keeps a picture of the whole page, for people to look at.
func (b *browser) shoot(name string) {
	b.t.Helper()
	dir := os.Getenv("HEARTBEAT_SCREENSHOTS")
	if dir == "" {
		dir = b.t.TempDir()
	}
	picture, err := chromedp.Run(b.ctx, chromedp.FullScreenshot(100))
	if err != nil {
		b.t.Fatal(err)
	}
	if !bytes.HasPrefix(picture, []byte("\x89PNG")) || len(picture) < 10_000 {
		b.t.Errorf("the picture has %d bytes", len(picture))
	}
	if err := os.WriteFile(filepath.Join(dir, name+".png"), picture, 0o644); err != nil {
		b.t.Fatal(err)
	}
}

func TestPagesInABrowser(t *testing.T) {
	ctx := start(t)
	for name := range pages(t) {
		t.Run(name, func(t *testing.T) {
			b := open(t, ctx, name)
			if name != "large" { // a table of 1000 rows says nothing new
				eval[int](b, "document.querySelectorAll('details').forEach((d) => { d.open = true; }), 1")
			}
			for _, mode := range []string{"light", "dark"} {
				command(b, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: mode}}})
				if got := eval[string](b, "heartbeatReport.theme()"); got != mode {
					t.Errorf("the system is %s, the page %s", mode, got)
				}
				b.shoot(name + "-" + mode)
			}
			if wide := eval[float64](b, "document.documentElement.scrollWidth - innerWidth"); wide > 0 {
				t.Errorf("the page is %v pixels too wide", wide)
			}
			charts := eval[int](b, "document.querySelectorAll('figure[data-chart]').length")
			if names := eval[[]string](b, "heartbeatReport.charts()"); len(names) != charts {
				t.Errorf("%d charts of %d are drawn: %v", len(names), charts, names)
			}
			if bad := eval[int](b, "[...document.querySelectorAll('svg *')].filter((e) => [...e.attributes].some((a) => /NaN|undefined|Infinity/.test(a.value))).length"); bad > 0 {
				t.Errorf("%d drawn elements have no place", bad)
			}
			if strays := eval[int](b, "document.querySelectorAll('img, iframe, object, embed').length"); strays > 0 {
				t.Errorf("%d elements came out of texts", strays)
			}
			b.do(chromedp.EmulateViewport(390, 800))
			wide := eval[float64](b, "document.documentElement.scrollWidth - 390")
			// The page draws itself anew a moment after it was made narrow.
			for deadline := time.Now().Add(20 * time.Second); wide > 0 && time.Now().Before(deadline); {
				wide = eval[float64](b, "document.documentElement.scrollWidth - 390")
			}
			if wide > 0 {
				t.Errorf("on a telephone the page is %v pixels too wide", wide)
			}
			b.quiet()
		})
	}
}

// shown is a cell as the page has it.
type shown struct {
	Node     string
	Bucket   int
	Held, Of int
	Drawn    bool // the pixel in its middle has its colour
}

// allCells reads every cell back, with whether the canvas shows it.
const allCells = `(() => {
	const canvas = document.getElementById("heat-grid"), ratio = canvas.width / canvas.clientWidth;
	const copy = document.createElement("canvas");
	copy.width = canvas.width;
	copy.height = canvas.height;
	const g = copy.getContext("2d", { willReadFrequently: true });
	g.drawImage(canvas, 0, 0);
	const pixels = g.getImageData(0, 0, copy.width, copy.height).data, colors = new Map();
	const parse = (color) => {
		if (!colors.has(color)) {
			g.fillStyle = color;
			g.fillRect(0, 0, 1, 1);
			colors.set(color, [...g.getImageData(0, 0, 1, 1).data]);
		}
		return colors.get(color);
	};
	const out = [];
	for (const node of heartbeatReport.rows()) for (let bucket = 0; heartbeatReport.cell(node, bucket); bucket++) {
		const c = heartbeatReport.cell(node, bucket);
		const at = 4 * (Math.floor((c.y + 1) * ratio) * canvas.width + Math.floor((c.x + c.width / 2) * ratio));
		out.push({ Node: node, Bucket: bucket, Held: c.held, Of: c.of, Drawn: [0, 1, 2].every((k) => pixels[at + k] === parse(c.color)[k]) });
	}
	return out;
})()`

func TestHeatmapHasTheRightCells(t *testing.T) {
	ctx := start(t)
	for _, name := range []string{"mass-crash", "frozen-minority"} {
		t.Run(name, func(t *testing.T) {
			r := sample(t, name)
			b := open(t, ctx, name)
			views := eval[[]string](b, "heartbeatReport.views()")
			if len(views) != len(r.Runs)+1 {
				t.Fatalf("the views are %v", views)
			}
			for i := range r.Runs {
				run := &r.Runs[i]
				if !eval[bool](b, fmt.Sprintf("heartbeatReport.show(%q)", fmt.Sprintf("seed %d", run.Seed))) {
					t.Fatalf("there is no view of seed %d", run.Seed)
				}
				cells := eval[[]shown](b, allCells)
				if len(cells) != run.Nodes*run.Heat.Buckets {
					t.Fatalf("%d cells, want %d times %d", len(cells), run.Nodes, run.Heat.Buckets)
				}
				for _, c := range cells {
					held, of := naive(run, c.Node, c.Bucket)
					if held == 0 {
						of = 0
					}
					if c.Held != held || c.Of != of || !c.Drawn {
						t.Fatalf("seed %d: %+v, want %d of %d, drawn", run.Seed, c, held, of)
					}
				}
				bands := eval[int](b, "document.querySelectorAll('#heat-bands .lane').length")
				if want := len(run.Bands); bands != want {
					t.Errorf("%d bands, want %d", bands, want)
				}
			}
			b.quiet()
		})
	}
}

func TestPageCanBeUsed(t *testing.T) {
	b := open(t, start(t), "mass-crash")
	background := "getComputedStyle(document.body).backgroundColor"
	before := eval[string](b, background)
	b.do(chromedp.Click(chromedp.CSS("#theme")))
	if after, name := eval[string](b, background), eval[string](b, "heartbeatReport.theme()"); after == before || name != "dark" {
		t.Errorf("the button changes %s to %s, theme %s", before, after, name)
	}
	b.do(chromedp.Click(chromedp.CSS("#theme")))
	if after := eval[string](b, background); after != before {
		t.Errorf("the button does not change back: %s", after)
	}

	b.do(chromedp.Click(chromedp.CSS("a.seed[data-seed='2']")))
	if got := eval[string](b, "heartbeatReport.view()"); got != "seed 2" {
		t.Errorf("the link to seed 2 shows %s", got)
	}
	held, of := naive(&sample(t, "mass-crash").Runs[1], "n3", 60)
	want := fmt.Sprintf("n3, 60 s to 61 s\nheld failed by %d of %d others (100 %%)\nstopped meanwhile", held, of)
	text := ""
	// The page may still be scrolling after the click.
	for deadline := time.Now().Add(20 * time.Second); text != want && time.Now().Before(deadline); {
		at := eval[[]float64](b, `(() => {
			const grid = document.getElementById("heat-grid");
			grid.scrollIntoView({ block: "center", behavior: "instant" });
			const c = heartbeatReport.cell("n3", 60), r = grid.getBoundingClientRect();
			return [r.left + c.x + c.width / 2, r.top + c.y + c.height / 2];
		})()`)
		b.do(chromedp.MouseEvent(chromedp.MouseMoved, at[0], at[1]))
		text = eval[string](b, "document.getElementById('tip').hidden ? '' : document.getElementById('tip').textContent")
	}
	if text != want {
		t.Errorf("the tooltip says %q, want %q", text, want)
	}

	b.do(chromedp.Focus(chromedp.CSS("#heat-grid")), chromedp.KeyEvent(kb.ArrowRight), chromedp.KeyEvent(kb.ArrowRight))
	if text := eval[string](b, "document.getElementById('heat-live').textContent"); !strings.HasPrefix(text, "n1, 1 s to 2 s") {
		t.Errorf("the arrow keys lead to %q", text)
	}

	line := "document.querySelector('figure[data-chart=detection] path[data-line]').getAttribute('d')"
	linear := eval[string](b, line)
	b.do(chromedp.Click(chromedp.CSS("figure[data-chart=detection] button")))
	if logarithmic := eval[string](b, line); logarithmic == linear || linear == "" {
		t.Errorf("the scale's button changes nothing: %q", linear)
	}
	if rows := eval[[]string](b, "heartbeatReport.rows()"); !slices.Contains(rows, "n12") || rows[1] != "n2" {
		t.Errorf("the rows are %v", rows)
	}
	b.quiet()
}

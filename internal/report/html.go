package report

import (
	"bytes"
	"embed"
	"fmt"
	"html/template"
	"io"
	"math"
	"strconv"
	"strings"
)

//go:embed page
var pages embed.FS

// HTML writes the report as one page that needs nothing else: styles and
// charts are in it, there is no script. It prints on A4.
func HTML(w io.Writer, in Input) error {
	return render(w, "report.html", in.view())
}

// render executes a page into memory first, so that a broken one is not
// written in half.
func render(w io.Writer, name string, data any) error {
	css, err := pages.ReadFile("page/report.css")
	if err != nil {
		return fmt.Errorf("reading styles: %w", err)
	}
	t, err := template.New(name).Funcs(template.FuncMap{
		"css":   func() template.CSS { return template.CSS(css) },
		"chart": chart,
		"trend": trendChart,
		"dict":  func(v view, f findingView) findingPage { return findingPage{v, f} },
	}).Option("missingkey=error").ParseFS(pages, "page/*.html")
	if err != nil {
		return fmt.Errorf("parsing page %q: %w", name, err)
	}
	var b bytes.Buffer
	if err := t.ExecuteTemplate(&b, name, data); err != nil {
		return fmt.Errorf("writing page %q: %w", name, err)
	}
	_, err = w.Write(b.Bytes())
	return err
}

// findingPage is a finding with the words of its page.
type findingPage struct {
	View    view
	Finding findingView
}

// num writes a coordinate: two digits behind the point, the same everywhere.
func num(f float64) string { return strconv.FormatFloat(math.Round(f*100)/100, 'f', -1, 64) }

func esc(s string) string { return template.HTMLEscapeString(s) }

// chart draws the modules' risks as SVG: a bar for what is expected, a line
// from the best to the worst case. Every row carries its numbers as text too.
func chart(modules []moduleView) template.HTML {
	const left, width, row, right = 150.0, 380.0, 34.0, 80.0
	var b strings.Builder
	height := row*float64(len(modules)) + 26
	fmt.Fprintf(&b, `<svg class="chart" role="img" viewBox="0 0 %s %s" xmlns="http://www.w3.org/2000/svg">`, num(left+width+right), num(height))
	for _, at := range []float64{0, 25, 50, 75, 100} {
		x := left + width*at/100
		fmt.Fprintf(&b, `<line x1="%s" x2="%s" y1="4" y2="%s" class="grid"/><text x="%s" y="%s" class="axis">%s</text>`, num(x), num(x), num(height-22), num(x), num(height-8), num(at))
	}
	for i, m := range modules {
		y := row * float64(i)
		fmt.Fprintf(&b, `<g><title>%s</title><text x="%s" y="%s" class="label">%s</text>`, esc(m.Text), num(left-10), num(y+22), esc(m.Name))
		fmt.Fprintf(&b, `<rect x="%s" y="%s" width="%s" height="16" class="bar %s"/>`, num(left), num(y+9), num(width*m.Expected), level(m.Expected))
		fmt.Fprintf(&b, `<line x1="%s" x2="%s" y1="%s" y2="%s" class="span"/>`, num(left+width*m.Best), num(left+width*m.Worst), num(y+17), num(y+17))
		for _, x := range []float64{m.Best, m.Worst} {
			fmt.Fprintf(&b, `<line x1="%s" x2="%s" y1="%s" y2="%s" class="span"/>`, num(left+width*x), num(left+width*x), num(y+12), num(y+22))
		}
		fmt.Fprintf(&b, `<text x="%s" y="%s" class="value">%s</text></g>`, num(left+width+10), num(y+22), esc(m.Figure))
	}
	b.WriteString(`</svg>`)
	return template.HTML(b.String())
}

// level names how bad a risk from 0 to 1 is, by the grade rule's bars for one module.
func level(r float64) string {
	switch {
	case r >= 0.7:
		return "high"
	case r >= 0.4:
		return "medium"
	}
	return "low"
}

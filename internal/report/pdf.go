package report

import (
	"bytes"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/go-pdf/fpdf"
	"golang.org/x/image/font/gofont/gobold"
	"golang.org/x/image/font/gofont/gomono"
	"golang.org/x/image/font/gofont/goregular"
)

// measures of a page, in millimetres.
const (
	pageWidth, pageHeight = 210.0, 297.0
	marginX               = 18.0
	marginTop             = 18.0
	marginBottom          = 20.0
	bodyWidth             = pageWidth - 2*marginX
	maxPDFEvidence        = 12 // lines of evidence of one finding; the HTML has them all
)

type colour struct{ r, g, b int }

var (
	ink  = colour{22, 32, 43}
	soft = colour{86, 98, 112}
	rule = colour{213, 219, 225}
)

// gradeColour returns the strong and the pale colour of a grade or outcome.
func gradeColour(key string) (strong, pale colour) {
	switch key {
	case "high", "fail", "unmet", "critical":
		return colour{166, 27, 27}, colour{253, 243, 243}
	case "medium", "partial", "partly":
		return colour{154, 91, 0}, colour{253, 248, 239}
	case "low", "pass", "met":
		return colour{29, 107, 58}, colour{241, 248, 243}
	}
	return colour{77, 90, 103}, colour{244, 246, 248}
}

// barColour returns the colour of a bar of the chart.
func barColour(key string) colour {
	switch key {
	case "high":
		return colour{201, 79, 79}
	case "medium":
		return colour{217, 154, 60}
	}
	return colour{90, 163, 119}
}

// PDF writes the report as a document on A4 with its fonts inside.
func PDF(w io.Writer, in Input) error {
	v := in.view()
	g, err := newGlyphs()
	if err != nil {
		return err
	}
	// The number of pages stands on each, so the document is laid out twice.
	first, err := layout(&in, &v, g, 0)
	if err != nil {
		return err
	}
	second, err := layout(&in, &v, g, first.pdf.PageCount())
	if err != nil {
		return err
	}
	var b bytes.Buffer
	if err := second.pdf.Output(&b); err != nil {
		return fmt.Errorf("writing PDF: %w", err)
	}
	_, err = w.Write(b.Bytes())
	return err
}

type document struct {
	pdf   *fpdf.Fpdf
	s     setter
	v     *view
	y     float64
	pages int
	// edge is the colour down the left side of the finding that is being
	// written, nil between findings; edgeTop is where it begins on this page.
	edge    *colour
	edgeTop float64
}

func layout(in *Input, v *view, g *glyphs, pages int) (*document, error) {
	pdf := fpdf.New("P", "mm", "A4", "")
	pdf.SetCompression(true)
	pdf.SetCatalogSort(true)
	made := in.Made.UTC().Truncate(time.Second)
	pdf.SetCreationDate(made)
	pdf.SetModificationDate(made)
	pdf.SetTitle(basic(v.Title+" — "+v.Name), true)
	pdf.SetSubject(basic(v.Subtitle), true)
	pdf.SetCreator(basic(in.Tool), true)
	pdf.SetProducer("ringwall", true)
	pdf.SetLang(v.Lang)
	pdf.SetDisplayMode("fullpage", "continuous")
	pdf.SetAutoPageBreak(false, 0)
	pdf.SetMargins(marginX, marginTop, marginX)
	addFonts(pdf)
	d := &document{pdf: pdf, v: v, pages: pages, s: setter{pdf: pdf, g: g, size: 10, want: latin}}
	d.page()
	d.all()
	if err := pdf.Error(); err != nil {
		return nil, fmt.Errorf("laying out PDF: %w", err)
	}
	return d, nil
}

// addFonts gives a document its fonts. The library writes into what it is
// given, so each document gets copies.
func addFonts(pdf *fpdf.Fpdf) {
	pdf.AddUTF8FontFromBytes(latin, "", slices.Clone(goregular.TTF))
	pdf.AddUTF8FontFromBytes(latin, "B", slices.Clone(gobold.TTF))
	pdf.AddUTF8FontFromBytes(mono, "", slices.Clone(gomono.TTF))
	pdf.AddUTF8FontFromBytes(cjk, "", slices.Clone(cjkTTF))
}

func (d *document) colour(c colour) {
	d.pdf.SetTextColor(c.r, c.g, c.b)
	d.pdf.SetDrawColor(c.r, c.g, c.b)
}

// page begins a page; the line at its foot is drawn at once.
func (d *document) page() {
	d.drawEdge()
	d.edgeTop = marginTop
	d.pdf.AddPage()
	s := d.s
	s.size, s.bold, s.want = 7.5, false, latin
	d.colour(rule)
	d.pdf.SetLineWidth(0.2)
	d.pdf.Line(marginX, pageHeight-14, pageWidth-marginX, pageHeight-14)
	d.colour(soft)
	if lines := s.lines(d.v.Footer, bodyWidth-34); len(lines) > 0 {
		s.draw(lines[0], marginX, pageHeight-10)
	}
	label := d.v.T("report.page", "page", d.pdf.PageNo(), "pages", max(d.pages, d.pdf.PageNo()))
	line := s.lines(label, 60)[0]
	s.draw(line, pageWidth-marginX-lineWidth(&s, line), pageHeight-10)
	d.colour(ink)
	d.y = marginTop
}

func lineWidth(s *setter, line []word) float64 {
	s.font(s.want)
	gap, w := s.pdf.GetStringWidth(" "), 0.0
	for i, x := range line {
		if x.space && i > 0 {
			w += gap
		}
		w += x.width
	}
	return w
}

// need begins a new page unless height is left on this one.
func (d *document) need(height float64) {
	if d.y+height > pageHeight-marginBottom && d.y > marginTop {
		d.page()
	}
}

// style is how a paragraph looks.
type style struct {
	size   float64
	bold   bool
	colour colour
	want   string
}

var (
	body     = style{size: 9.5, colour: ink, want: latin}
	small    = style{size: 8, colour: soft, want: latin}
	strong   = style{size: 9.5, bold: true, colour: ink, want: latin}
	evidence = style{size: 8, colour: ink, want: mono}
)

func (st style) leading() float64 { return st.size * 0.3528 * 1.42 }

func (d *document) set(st style) *setter {
	d.s.size, d.s.bold, d.s.want = st.size, st.bold, st.want
	return &d.s
}

// paragraph writes text in a column and moves down; it breaks over pages.
func (d *document) paragraph(st style, x, width float64, text string) {
	s := d.set(st)
	for _, line := range s.lines(text, width) {
		d.need(st.leading())
		d.colour(st.colour)
		d.set(st).draw(line, x, d.y+st.size*0.3528)
		d.y += st.leading()
	}
}

func (d *document) height(st style, width float64, text string) float64 {
	return float64(len(d.set(st).lines(text, width))) * st.leading()
}

func (d *document) heading(text string) {
	d.need(64) // a heading never stands alone at the foot of a page
	d.y += 5
	d.pdf.Bookmark(text, 0, d.y)
	d.paragraph(style{size: 13, bold: true, colour: ink, want: latin}, marginX, bodyWidth, text)
	d.colour(ink)
	d.pdf.SetLineWidth(0.4)
	d.pdf.Line(marginX, d.y, pageWidth-marginX, d.y)
	d.y += 2.5
}

func (d *document) bullets(items []string) {
	for _, item := range items {
		d.need(body.leading())
		d.pdf.SetFillColor(ink.r, ink.g, ink.b)
		d.pdf.Circle(marginX+1.2, d.y+2.1, 0.5, "F")
		d.paragraph(body, marginX+4, bodyWidth-4, item)
		d.y += 0.6
	}
}

func (d *document) all() {
	v := d.v
	d.head()
	d.heading(v.T("report.reasons"))
	d.bullets(v.Reasons)
	if len(v.Modules) > 0 {
		d.heading(v.T("report.modules"))
		d.chart()
	}
	d.heading(v.T("report.findings"))
	if len(v.Findings) == 0 {
		d.paragraph(body, marginX, bodyWidth, v.T("report.none.findings"))
	}
	for _, f := range v.Findings {
		d.finding(f)
	}
	d.note(v.FindingsNote)
	d.measures()
	d.software()
	d.lists()
	d.standards()
	d.origin()
}

func (d *document) note(text string) {
	if text != "" {
		d.paragraph(small, marginX, bodyWidth, text)
	}
}

// head draws title, grade and facts.
func (d *document) head() {
	v := d.v
	d.paragraph(style{size: 9.5, colour: soft, want: latin}, marginX, bodyWidth, v.Title)
	d.y += 0.5
	d.paragraph(style{size: 20, bold: true, colour: ink, want: latin}, marginX, bodyWidth, v.Name)
	if v.Subtitle != "" {
		d.paragraph(style{size: 10.5, colour: soft, want: latin}, marginX, bodyWidth, v.Subtitle)
	}
	d.y += 3
	deep, pale := gradeColour(v.GradeKey)
	interval := d.height(body, bodyWidth-12, v.Interval)
	height := 22 + interval
	d.pdf.SetFillColor(pale.r, pale.g, pale.b)
	d.pdf.SetDrawColor(deep.r, deep.g, deep.b)
	d.pdf.SetLineWidth(0.6)
	d.pdf.RoundedRect(marginX, d.y, bodyWidth, height, 2, "1234", "DF")
	top := d.y
	d.y = top + 5
	d.paragraph(style{size: 21, bold: true, colour: deep, want: latin}, marginX+6, 58, v.Grade)
	for i, n := range v.Numbers {
		x := marginX + 66 + float64(i)*36
		d.y = top + 4.5
		d.paragraph(small, x, 36, n.Label)
		d.paragraph(style{size: 11, bold: true, colour: ink, want: latin}, x, 34, n.Value)
	}
	d.y = top + 18
	d.paragraph(body, marginX+6, bodyWidth-12, v.Interval)
	d.y = top + height + 4
	for i := 0; i < len(v.Facts); i += 2 {
		top, bottom := d.y, d.y
		for j, f := range v.Facts[i:min(i+2, len(v.Facts))] {
			d.y = top
			x := marginX + float64(j)*bodyWidth/2
			d.paragraph(style{size: 9, colour: soft, want: latin}, x, 26, f.Label)
			d.y = top
			d.paragraph(style{size: 9, colour: ink, want: latin}, x+27, bodyWidth/2-29, f.Value)
			bottom = max(bottom, d.y)
		}
		d.y = bottom + 0.4
	}
	if v.Impact != "" {
		d.y += 2
		d.paragraph(body, marginX, bodyWidth, v.T("report.impact")+" — "+v.Impact)
	}
}

// chart draws the modules as the page does.
func (d *document) chart() {
	const left, right, row = 34.0, 16.0, 8.5
	width := bodyWidth - left - right
	d.need(row*float64(len(d.v.Modules)) + 18)
	top := d.y
	bottom := top + row*float64(len(d.v.Modules))
	for _, at := range []float64{0, 25, 50, 75, 100} {
		x := marginX + left + width*at/100
		d.pdf.SetDrawColor(rule.r, rule.g, rule.b)
		d.pdf.SetLineWidth(0.2)
		d.pdf.Line(x, top, x, bottom)
		d.place(small, num(at), x-2, bottom+3.5)
	}
	for i, m := range d.v.Modules {
		y := top + row*float64(i)
		d.place(body, m.Name, marginX, y+5.4)
		c := barColour(level(m.Expected))
		d.pdf.SetFillColor(c.r, c.g, c.b)
		if m.Expected > 0 {
			d.pdf.Rect(marginX+left, y+2, width*m.Expected, 4.4, "F")
		}
		d.colour(ink)
		d.pdf.SetLineWidth(0.45)
		a, b := marginX+left+width*m.Best, marginX+left+width*m.Worst
		d.pdf.Line(a, y+4.2, b, y+4.2)
		d.pdf.Line(a, y+2.8, a, y+5.6)
		d.pdf.Line(b, y+2.8, b, y+5.6)
		d.place(strong, m.Figure, marginX+left+width+4, y+5.4)
	}
	d.y = bottom + 6
	d.paragraph(small, marginX, bodyWidth, d.v.T("report.legend"))
	for _, m := range d.v.Modules {
		d.paragraph(small, marginX, bodyWidth, m.Text)
	}
}

// place draws one line at a place without moving down.
func (d *document) place(st style, text string, x, y float64) {
	if lines := d.set(st).lines(text, bodyWidth); len(lines) > 0 {
		d.colour(st.colour)
		d.set(st).draw(lines[0], x, y)
	}
}

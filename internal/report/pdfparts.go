package report

import "strings"

// finding draws one finding: a coloured edge, what is asked, and the answer.
func (d *document) finding(f findingView) {
	v := d.v
	const edge, label = 4.0, 26.0 // millimetres
	x, width := marginX+edge, bodyWidth-edge
	tag := f.Outcome
	if f.Knock != "" {
		tag += " · " + f.Knock
	}
	deep, _ := gradeColour(f.Key)
	type row struct {
		name, text string
		st         style
	}
	var rows []row
	add := func(name, text string, st style) {
		if text != "" {
			rows = append(rows, row{name, text, st})
		}
	}
	add(v.T("report.finding.found"), f.Title, body)
	name := v.T("report.finding.evidence")
	for _, e := range f.Evidence[:min(len(f.Evidence), maxPDFEvidence)] {
		add(name, e, evidence)
		name = ""
	}
	if n := len(f.Evidence) - maxPDFEvidence; n > 0 {
		add("", d.more(n), small)
	} else {
		add("", f.More, small)
	}
	add(v.T("report.finding.why"), f.Why, body)
	add(v.T("report.finding.remedy"), f.Remedy, body)
	source := strings.Trim(strings.Join([]string{f.Module, f.Confidence, f.Source, f.At}, " · "), " ·")
	add(v.T("report.finding.source"), source, small)
	add(v.T("report.finding.standards"), f.References, small)

	// A finding begins where it fits, or where a good piece of it does.
	height := 6 + d.height(strong, width, f.ID+" · "+f.Asked) + strong.leading()
	for _, r := range rows {
		height += d.height(r.st, width-label, r.text) + 0.5
	}
	d.need(min(height, 48))
	d.y += 2
	d.edge, d.edgeTop = &deep, d.y
	d.paragraph(strong, x, width, f.ID+" · "+f.Asked)
	d.paragraph(style{size: 9, bold: true, colour: deep, want: latin}, x, width, tag)
	for _, r := range rows {
		d.need(r.st.leading())
		d.place(small, r.name, x, d.y+small.size*0.3528+0.2)
		d.paragraph(r.st, x+label, width-label, r.text)
		d.y += 0.5
	}
	d.drawEdge()
	d.edge = nil
	d.y += 2
}

// drawEdge draws the edge of the finding down to where the page is written to.
func (d *document) drawEdge() {
	if d.edge != nil && d.y > d.edgeTop {
		d.pdf.SetFillColor(d.edge.r, d.edge.g, d.edge.b)
		d.pdf.Rect(marginX, d.edgeTop, 1.2, d.y-d.edgeTop, "F")
	}
}

func (d *document) more(n int) string { return "… +" + num(float64(n)) }

// table draws rows in columns whose widths are shares of the body. The head is
// drawn again on each page.
func (d *document) table(head []string, shares []float64, rows [][]string) {
	st := style{size: 8.5, colour: ink, want: latin}
	const gap = 2.5
	draw := func(cells []string, st style) {
		height := 0.0
		for i, c := range cells {
			height = max(height, d.height(st, bodyWidth*shares[i]-gap, c))
		}
		height = min(height, pageHeight-marginTop-marginBottom-20)
		d.need(height + 2)
		top, x := d.y, marginX
		for i, c := range cells {
			d.y = top
			for _, l := range d.set(st).lines(c, bodyWidth*shares[i]-gap) {
				if d.y+st.leading() > top+height+0.1 {
					break
				}
				d.colour(st.colour)
				d.set(st).draw(l, x, d.y+st.size*0.3528)
				d.y += st.leading()
			}
			x += bodyWidth * shares[i]
		}
		d.y = top + height + 0.8
		d.colour(rule)
		d.pdf.SetLineWidth(0.2)
		d.pdf.Line(marginX, d.y, pageWidth-marginX, d.y)
		d.y += 0.8
	}
	top := style{size: 8, bold: true, colour: soft, want: latin}
	d.need(16)
	draw(head, top)
	for _, r := range rows {
		page := d.pdf.PageNo()
		height := 0.0
		for i, c := range r {
			height = max(height, d.height(st, bodyWidth*shares[i]-gap, c))
		}
		d.need(min(height, 200) + 2)
		if d.pdf.PageNo() != page {
			draw(head, top)
		}
		draw(r, st)
	}
}

// measures draws what must be given and done.
func (d *document) measures() {
	v := d.v
	if len(v.Prescribed) > 0 {
		d.heading(v.T("report.prescribed"))
		var rows [][]string
		for _, p := range v.Prescribed {
			rows = append(rows, []string{p.Module, p.Capability, p.Text, p.Because})
		}
		d.table([]string{v.T("report.module"), v.T("report.capability"), "", v.T("report.because")}, []float64{0.13, 0.22, 0.47, 0.18}, rows)
	}
	if len(v.Tasks) > 0 {
		d.heading(v.T("report.tasks"))
		var rows [][]string
		for _, t := range v.Tasks {
			remedy := t.Remedy
			if t.Do != "" {
				remedy += "\n" + t.Do
			}
			rows = append(rows, []string{t.Party, t.Title, remedy, t.Effort, t.Due, t.Status})
		}
		d.table([]string{v.T("report.party"), v.T("report.task"), v.T("report.remedy"), v.T("report.effort"), v.T("report.due"), v.T("report.status")},
			[]float64{0.13, 0.25, 0.31, 0.09, 0.13, 0.09}, rows)
	}
}

// software draws vulnerabilities, services and components.
func (d *document) software() {
	v := d.v
	if len(v.Vulns) > 0 {
		d.heading(v.T("report.vulns"))
		var rows [][]string
		for _, x := range v.Vulns {
			id := x.ID
			if x.KEV != "" {
				id += "\n" + x.KEV
			}
			rows = append(rows, []string{id, x.Component, x.Severity + " " + x.Score, x.State, x.Why})
		}
		d.table([]string{v.T("report.vuln"), v.T("report.component"), v.T("report.severity"), v.T("report.state"), v.T("report.reason")}, []float64{0.21, 0.22, 0.14, 0.14, 0.29}, rows)
		d.note(v.VulnsNote)
	}
	if len(v.Services) > 0 {
		d.heading(v.T("report.services"))
		for _, s := range v.Services {
			d.paragraph(evidence, marginX, bodyWidth, s)
		}
		d.note(v.ServicesNote)
	}
	if len(v.Components) > 0 {
		d.heading(v.T("report.components"))
		var rows [][]string
		for _, c := range v.Components {
			rows = append(rows, []string{c.Name, c.Version, c.Supplier, c.Exposed, c.How})
		}
		d.table([]string{v.T("report.component"), v.T("report.version"), v.T("report.supplier"), "", v.T("report.how")}, []float64{0.26, 0.2, 0.2, 0.14, 0.2}, rows)
		d.note(v.ComponentsNote)
	}
}

// lists draws what is unknown and what is in order, a line each.
func (d *document) lists() {
	v := d.v
	for _, part := range []struct {
		title string
		rows  []findingView
	}{{v.T("report.unknown"), v.Unknown}, {v.T("report.good"), v.Good}} {
		if len(part.rows) == 0 {
			continue
		}
		d.heading(part.title)
		var rows [][]string
		for _, f := range part.rows {
			rows = append(rows, []string{f.ID, f.Asked, f.Outcome, strings.Trim(f.Confidence+" · "+f.Source, " ·")})
		}
		d.table([]string{v.T("report.indicators"), "", v.T("report.met"), v.T("report.by")}, []float64{0.1, 0.52, 0.13, 0.25}, rows)
	}
}

func (d *document) standards() {
	v := d.v
	if len(v.Standards) == 0 {
		return
	}
	d.heading(v.T("report.standards"))
	d.paragraph(small, marginX, bodyWidth, v.T("report.standard.note"))
	for _, s := range v.Standards {
		d.need(24)
		d.y += 3
		d.paragraph(strong, marginX, bodyWidth, s.Name)
		d.paragraph(body, marginX, bodyWidth, s.Summary)
		d.y += 1
		var rows [][]string
		for _, r := range s.Rows {
			rows = append(rows, []string{r.ID, r.Status, r.Text, r.Met, r.By, r.Indicators})
		}
		d.table([]string{v.T("report.provision"), "", "", v.T("report.met"), v.T("report.by"), v.T("report.indicators")}, []float64{0.13, 0.07, 0.4, 0.12, 0.11, 0.17}, rows)
	}
}

// origin draws where it all comes from and how to do it again.
func (d *document) origin() {
	v := d.v
	if len(v.Sources) > 0 {
		d.heading(v.T("report.sources"))
		var rows [][]string
		for _, s := range v.Sources {
			rows = append(rows, []string{s.Kind, s.Source, s.Made, s.Until, s.Digest, s.Notes})
		}
		d.table([]string{v.T("report.kind"), v.T("report.source"), v.T("report.made"), v.T("report.until"), v.T("report.digest"), v.T("report.notes")},
			[]float64{0.13, 0.2, 0.16, 0.12, 0.15, 0.24}, rows)
	}
	if len(v.Next) > 0 {
		d.heading(v.T("report.next"))
		d.bullets(v.Next)
	}
	d.heading(v.T("report.regrade"))
	d.bullets(v.Regrade)
}

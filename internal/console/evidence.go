package console

import (
	"cmp"
	"fmt"
	"io"
	"mime/multipart"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/api"
	"github.com/ringwall/ringwall/internal/assess"
	"github.com/ringwall/ringwall/internal/declare"
	"github.com/ringwall/ringwall/internal/httpapi"
)

// gateSign is what the deployment gate means for one device.
type gateSign struct {
	Worst  ringwall.Grade
	Own    bool // set for this device, in the place of the organisation's
	Passes bool
}

// gate answers nil where none is set, and where the reader may not know.
func (q *request) gate(d api.Device) (*gateSign, error) {
	g := d.Gate
	if g == nil {
		set, err := q.c.svc.AssessSettings(q.Context(), q.actor)
		if isCode(err, ringwall.Forbidden) {
			return nil, nil
		}
		if err != nil {
			return nil, err
		}
		g = &set.Gate
	}
	if g.Worst == ringwall.Ungraded {
		return nil, nil
	}
	return &gateSign{Worst: g.Worst, Own: d.Gate != nil, Passes: assess.GateAllows(*g, d.Grade)}, nil
}

// Exempt reports whether the device may go online whatever its grade.
func (g *gateSign) Exempt() bool { return g.Worst == ringwall.HighRisk }

// historyPart is of how many assessments a line is drawn.
const historyPart = 30

// history is how a device's risk went, and what the last assessment changed.
type history struct {
	Line        string // points of a polyline in a box of 100 by 24
	Count       int
	First, Last string // risk, of 100
	Since       time.Time
	Worse       []string // indicators that came to fail
	Better      []string
	Before, Now ringwall.Grade
}

// Changed reports whether anything differs from the assessment before.
func (h *history) Changed() bool {
	return len(h.Worse)+len(h.Better) > 0 || h.Before != h.Now
}

// history answers nil for a device that was assessed less than twice.
func (q *request) history(d api.Device) (*history, error) {
	list, err := q.c.svc.Assessments(q.Context(), q.actor, d.ID, httpapi.Paging{Limit: historyPart})
	if err != nil {
		return nil, err
	}
	as := list.Items
	if len(as) < 2 {
		return nil, nil
	}
	c := assess.Compare(as[1], as[0])
	h := &history{Since: as[1].Ended, Worse: c.Worse, Better: c.Better, Before: c.Before, Now: c.Now}
	slices.Reverse(as)
	as = slices.DeleteFunc(as, func(a api.Assessment) bool { return a.Grade == ringwall.Ungraded }) // no risk is known
	if h.Count = len(as); h.Count < 2 {
		return h, nil
	}
	points := make([]string, 0, len(as))
	for n, a := range as {
		points = append(points, fmt.Sprintf("%.1f,%.1f", 100*float64(n)/float64(len(as)-1), 22-0.2*max(0, min(100, a.Risk))))
	}
	h.Line = strings.Join(points, " ")
	h.First, h.Last = fmt.Sprintf("%.0f", as[0].Risk), fmt.Sprintf("%.0f", as[len(as)-1].Risk)
	return h, nil
}

// soonest orders tasks for a reader: first what is done by one click, then what
// is due first.
func soonest(tasks []api.Remedial) {
	rank := func(r api.Remedial) int {
		switch {
		case r.Status == "accepted":
			return 2
		case r.Do == "":
			return 1
		}
		return 0
	}
	slices.SortStableFunc(tasks, func(a, b api.Remedial) int {
		return cmp.Or(cmp.Compare(rank(a), rank(b)), a.Due.Compare(b.Due), cmp.Compare(a.Indicator, b.Indicator))
	})
}

// setGate gives a device a gate of its own, or takes it back.
func setGate(q *request) (string, error) {
	g := api.Gate{Ungraded: q.PostFormValue("ungraded") != ""}
	if worst := q.PostFormValue("worst"); worst != "" {
		if err := g.Worst.UnmarshalText([]byte(worst)); err != nil {
			return "", err
		}
	}
	return q.patchDevice("gate", api.DevicePatch{Gate: &g})
}

// maxPaper bounds a paper that is handed in; the wrapper bounds the request.
const maxPaper = 2 << 20

// handIn takes a declaration, a usage description or a laboratory's signed
// result. Images are too large for a form: they are examined by the command
// line, which the page names.
func handIn(q *request) (string, error) {
	f, head, err := q.FormFile("paper")
	if err != nil {
		return "", ringwall.Errorf(ringwall.Invalid, "no file was chosen, or it is larger than %d MiB", maxPaper>>20)
	}
	defer q.forget(f)
	b, err := io.ReadAll(io.LimitReader(f, maxPaper+1))
	if err != nil || len(b) > maxPaper {
		return "", ringwall.Errorf(ringwall.Invalid, "the file cannot be read, or is larger than %d MiB", maxPaper>>20)
	}
	name := filepath.Base(head.Filename)
	x, err := declare.Handed(b, strings.TrimSuffix(name, filepath.Ext(name)), q.page.Now)
	if err != nil {
		return "", err
	}
	_, err = q.c.svc.SubmitExamination(q.Context(), q.actor, ringwall.DeviceID(q.PathValue("id")), x)
	return "evidence", err
}

// forget closes a file that came with a form, and removes what of it went to
// the disk. An error would tell nobody anything: both are temporary.
func (q *request) forget(f multipart.File) {
	_ = f.Close()
	if q.MultipartForm != nil {
		_ = q.MultipartForm.RemoveAll()
	}
}

// takeBack drops what one source said of a device.
func takeBack(q *request) (string, error) {
	return "dropped", q.c.svc.DropExamination(q.Context(), q.actor, ringwall.DeviceID(q.PathValue("id")), q.PostFormValue("source"))
}

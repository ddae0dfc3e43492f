package console

import (
	"encoding/hex"
	"net/http"
	"net/netip"
	"strings"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/api"
	"github.com/ringwall/ringwall/internal/httpapi"
)

// language is that of texts which the platform gives in one language at a time.
func (q *request) language() string {
	if strings.HasPrefix(q.page.L.Tag, "zh") {
		return "zh"
	}
	return "en"
}

// taskRow is one task with the name of its device.
type taskRow struct {
	api.Remedial
	Name string
}

type tasksPage struct {
	page
	Descriptions []api.MUDTask // of makers, that wait for a decision
	Items        []taskRow
	Status       string
	Party        string
	Next         string // query of the next page
	Made         *api.RemedialDone
}

func (*tasksPage) template() string { return "tasks" }

// tasks lists what would better grades.
func tasks(q *request) (view, error) {
	v := q.URL.Query()
	p := &tasksPage{Status: v.Get("status"), Party: v.Get("party")}
	f := httpapi.RemedialFilter{Status: p.Status, Party: ringwall.Part(p.Party)}
	if p.Status == "" {
		f.Status = "open"
	}
	if p.Status == "all" {
		f.Status = ""
	}
	list, err := q.c.svc.Remedials(q.Context(), q.actor, f, httpapi.Paging{Cursor: v.Get("cursor"), Limit: httpapi.DefaultPage})
	if err != nil {
		return nil, err
	}
	for _, r := range list.Items {
		p.Items = append(p.Items, taskRow{r, q.nameOf(ringwall.Subject{Kind: ringwall.SubjectDevice, ID: string(r.Device)})})
	}
	if p.Status == "" && p.Party == "" && v.Get("cursor") == "" {
		waiting, err := q.c.svc.MUDTasks(q.Context(), q.actor)
		if err != nil && !isCode(err, ringwall.Forbidden) {
			return nil, err
		}
		p.Descriptions = waiting
	}
	q.page.Title, q.page.Live = q.page.L.T("tasks.title"), []string{"kind:device"}
	p.page, p.Next = q.page, next(v, list.Next)
	return p, nil
}

// setTask says who is at a task, or that its risk is taken.
func setTask(q *request) (string, error) {
	status := q.PostFormValue("status")
	_, err := q.c.svc.PatchRemedial(q.Context(), q.actor, ringwall.RemedialID(q.PathValue("task")), api.RemedialPatch{Status: &status})
	return "task", err
}

// doTask has Ringwall do a task. The answer may hold a password that is shown
// once, so it is the page itself.
func doTask(q *request) (view, error) {
	done, doErr := q.c.svc.DoRemedial(q.Context(), q.actor, ringwall.RemedialID(q.PathValue("task")))
	if doErr == nil {
		q.page.Done = q.page.L.T("done.task-do")
	}
	v, err := device(q)
	if err != nil {
		return nil, err
	}
	p, ok := v.(*devicePage)
	if !ok {
		return v, nil
	}
	if doErr != nil {
		p.status, p.Problem = httpapi.Describe(doErr)
		q.c.note(q.Context(), p.status, doErr)
		return p, nil
	}
	if done.Secret != "" {
		p.Made, p.Live = &done, nil // the page is not to be asked for again while it shows a secret
	}
	return p, nil
}

type questionnairePage struct {
	page
	api.Questionnaire
	Name string
}

func (*questionnairePage) template() string { return "questionnaire" }

// questionnaire shows what is asked about a device.
func questionnaire(q *request) (view, error) {
	id := ringwall.DeviceID(q.PathValue("id"))
	d, err := q.c.svc.Device(q.Context(), q.actor, id)
	if err != nil {
		return nil, err
	}
	asked, err := q.c.svc.Questionnaire(q.Context(), q.actor, id, q.language())
	if err != nil {
		return nil, err
	}
	q.page.Title, q.page.Path = q.page.L.T("questionnaire.title")+" · "+d.Name, "/devices/"+string(id)+"/questionnaire"
	return &questionnairePage{page: q.page, Questionnaire: asked, Name: d.Name}, nil
}

// answer keeps the answer to one question: a form for each, sent as soon as it
// is filled in where there is script.
func answer(q *request) (string, error) {
	id, question := ringwall.DeviceID(q.PathValue("id")), q.PostFormValue("question")
	asked, err := q.c.svc.Questionnaire(q.Context(), q.actor, id, q.language())
	if err != nil {
		return "", err
	}
	_, err = q.c.svc.SaveAnswers(q.Context(), q.actor, id, q.language(), api.Answers{
		Revision: asked.Revision, Answers: map[string]string{question: q.PostFormValue("answer")}, Notes: map[string]string{question: q.PostFormValue("note")},
	})
	return "answers", err
}

// submitAnswers hands the questionnaire in.
func submitAnswers(q *request) (string, error) {
	_, err := q.c.svc.SubmitAnswers(q.Context(), q.actor, ringwall.DeviceID(q.PathValue("id")))
	return "declared", err
}

// setProfile says what a device is used for.
func setProfile(q *request) (string, error) {
	use := q.PostFormValue("use")
	return q.patchDevice("profile", api.DevicePatch{Use: &use})
}

type assessingPage struct {
	page
	Settings api.AssessSettings
	Ranges   string // a line each
	Key      string // in hex
	Makers   []api.MakerScore
}

func (*assessingPage) template() string { return "assessing" }

// assessing is what the organisation has laid down about assessing.
func assessing(q *request) (view, error) {
	set, err := q.c.svc.AssessSettings(q.Context(), q.actor)
	if err != nil {
		return nil, err
	}
	makers, err := q.c.svc.Makers(q.Context(), q.actor)
	if err != nil {
		return nil, err
	}
	var lines []string
	for _, p := range set.Ranges.Prefixes {
		lines = append(lines, p.String())
	}
	q.page.Title = q.page.L.T("assessing.title")
	return &assessingPage{page: q.page, Settings: set, Ranges: strings.Join(lines, "\n"), Key: hex.EncodeToString(set.EvidenceKey), Makers: makers}, nil
}

// setAssessing lays down the gate and the networks.
func setAssessing(q *request) (string, error) {
	set, err := q.c.svc.AssessSettings(q.Context(), q.actor)
	if err != nil {
		return "", err
	}
	switch q.PostFormValue("what") {
	case "gate":
		set.Gate = api.Gate{Ungraded: q.PostFormValue("ungraded") != ""}
		if worst := q.PostFormValue("worst"); worst != "" {
			if err := set.Gate.Worst.UnmarshalText([]byte(worst)); err != nil {
				return "", err
			}
		}
	case "ranges":
		set.Ranges.Prefixes = nil
		for _, line := range strings.Fields(q.PostFormValue("ranges")) {
			p, err := netip.ParsePrefix(line)
			if err != nil {
				return "", ringwall.Errorf(ringwall.Invalid, "%.60q is no network such as 192.168.1.0/24", line)
			}
			set.Ranges.Prefixes = append(set.Ranges.Prefixes, p)
		}
	default:
		return "", ringwall.Errorf(ringwall.Invalid, "nothing was said that could be laid down")
	}
	_, err = q.c.svc.PutAssessSettings(q.Context(), q.actor, set)
	return "assess-settings", err
}

// report hands out a report as a file.
func (c *Console) report(w http.ResponseWriter, r *http.Request) {
	q, ok := c.enter(w, r)
	if !ok {
		return
	}
	var file api.Report
	var err error
	format := r.URL.Query().Get("format")
	if id := r.PathValue("id"); id != "" {
		file, err = c.svc.Report(r.Context(), q.actor, ringwall.AssessID(id), format, q.language())
	} else {
		file, err = c.svc.FleetReport(r.Context(), q.actor, format, q.language())
	}
	if err != nil {
		c.show(w, r, q.failure(err))
		return
	}
	h := w.Header()
	h.Set("Content-Type", file.Type)
	h.Set("Content-Disposition", `attachment; filename="`+strings.Map(plainName, file.Name)+`"`)
	h.Set("Cache-Control", "no-store")
	_, _ = w.Write(file.Body) // the browser may be gone
}

// plainName keeps what needs no quoting in a header.
func plainName(r rune) rune {
	if r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("._-", r) {
		return r
	}
	return '_'
}

package client

import (
	"context"
	"io"
	"net/http"
	"net/url"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/api"
)

// Examinations lists what each source found out about a device.
func (c *Client) Examinations(ctx context.Context, id ringwall.DeviceID) ([]api.Examination, error) {
	return get[[]api.Examination](ctx, c, path("devices", string(id), "examinations"), nil)
}

// SubmitExamination hands in what one source found out about a device, and
// answers the assessment that follows.
func (c *Client) SubmitExamination(ctx context.Context, id ringwall.DeviceID, x api.Examination) (api.Assessment, error) {
	return post[api.Assessment](ctx, c, path("devices", string(id), "examinations"), x)
}

// DropExamination takes back what one source said.
func (c *Client) DropExamination(ctx context.Context, id ringwall.DeviceID, source string) error {
	return c.send(ctx, call{method: http.MethodDelete, path: path("devices", string(id), "examinations"), query: url.Values{"source": {source}}}, nil)
}

// AssessSettings answers what the organisation has laid down about assessing.
func (c *Client) AssessSettings(ctx context.Context) (api.AssessSettings, error) {
	return get[api.AssessSettings](ctx, c, path("assess", "settings"), nil)
}

// PutAssessSettings lays it down anew.
func (c *Client) PutAssessSettings(ctx context.Context, in api.AssessSettings) (out api.AssessSettings, err error) {
	err = c.send(ctx, call{method: http.MethodPut, path: path("assess", "settings"), in: in}, &out)
	return out, err
}

// RemedialFilter narrows a list of tasks; zero fields do not.
type RemedialFilter struct {
	Device ringwall.DeviceID
	Status string // "open", "doing", "done", "accepted"
	Party  ringwall.Part
}

// Remedials lists tasks, newest first.
func (c *Client) Remedials(ctx context.Context, f RemedialFilter, p Paging) (api.Page[api.Remedial], error) {
	q := url.Values{}
	set(q, "device", string(f.Device))
	set(q, "status", f.Status)
	set(q, "party", string(f.Party))
	return get[api.Page[api.Remedial]](ctx, c, path("remedials"), p.into(q))
}

// PatchRemedial changes what people say of a task.
func (c *Client) PatchRemedial(ctx context.Context, id ringwall.RemedialID, in api.RemedialPatch) (api.Remedial, error) {
	return patch[api.Remedial](ctx, c, path("remedials", string(id)), in)
}

// DoRemedial has the platform do what a task asks for. A new password is in the
// answer and nowhere else.
func (c *Client) DoRemedial(ctx context.Context, id ringwall.RemedialID) (api.RemedialDone, error) {
	return post[api.RemedialDone](ctx, c, path("remedials", string(id), "do"), nil)
}

// Makers scores manufacturers by their devices, the worst first.
func (c *Client) Makers(ctx context.Context) ([]api.MakerScore, error) {
	return get[[]api.MakerScore](ctx, c, path("manufacturers"), nil)
}

// Questionnaire asks about a device, in "en" or "zh", with what was answered so far.
func (c *Client) Questionnaire(ctx context.Context, id ringwall.DeviceID, language string) (api.Questionnaire, error) {
	q := url.Values{}
	set(q, "lang", language)
	return get[api.Questionnaire](ctx, c, path("devices", string(id), "questionnaire"), q)
}

// SaveAnswers keeps answers; the error has code Conflict when somebody else has
// answered meanwhile.
func (c *Client) SaveAnswers(ctx context.Context, id ringwall.DeviceID, language string, in api.Answers) (out api.Questionnaire, err error) {
	q := url.Values{}
	set(q, "lang", language)
	err = c.send(ctx, call{method: http.MethodPut, path: path("devices", string(id), "questionnaire"), query: q, in: in}, &out)
	return out, err
}

// SubmitAnswers makes the answers so far a declaration.
func (c *Client) SubmitAnswers(ctx context.Context, id ringwall.DeviceID) (api.Assessment, error) {
	return post[api.Assessment](ctx, c, path("devices", string(id), "questionnaire"), nil)
}

// Report writes an assessment in a format for others: "html", "pdf", "sarif",
// "oscal", "cyclonedx", "csv" or "bundle", in "en" or "zh". At most 64 MiB are
// read.
func (c *Client) Report(ctx context.Context, id ringwall.AssessID, format, language string) ([]byte, error) {
	q := url.Values{}
	set(q, "format", format)
	set(q, "lang", language)
	return c.document(ctx, path("assessments", string(id), "report"), q)
}

// FleetReport compares the organisation's devices: "html", "csv" or "trend".
func (c *Client) FleetReport(ctx context.Context, format, language string) ([]byte, error) {
	q := url.Values{}
	set(q, "format", format)
	set(q, "lang", language)
	return c.document(ctx, path("fleet", "report"), q)
}

// document reads an answer that is no JSON of the API's.
func (c *Client) document(ctx context.Context, p string, q url.Values) ([]byte, error) {
	req, err := c.request(ctx, call{method: http.MethodGet, path: p, query: q})
	if err != nil {
		return nil, err
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return nil, c.unreachable(ctx, err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, problem(resp)
	}
	b, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer+1))
	if err != nil {
		return nil, ringwall.Errorf(ringwall.Unavailable, "reading the report: %w", err)
	}
	if len(b) > maxAnswer {
		return nil, ringwall.Errorf(ringwall.Invalid, "the report is longer than %d MiB", maxAnswer>>20)
	}
	return b, nil
}

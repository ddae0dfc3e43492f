package httpapi

import (
	"context"
	"mime"
	"net/http"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/api"
	"github.com/ringwall/ringwall/internal/audit"
)

// evidenceRoutes are what a device's grade follows from, and what follows from
// its grade.
func (f *face) evidenceRoutes() {
	route(f, op(http.MethodGet, "/v1/devices/{id}/examinations", "list-examinations", "assessments", "What each source found out about a device; of each source the newest"),
		func(ctx context.Context, a audit.Actor, in *DevicePath) (*body[[]api.Examination], error) {
			return answer(f.svc.Examinations(ctx, a, in.ID))
		})
	route(f, status(op(http.MethodPost, "/v1/devices/{id}/examinations", "submit-examination", "assessments",
		"Hand in what an image, a capture, a declaration or a laboratory says of a device; the answer is the assessment that follows"), http.StatusCreated),
		func(ctx context.Context, a audit.Actor, in *struct {
			DevicePath
			Body api.Examination
		}) (*body[api.Assessment], error) {
			return answer(f.svc.SubmitExamination(ctx, a, in.ID, in.Body))
		})
	drop := status(op(http.MethodDelete, "/v1/devices/{id}/examinations", "drop-examination", "assessments", "Take back what one source said"), http.StatusNoContent)
	route(f, drop,
		func(ctx context.Context, a audit.Actor, in *struct {
			DevicePath
			Source string `query:"source" maxLength:"200" doc:"as the examination names it"`
		}) (*struct{}, error) {
			return nil, f.svc.DropExamination(ctx, a, in.ID, in.Source)
		})
	route(f, op(http.MethodGet, "/v1/assess/settings", "get-assess-settings", "assessments", "The deployment gate, the registered ranges and the laboratories that are believed"),
		func(ctx context.Context, a audit.Actor, _ *struct{}) (*body[api.AssessSettings], error) {
			return answer(f.svc.AssessSettings(ctx, a))
		})
	route(f, op(http.MethodPut, "/v1/assess/settings", "put-assess-settings", "assessments", "Lay them down anew"),
		func(ctx context.Context, a audit.Actor, in *struct{ Body api.AssessSettings }) (*body[api.AssessSettings], error) {
			return answer(f.svc.PutAssessSettings(ctx, a, in.Body))
		})
	route(f, op(http.MethodGet, "/v1/manufacturers", "list-makers", "assessments", "How manufacturers' devices fare here, the worst first"),
		func(ctx context.Context, a audit.Actor, _ *struct{}) (*body[[]api.MakerScore], error) {
			return answer(f.svc.Makers(ctx, a))
		})
	f.questionnaireRoutes()
	f.reportRoutes()
	route(f, op(http.MethodGet, "/v1/remedials", "list-remedials", "assessments", "Tasks that would better grades, newest first"),
		func(ctx context.Context, a audit.Actor, in *struct {
			Paged
			Device ringwall.DeviceID `query:"device" maxLength:"64"`
			Status string            `query:"status" enum:"open,doing,done,accepted"`
			Party  ringwall.Part     `query:"party" maxLength:"32"`
		}) (*body[api.Page[api.Remedial]], error) {
			return answer(f.svc.Remedials(ctx, a, RemedialFilter{Device: in.Device, Status: in.Status, Party: in.Party}, in.paging()))
		})
	route(f, op(http.MethodPatch, "/v1/remedials/{id}", "patch-remedial", "assessments", "Say who is at it, by when, or that the risk is taken"),
		func(ctx context.Context, a audit.Actor, in *struct {
			ID   ringwall.RemedialID `path:"id" maxLength:"64"`
			Body api.RemedialPatch
		}) (*body[api.Remedial], error) {
			return answer(f.svc.PatchRemedial(ctx, a, in.ID, in.Body))
		})
	route(f, op(http.MethodPost, "/v1/remedials/{id}/do", "do-remedial", "assessments", "Do what Ringwall can do itself: close the port at the gateway, or change the default password by ONVIF. A new password is in the answer and nowhere else"),
		func(ctx context.Context, a audit.Actor, in *struct {
			ID ringwall.RemedialID `path:"id" maxLength:"64"`
		}) (*body[api.RemedialDone], error) {
			return answer(f.svc.DoRemedial(ctx, a, in.ID))
		})
}

// Spoken is the language of a text for people.
type Spoken struct {
	Language string `query:"lang" enum:"en,zh" default:"en"`
}

// questionnaireRoutes are what a party is asked about a device.
func (f *face) questionnaireRoutes() {
	route(f, op(http.MethodGet, "/v1/devices/{id}/questionnaire", "get-questionnaire", "assessments", "What is asked about a device, with what was answered so far"),
		func(ctx context.Context, a audit.Actor, in *struct {
			DevicePath
			Spoken
		}) (*body[api.Questionnaire], error) {
			return answer(f.svc.Questionnaire(ctx, a, in.ID, in.Language))
		})
	route(f, op(http.MethodPut, "/v1/devices/{id}/questionnaire", "save-answers", "assessments", "Keep answers; 409 when somebody else has answered meanwhile"),
		func(ctx context.Context, a audit.Actor, in *struct {
			DevicePath
			Spoken
			Body api.Answers
		}) (*body[api.Questionnaire], error) {
			return answer(f.svc.SaveAnswers(ctx, a, in.ID, in.Language, in.Body))
		})
	route(f, status(op(http.MethodPost, "/v1/devices/{id}/questionnaire", "submit-answers", "assessments", "Make the answers so far a declaration; the answer is the assessment that follows"), http.StatusCreated),
		func(ctx context.Context, a audit.Actor, in *DevicePath) (*body[api.Assessment], error) {
			return answer(f.svc.SubmitAnswers(ctx, a, in.ID))
		})
}

// document is an answer that is no JSON of ours.
type document struct {
	Type        string `header:"Content-Type"`
	Disposition string `header:"Content-Disposition"`
	Body        []byte
}

func file(r api.Report, err error) (*document, error) {
	if err != nil {
		return nil, err
	}
	return &document{Type: r.Type, Disposition: mime.FormatMediaType("attachment", map[string]string{"filename": r.Name}), Body: r.Body}, nil
}

// reportRoutes write for others what the platform knows.
func (f *face) reportRoutes() {
	route(f, op(http.MethodGet, "/v1/assessments/{id}/report", "get-report", "assessments", "An assessment in a format for others; \"bundle\" is the signed evidence, to be graded again anywhere"),
		func(ctx context.Context, a audit.Actor, in *struct {
			Spoken
			ID     ringwall.AssessID `path:"id" maxLength:"64"`
			Format string            `query:"format" enum:"html,pdf,sarif,oscal,cyclonedx,csv,bundle" default:"html"`
		}) (*document, error) {
			return file(f.svc.Report(ctx, a, in.ID, in.Format, in.Language))
		})
	route(f, op(http.MethodGet, "/v1/fleet/report", "get-fleet-report", "fleet", "The organisation's devices compared"),
		func(ctx context.Context, a audit.Actor, in *struct {
			Spoken
			Format string `query:"format" enum:"html,csv,trend" default:"html"`
		}) (*document, error) {
			return file(f.svc.FleetReport(ctx, a, in.Format, in.Language))
		})
}

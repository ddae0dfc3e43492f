package httpapi

import (
	"context"
	"net/http"
	"time"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/api"
	"github.com/ringwall/ringwall/internal/audit"
)

// Paged is the input of a list.
type Paged struct {
	Cursor string `query:"cursor" maxLength:"512" doc:"next of the page before; empty for the first"`
	Limit  int    `query:"limit" minimum:"1" maximum:"500" default:"50" doc:"most items on the page"`
}

func (p Paged) paging() Paging { return Paging(p) }

// Back is the input of a list that is read backwards in time.
type Back struct {
	Before time.Time `query:"before" doc:"only what is older; empty for the newest"`
	Limit  int       `query:"limit" minimum:"1" maximum:"500" default:"50" doc:"most entries"`
}

func (f *face) fleetRoutes() {
	route(f, op(http.MethodGet, "/v1/overview", "overview", "fleet", "The fleet at a glance"),
		func(ctx context.Context, a audit.Actor, _ *none) (*body[api.Overview], error) {
			return answer(f.svc.Overview(ctx, a))
		})
	route(f, op(http.MethodGet, "/v1/audit", "audit", "fleet", "Acts that were authorised or refused, newest first"),
		func(ctx context.Context, a audit.Actor, in *Back) (*body[[]api.AuditEntry], error) {
			return answer(f.svc.Audit(ctx, a, in.Before, in.Limit))
		})
	route(f, status(op(http.MethodPost, "/v1/demo/attacks", "start-attack", "fleet", "Start an attack of the demo"), http.StatusAccepted),
		func(ctx context.Context, a audit.Actor, in *struct{ Body api.AttackStart }) (*nothing, error) {
			return &nothing{}, f.svc.DemoAttack(ctx, a, in.Body.Attack, in.Body.On)
		})
	timeline[ringwall.DeviceID](f, "devices", "device", ringwall.SubjectDevice)
	timeline[ringwall.GatewayID](f, "gateways", "gateway", ringwall.SubjectGateway)
	timeline[ringwall.SIMID](f, "sims", "sim", ringwall.SubjectSIM)
	timeline[ringwall.IncidentID](f, "incidents", "incident", ringwall.SubjectIncident)
}

// timeline registers the timeline of one kind of subject.
func timeline[T ~string](f *face, plural, kind string, subject ringwall.SubjectKind) {
	route(f, op(http.MethodGet, "/v1/"+plural+"/{id}/timeline", kind+"-timeline", plural, "Everything that happened to a "+kind+", newest first"),
		func(ctx context.Context, a audit.Actor, in *struct {
			ID T `path:"id" maxLength:"64"`
			Back
		}) (*body[[]api.TimelineEntry], error) {
			return answer(f.svc.Timeline(ctx, a, ringwall.Subject{Kind: subject, ID: string(in.ID)}, in.Before, in.Limit))
		})
}

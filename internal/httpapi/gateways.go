package httpapi

import (
	"context"
	"net/http"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/api"
	"github.com/ringwall/ringwall/internal/audit"
)

// GatewayPath names a gateway in a path.
type GatewayPath struct {
	ID ringwall.GatewayID `path:"id" maxLength:"64"`
}

func (f *face) gatewayRoutes() {
	route(f, op(http.MethodGet, "/v1/gateways", "list-gateways", "gateways", "Gateways"),
		func(ctx context.Context, a audit.Actor, in *Paged) (*body[api.Page[api.Gateway]], error) {
			return answer(f.svc.Gateways(ctx, a, in.paging()))
		})
	route(f, op(http.MethodGet, "/v1/fleet/gateways", "find-gateways", "gateways", "Gateways by what somebody should look at, by template or by name"),
		func(ctx context.Context, a audit.Actor, in *struct {
			Flag     string              `query:"flag" enum:"away,old-version,clock,lost-reports,rolled-back,drift,behind,refused,dns-down,certificate,backlog,document-old,fast-path"`
			Template ringwall.TemplateID `query:"template" maxLength:"64"`
			Text     string              `query:"text" maxLength:"100" doc:"part of the name, serial number or id"`
		}) (*body[[]api.Gateway], error) {
			return answer(f.svc.FindGateways(ctx, a, GatewayFilter{Flag: in.Flag, Template: in.Template, Text: in.Text}))
		})
	route(f, op(http.MethodGet, "/v1/gateways/{id}", "get-gateway", "gateways", "One gateway"),
		func(ctx context.Context, a audit.Actor, in *GatewayPath) (*body[api.Gateway], error) {
			return answer(f.svc.Gateway(ctx, a, in.ID))
		})
	route(f, op(http.MethodPatch, "/v1/gateways/{id}", "patch-gateway", "gateways", "Change name, arrival, resolver, local networks or the remediation set"),
		func(ctx context.Context, a audit.Actor, in *struct {
			GatewayPath
			Body api.GatewayPatch
		}) (*body[api.Gateway], error) {
			return answer(f.svc.PatchGateway(ctx, a, in.ID, in.Body))
		})
	route(f, status(op(http.MethodPost, "/v1/enrol-tokens", "create-enrol-token", "gateways", "Make a one-time token for one gateway; it is shown once"), http.StatusCreated),
		func(ctx context.Context, a audit.Actor, _ *none) (*body[api.EnrolToken], error) {
			return answer(f.svc.CreateEnrolToken(ctx, a))
		})
	o := op(http.MethodPost, "/v1/enrol", "enrol", "gateways", "Enrol a gateway; the one-time token is the credential")
	o.MaxBodyBytes = 64 << 10 // a token and a certificate request
	open(f, o, func(ctx context.Context, in *struct{ Body api.EnrolRequest }) (*body[api.EnrolAnswer], error) {
		return answer(f.svc.Enrol(ctx, in.Body))
	})
}

func (f *face) simRoutes() {
	route(f, op(http.MethodGet, "/v1/sims", "list-sims", "sims", "SIMs"),
		func(ctx context.Context, a audit.Actor, in *simList) (*body[api.Page[api.SIM]], error) {
			if in.filter() == (SIMFilter{}) {
				return answer(f.svc.SIMs(ctx, a, in.paging()))
			}
			return answer(f.svc.FindSIMs(ctx, a, in.filter(), in.paging()))
		})
	route(f, status(op(http.MethodPost, "/v1/sims", "create-sim", "sims", "Register a card; its numbers are sealed and never given back"), http.StatusCreated),
		func(ctx context.Context, a audit.Actor, in *struct{ Body api.SIMCreate }) (*body[api.SIM], error) {
			return answer(f.svc.CreateSIM(ctx, a, in.Body))
		})
	route(f, op(http.MethodGet, "/v1/sims/{id}", "get-sim", "sims", "One SIM"),
		func(ctx context.Context, a audit.Actor, in *struct {
			ID ringwall.SIMID `path:"id" maxLength:"64"`
		}) (*body[api.SIM], error) {
			return answer(f.svc.SIM(ctx, a, in.ID))
		})
}

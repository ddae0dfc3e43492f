package httpapi

import (
	"context"
	"net/http"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/api"
	"github.com/ringwall/ringwall/internal/audit"
)

type simList struct {
	Paged
	State     string `query:"state" enum:"active,suspended,unknown"`
	Customer  string `query:"customer" maxLength:"63"`
	Tariff    string `query:"tariff" maxLength:"63"`
	Seller    string `query:"seller" maxLength:"63"`
	Area      string `query:"area" maxLength:"63"`
	NoDevice  bool   `query:"nodevice" doc:"in no device"`
	Separated bool   `query:"separated" doc:"in other equipment than they are bound to"`
	Silent    bool   `query:"silent" doc:"used before, and not for a week"`
	Never     bool   `query:"never" doc:"never used"`
}

func (in simList) filter() SIMFilter {
	return SIMFilter{State: in.State, Customer: in.Customer, Tariff: in.Tariff, Seller: in.Seller, Area: in.Area, NoDevice: in.NoDevice, Separated: in.Separated, Silent: in.Silent, Never: in.Never}
}

// counted answers how many there are.
type counted struct {
	Count int `json:"count"`
}

func (f *face) simUseRoutes() {
	route(f, op(http.MethodGet, "/v1/sims/{id}/card", "get-sim-card", "sims", "All that is known of one SIM"),
		func(ctx context.Context, a audit.Actor, in *SIMPath) (*body[api.SIMCard], error) {
			return answer(f.svc.SIMCard(ctx, a, in.ID))
		})
	route(f, op(http.MethodPost, "/v1/sims/{id}/reveal", "reveal-sim", "sims", "Show the numbers of a SIM in clear; who asked and why is written down, and it can be done seldom"),
		func(ctx context.Context, a audit.Actor, in *struct {
			SIMPath
			Body api.SIMReveal
		}) (*body[api.SIMNumbers], error) {
			return answer(f.svc.RevealSIM(ctx, a, in.ID, in.Body))
		})
	route(f, op(http.MethodPatch, "/v1/sims/{id}", "patch-sim", "sims", "Say whose card it is"),
		func(ctx context.Context, a audit.Actor, in *struct {
			SIMPath
			Body api.SIMPatch
		}) (*body[api.SIM], error) {
			return answer(f.svc.PatchSIM(ctx, a, in.ID, in.Body))
		})
	route(f, op(http.MethodPost, "/v1/sims/batch", "create-sims", "sims", "Register up to 1000 cards; each that is good is taken"),
		func(ctx context.Context, a audit.Actor, in *struct{ Body api.SIMBatch }) (*body[api.SIMBatchAnswer], error) {
			return answer(f.svc.CreateSIMs(ctx, a, in.Body))
		})
	route(f, op(http.MethodGet, "/v1/sim-alerts", "list-sim-alerts", "sims", "What rules said of cards, newest first"),
		func(ctx context.Context, a audit.Actor, in *struct {
			Paged
			SIM      ringwall.SIMID `query:"sim" maxLength:"64"`
			Customer string         `query:"customer" maxLength:"63"`
			Rule     string         `query:"rule" maxLength:"64"`
			Area     string         `query:"area" maxLength:"63"`
			Loud     bool           `query:"loud" doc:"only those that were not kept quiet"`
		}) (*body[api.Page[api.SIMAlert]], error) {
			return answer(f.svc.SIMAlerts(ctx, a, SIMAlertFilter{SIM: in.SIM, Customer: in.Customer, Rule: in.Rule, Area: in.Area, Loud: in.Loud}, in.paging()))
		})
	route(f, op(http.MethodPost, "/v1/sim-alerts/{id}/decision", "decide-sim-alert", "sims", "Say what an alert is; except makes an exception in the same act"),
		func(ctx context.Context, a audit.Actor, in *struct {
			ID   ringwall.AlertID `path:"id" maxLength:"64"`
			Body api.AlertDecision
		}) (*body[api.SIMAlert], error) {
			return answer(f.svc.DecideSIMAlert(ctx, a, in.ID, in.Body))
		})
	route(f, op(http.MethodGet, "/v1/sim-fleet", "get-sim-fleet", "sims", "The fleet of cards at a glance"),
		func(ctx context.Context, a audit.Actor, _ *none) (*body[api.SIMFleet], error) {
			return answer(f.svc.SIMFleet(ctx, a))
		})
	route(f, op(http.MethodGet, "/v1/sim-fleet/devices", "list-devices-without-sim", "sims", "Devices that no card is in"),
		func(ctx context.Context, a audit.Actor, in *Paged) (*body[api.Page[api.Device]], error) {
			return answer(f.svc.DevicesWithoutSIM(ctx, a, in.paging()))
		})
	route(f, op(http.MethodGet, "/v1/usage-areas", "list-usage-areas", "usage", "Where areas are"),
		func(ctx context.Context, a audit.Actor, in *Paged) (*body[api.Page[api.UsageArea]], error) {
			return answer(f.svc.UsageAreas(ctx, a, in.paging()))
		})
	route(f, op(http.MethodPut, "/v1/usage-areas", "put-usage-areas", "usage", "Replace the table of areas, or add to it"),
		func(ctx context.Context, a audit.Actor, in *struct {
			Add  bool `query:"add" doc:"keep the areas that are there"`
			Body []api.UsageArea
		}) (*body[counted], error) {
			n, err := f.svc.PutUsageAreas(ctx, a, in.Body, in.Add)
			return answer(counted{n}, err)
		})
	route(f, op(http.MethodGet, "/v1/credits", "list-credits", "usage", "Credit of customers or sellers, the least first"),
		func(ctx context.Context, a audit.Actor, in *struct {
			Kind string `query:"kind" enum:"customer,seller" default:"customer"`
		}) (*body[[]api.Credit], error) {
			return answer(f.svc.Credits(ctx, a, in.Kind))
		})
	route(f, op(http.MethodGet, "/v1/credits/one", "get-credit", "usage", "Credit of one customer or seller, explained"),
		func(ctx context.Context, a audit.Actor, in *struct {
			Kind string `query:"kind" enum:"customer,seller" default:"customer"`
			Name string `query:"name" maxLength:"63"`
		}) (*body[api.Credit], error) {
			return answer(f.svc.Credit(ctx, a, in.Kind, in.Name))
		})
}

func (f *face) usageRuleRoutes() {
	route(f, op(http.MethodGet, "/v1/usage-rules", "list-usage-rules", "usage", "The rules over usage records"),
		func(ctx context.Context, a audit.Actor, _ *none) (*body[[]api.UsageRule], error) {
			return answer(f.svc.UsageRules(ctx, a))
		})
	route(f, op(http.MethodGet, "/v1/usage-settings", "list-usage-settings", "usage", "What usage records are judged by: the newest version of each"),
		func(ctx context.Context, a audit.Actor, _ *none) (*body[[]api.UsageSettings], error) {
			return answer(f.svc.AllUsageSettings(ctx, a))
		})
	route(f, op(http.MethodGet, "/v1/usage-settings/versions", "list-usage-settings-versions", "usage", "The versions of one customer's or tariff's settings, newest first"),
		func(ctx context.Context, a audit.Actor, in *struct {
			Customer string `query:"customer" maxLength:"63"`
			Tariff   string `query:"tariff" maxLength:"63"`
		}) (*body[[]api.UsageSettings], error) {
			return answer(f.svc.UsageSettings(ctx, a, in.Customer, in.Tariff))
		})
	route(f, op(http.MethodPut, "/v1/usage-settings", "put-usage-settings", "usage", "Make the next version; records are judged by it from now on"),
		func(ctx context.Context, a audit.Actor, in *struct{ Body api.UsageSettings }) (*body[[]api.UsageSettings], error) {
			return answer(f.svc.PutUsageSettings(ctx, a, in.Body))
		})
	route(f, op(http.MethodPost, "/v1/usage-settings/undo", "undo-usage-settings", "usage", "Go back to the version before"),
		func(ctx context.Context, a audit.Actor, in *struct {
			Body struct {
				Customer string `json:"customer" maxLength:"63"`
				Tariff   string `json:"tariff,omitempty" maxLength:"63"`
			}
		}) (*body[[]api.UsageSettings], error) {
			return answer(f.svc.UndoUsageSettings(ctx, a, in.Body.Customer, in.Body.Tariff))
		})
	route(f, op(http.MethodPost, "/v1/usage-settings/try", "try-usage-settings", "usage", "Tell what settings would have changed; nothing is changed"),
		func(ctx context.Context, a audit.Actor, in *struct{ Body api.UsageTry }) (*body[api.UsageTrial], error) {
			return answer(f.svc.TryUsageSettings(ctx, a, in.Body))
		})
	route(f, op(http.MethodGet, "/v1/usage-exceptions", "list-usage-exceptions", "usage", "Exceptions, maintenance windows and planned swaps, newest first"),
		func(ctx context.Context, a audit.Actor, in *struct {
			Paged
			SIM  ringwall.SIMID `query:"sim" maxLength:"64"`
			Live bool           `query:"live" doc:"only those that have not ended"`
		}) (*body[api.Page[api.UsageException]], error) {
			return answer(f.svc.Exceptions(ctx, a, in.SIM, in.Live, in.paging()))
		})
	route(f, status(op(http.MethodPost, "/v1/usage-exceptions", "create-usage-exception", "usage", "Make an exception, a maintenance window or a planned swap"), http.StatusCreated),
		func(ctx context.Context, a audit.Actor, in *struct{ Body api.ExceptionCreate }) (*body[api.UsageException], error) {
			return answer(f.svc.CreateException(ctx, a, in.Body))
		})
	route(f, op(http.MethodPost, "/v1/usage-exceptions/{id}/end", "end-usage-exception", "usage", "End an exception before its time"),
		func(ctx context.Context, a audit.Actor, in *struct {
			ID ringwall.ExceptionID `path:"id" maxLength:"64"`
		}) (*body[api.UsageException], error) {
			return answer(f.svc.EndException(ctx, a, in.ID))
		})
	route(f, op(http.MethodGet, "/v1/imei-pools", "list-imei-pools", "usage", "Pools of equipment in which cards may sit"),
		func(ctx context.Context, a audit.Actor, _ *none) (*body[[]api.IMEIPool], error) {
			return answer(f.svc.IMEIPools(ctx, a))
		})
	route(f, op(http.MethodPut, "/v1/imei-pools", "put-imei-pool", "usage", "Make a pool or replace one; IMEIs are sealed and never given back"),
		func(ctx context.Context, a audit.Actor, in *struct{ Body api.IMEIPool }) (*body[api.IMEIPool], error) {
			return answer(f.svc.PutIMEIPool(ctx, a, in.Body))
		})
	route(f, op(http.MethodDelete, "/v1/imei-pools", "drop-imei-pool", "usage", "Forget a pool"),
		func(ctx context.Context, a audit.Actor, in *struct {
			Name string `query:"name" maxLength:"63"`
		}) (*nothing, error) {
			return &nothing{}, f.svc.DropIMEIPool(ctx, a, in.Name)
		})
}

func (f *face) warningRoutes() {
	route(f, op(http.MethodGet, "/v1/warning-routes", "list-warning-routes", "warnings", "To whom warnings go"),
		func(ctx context.Context, a audit.Actor, _ *none) (*body[[]api.WarningRoute], error) {
			return answer(f.svc.WarningRoutes(ctx, a))
		})
	route(f, status(op(http.MethodPost, "/v1/warning-routes", "create-warning-route", "warnings", "Say to which party's system warnings go; its secret is shown once"), http.StatusCreated),
		func(ctx context.Context, a audit.Actor, in *struct{ Body api.WarningRoutePut }) (*body[api.WarningRoute], error) {
			return answer(f.svc.PutWarningRoute(ctx, a, "", in.Body))
		})
	type path struct {
		ID ringwall.RouteID `path:"id" maxLength:"64"`
	}
	route(f, op(http.MethodPut, "/v1/warning-routes/{id}", "put-warning-route", "warnings", "Change a route"),
		func(ctx context.Context, a audit.Actor, in *struct {
			ID   ringwall.RouteID `path:"id" maxLength:"64"`
			Body api.WarningRoutePut
		}) (*body[api.WarningRoute], error) {
			return answer(f.svc.PutWarningRoute(ctx, a, in.ID, in.Body))
		})
	route(f, op(http.MethodDelete, "/v1/warning-routes/{id}", "drop-warning-route", "warnings", "End a route, and what waits on it"),
		func(ctx context.Context, a audit.Actor, in *path) (*nothing, error) {
			return &nothing{}, f.svc.DropWarningRoute(ctx, a, in.ID)
		})
	route(f, op(http.MethodPost, "/v1/warning-routes/{id}/test", "test-warning-route", "warnings", "Send a warning of nothing"),
		func(ctx context.Context, a audit.Actor, in *path) (*body[api.Delivery], error) {
			return answer(f.svc.TestWarningRoute(ctx, a, in.ID))
		})
	route(f, op(http.MethodGet, "/v1/warnings", "list-warnings", "warnings", "Warnings on their way and those that have come, newest first"),
		func(ctx context.Context, a audit.Actor, in *struct {
			Paged
			Route ringwall.RouteID `query:"route" maxLength:"64"`
		}) (*body[api.Page[api.Delivery]], error) {
			return answer(f.svc.Deliveries(ctx, a, in.Route, in.paging()))
		})
}

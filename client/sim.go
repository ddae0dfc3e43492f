package client

import (
	"context"
	"net/http"
	"net/url"
	"strconv"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/api"
)

// SIMFilter narrows a list of cards; zero fields do not.
type SIMFilter struct {
	State, Customer, Tariff, Seller, Area string
	NoDevice, Separated, Silent, Never    bool
}

// FindSIMs lists the cards that a filter means.
func (c *Client) FindSIMs(ctx context.Context, f SIMFilter, p Paging) (api.Page[api.SIM], error) {
	q := url.Values{}
	for name, v := range map[string]string{"state": f.State, "customer": f.Customer, "tariff": f.Tariff, "seller": f.Seller, "area": f.Area} {
		set(q, name, v)
	}
	for name, v := range map[string]bool{"nodevice": f.NoDevice, "separated": f.Separated, "silent": f.Silent, "never": f.Never} {
		if v {
			q.Set(name, "true")
		}
	}
	return get[api.Page[api.SIM]](ctx, c, path("sims"), p.into(q))
}

// SIMCard answers all that is known of one card.
func (c *Client) SIMCard(ctx context.Context, id ringwall.SIMID) (api.SIMCard, error) {
	return get[api.SIMCard](ctx, c, path("sims", string(id), "card"), nil)
}

// PatchSIM says whose card it is.
func (c *Client) PatchSIM(ctx context.Context, id ringwall.SIMID, in api.SIMPatch) (api.SIM, error) {
	return patch[api.SIM](ctx, c, path("sims", string(id)), in)
}

// RevealSIM answers the numbers of a SIM in clear. The reason is written down.
func (c *Client) RevealSIM(ctx context.Context, id ringwall.SIMID, reason string) (api.SIMNumbers, error) {
	return post[api.SIMNumbers](ctx, c, path("sims", string(id), "reveal"), api.SIMReveal{Reason: reason})
}

// CreateSIMs registers up to api.MaxBatch cards.
func (c *Client) CreateSIMs(ctx context.Context, in api.SIMBatch) (api.SIMBatchAnswer, error) {
	return post[api.SIMBatchAnswer](ctx, c, path("sims", "batch"), in)
}

// SIMAlerts lists what rules said of cards ("" = of all), newest first.
func (c *Client) SIMAlerts(ctx context.Context, sim ringwall.SIMID, rule string, p Paging) (api.Page[api.SIMAlert], error) {
	q := url.Values{}
	set(q, "sim", string(sim))
	set(q, "rule", rule)
	return get[api.Page[api.SIMAlert]](ctx, c, path("sim-alerts"), p.into(q))
}

// DecideSIMAlert says what an alert is.
func (c *Client) DecideSIMAlert(ctx context.Context, id ringwall.AlertID, in api.AlertDecision) (api.SIMAlert, error) {
	return post[api.SIMAlert](ctx, c, path("sim-alerts", string(id), "decision"), in)
}

// SIMFleet is the fleet of cards at a glance.
func (c *Client) SIMFleet(ctx context.Context) (api.SIMFleet, error) {
	return get[api.SIMFleet](ctx, c, path("sim-fleet"), nil)
}

// DevicesWithoutSIM lists devices that no card is in.
func (c *Client) DevicesWithoutSIM(ctx context.Context, p Paging) (api.Page[api.Device], error) {
	return get[api.Page[api.Device]](ctx, c, path("sim-fleet", "devices"), p.into(url.Values{}))
}

// PutUsageAreas replaces the table of areas, or adds to it.
func (c *Client) PutUsageAreas(ctx context.Context, areas []api.UsageArea, add bool) error {
	q := url.Values{"add": {strconv.FormatBool(add)}}
	var out struct {
		Count int `json:"count"`
	}
	return c.send(ctx, call{method: http.MethodPut, path: path("usage-areas"), query: q, in: areas}, &out)
}

// UsageAreas lists where areas are.
func (c *Client) UsageAreas(ctx context.Context, p Paging) (api.Page[api.UsageArea], error) {
	return get[api.Page[api.UsageArea]](ctx, c, path("usage-areas"), p.into(url.Values{}))
}

// Credits lists the credit of customers ("customer") or sellers ("seller").
func (c *Client) Credits(ctx context.Context, kind string) ([]api.Credit, error) {
	return get[[]api.Credit](ctx, c, path("credits"), url.Values{"kind": {kind}})
}

// Credit answers one.
func (c *Client) Credit(ctx context.Context, kind, name string) (api.Credit, error) {
	return get[api.Credit](ctx, c, path("credits", "one"), url.Values{"kind": {kind}, "name": {name}})
}

// UsageRules describes the rules over usage records.
func (c *Client) UsageRules(ctx context.Context) ([]api.UsageRule, error) {
	return get[[]api.UsageRule](ctx, c, path("usage-rules"), nil)
}

// AllUsageSettings lists what usage records are judged by.
func (c *Client) AllUsageSettings(ctx context.Context) ([]api.UsageSettings, error) {
	return get[[]api.UsageSettings](ctx, c, path("usage-settings"), nil)
}

// UsageSettings lists the versions for a customer and tariff, newest first.
func (c *Client) UsageSettings(ctx context.Context, customer, tariff string) ([]api.UsageSettings, error) {
	return get[[]api.UsageSettings](ctx, c, path("usage-settings", "versions"), url.Values{"customer": {customer}, "tariff": {tariff}})
}

// PutUsageSettings makes the next version.
func (c *Client) PutUsageSettings(ctx context.Context, in api.UsageSettings) ([]api.UsageSettings, error) {
	return put[[]api.UsageSettings](ctx, c, path("usage-settings"), in)
}

// UndoUsageSettings goes back to the version before.
func (c *Client) UndoUsageSettings(ctx context.Context, customer, tariff string) ([]api.UsageSettings, error) {
	return post[[]api.UsageSettings](ctx, c, path("usage-settings", "undo"), map[string]string{"customer": customer, "tariff": tariff})
}

// TryUsageSettings tells what settings would have changed.
func (c *Client) TryUsageSettings(ctx context.Context, in api.UsageTry) (api.UsageTrial, error) {
	return post[api.UsageTrial](ctx, c, path("usage-settings", "try"), in)
}

// Exceptions lists exceptions, windows and swaps; live only those not ended.
func (c *Client) Exceptions(ctx context.Context, sim ringwall.SIMID, live bool, p Paging) (api.Page[api.UsageException], error) {
	q := url.Values{"live": {strconv.FormatBool(live)}}
	set(q, "sim", string(sim))
	return get[api.Page[api.UsageException]](ctx, c, path("usage-exceptions"), p.into(q))
}

// CreateException makes an exception, a window or a planned swap.
func (c *Client) CreateException(ctx context.Context, in api.ExceptionCreate) (api.UsageException, error) {
	return post[api.UsageException](ctx, c, path("usage-exceptions"), in)
}

// EndException ends one before its time.
func (c *Client) EndException(ctx context.Context, id ringwall.ExceptionID) (api.UsageException, error) {
	return post[api.UsageException](ctx, c, path("usage-exceptions", string(id), "end"), nil)
}

// IMEIPools lists pools of equipment.
func (c *Client) IMEIPools(ctx context.Context) ([]api.IMEIPool, error) {
	return get[[]api.IMEIPool](ctx, c, path("imei-pools"), nil)
}

// PutIMEIPool makes a pool or replaces one.
func (c *Client) PutIMEIPool(ctx context.Context, in api.IMEIPool) (api.IMEIPool, error) {
	return put[api.IMEIPool](ctx, c, path("imei-pools"), in)
}

// DropIMEIPool forgets a pool.
func (c *Client) DropIMEIPool(ctx context.Context, name string) error {
	return c.send(ctx, call{method: http.MethodDelete, path: path("imei-pools"), query: url.Values{"name": {name}}}, nil)
}

// WarningRoutes lists to whom warnings go.
func (c *Client) WarningRoutes(ctx context.Context) ([]api.WarningRoute, error) {
	return get[[]api.WarningRoute](ctx, c, path("warning-routes"), nil)
}

// PutWarningRoute makes a route (id "") or changes one; the secret of a new one
// is in the answer.
func (c *Client) PutWarningRoute(ctx context.Context, id ringwall.RouteID, in api.WarningRoutePut) (api.WarningRoute, error) {
	if id == "" {
		return post[api.WarningRoute](ctx, c, path("warning-routes"), in)
	}
	return put[api.WarningRoute](ctx, c, path("warning-routes", string(id)), in)
}

// DropWarningRoute ends a route.
func (c *Client) DropWarningRoute(ctx context.Context, id ringwall.RouteID) error {
	return c.send(ctx, call{method: http.MethodDelete, path: path("warning-routes", string(id))}, nil)
}

// TestWarningRoute sends a warning of nothing.
func (c *Client) TestWarningRoute(ctx context.Context, id ringwall.RouteID) (api.Delivery, error) {
	return post[api.Delivery](ctx, c, path("warning-routes", string(id), "test"), nil)
}

// Deliveries lists warnings on their way and those that have come.
func (c *Client) Deliveries(ctx context.Context, route ringwall.RouteID, p Paging) (api.Page[api.Delivery], error) {
	q := url.Values{}
	set(q, "route", string(route))
	return get[api.Page[api.Delivery]](ctx, c, path("warnings"), p.into(q))
}

package client

import (
	"context"
	"fmt"
	"iter"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/api"
)

// Me answers who this client is to the platform.
func (c *Client) Me(ctx context.Context) (api.Me, error) { return get[api.Me](ctx, c, path("me"), nil) }

// Overview answers the fleet at a glance.
func (c *Client) Overview(ctx context.Context) (api.Overview, error) {
	return get[api.Overview](ctx, c, path("overview"), nil)
}

// DeviceFilter narrows a list of devices; zero fields do not.
type DeviceFilter struct {
	Text     string
	Gateway  ringwall.GatewayID
	Type     string
	Grade    *ringwall.Grade
	Trust    *ringwall.Trust
	Presence *ringwall.Presence
	Enrolled *bool
}

// Devices lists devices by name.
func (c *Client) Devices(ctx context.Context, f DeviceFilter, p Paging) (api.Page[api.Device], error) {
	q := url.Values{}
	set(q, "text", f.Text)
	set(q, "gateway", string(f.Gateway))
	set(q, "type", f.Type)
	if f.Grade != nil {
		q.Set("grade", f.Grade.String())
	}
	if f.Trust != nil {
		q.Set("trust", f.Trust.String())
	}
	if f.Presence != nil {
		q.Set("presence", f.Presence.String())
	}
	if f.Enrolled != nil {
		q.Set("enrolled", strconv.FormatBool(*f.Enrolled))
	}
	return get[api.Page[api.Device]](ctx, c, path("devices"), p.into(q))
}

// Device answers one device.
func (c *Client) Device(ctx context.Context, id ringwall.DeviceID) (api.Device, error) {
	return get[api.Device](ctx, c, path("devices", string(id)), nil)
}

// PatchDevice changes a device whose version is still the one given; the error
// has code Conflict when it is not. Version 0 takes any.
func (c *Client) PatchDevice(ctx context.Context, id ringwall.DeviceID, version uint64, in api.DevicePatch) (api.Device, error) {
	k := call{method: http.MethodPatch, path: path("devices", string(id)), in: in, header: http.Header{}}
	if version != 0 {
		k.header.Set("If-Match", fmt.Sprintf(`"v%d"`, version))
	}
	var out api.Device
	err := c.send(ctx, k, &out)
	return out, err
}

// FlowQuery narrows flow reports; zero fields do not.
type FlowQuery struct {
	From, To time.Time
	Verdict  string // "allowed", "refused", "would-refuse"
	Limit    int
}

// Flows answers a device's flow reports, newest first.
func (c *Client) Flows(ctx context.Context, id ringwall.DeviceID, f FlowQuery) ([]api.FlowRow, error) {
	q := url.Values{}
	setTime(q, "from", f.From)
	setTime(q, "to", f.To)
	set(q, "verdict", f.Verdict)
	return get[[]api.FlowRow](ctx, c, path("devices", string(id), "flows"), limited(q, f.Limit))
}

// Timeline answers what happened to a device, gateway, SIM or incident before
// a time (zero: until now), newest first.
func (c *Client) Timeline(ctx context.Context, s ringwall.Subject, before time.Time, limit int) ([]api.TimelineEntry, error) {
	plural := map[ringwall.SubjectKind]string{
		ringwall.SubjectDevice: "devices", ringwall.SubjectGateway: "gateways", ringwall.SubjectSIM: "sims", ringwall.SubjectIncident: "incidents",
	}[s.Kind]
	if plural == "" {
		return nil, ringwall.Errorf(ringwall.Invalid, "a %q has no timeline", s.Kind)
	}
	q := url.Values{}
	setTime(q, "before", before)
	return get[[]api.TimelineEntry](ctx, c, path(plural, s.ID, "timeline"), limited(q, limit))
}

// AssessDevice starts an assessment and answers its id at once.
func (c *Client) AssessDevice(ctx context.Context, id ringwall.DeviceID) (ringwall.AssessID, error) {
	out, err := post[api.AssessmentStarted](ctx, c, path("devices", string(id), "assessments"), nil)
	return out.ID, err
}

// Assessments lists a device's assessments, newest first.
func (c *Client) Assessments(ctx context.Context, id ringwall.DeviceID, p Paging) (api.Page[api.Assessment], error) {
	return get[api.Page[api.Assessment]](ctx, c, path("devices", string(id), "assessments"), p.into(url.Values{}))
}

// Assessment answers one assessment; the error has code Unavailable while it runs.
func (c *Client) Assessment(ctx context.Context, id ringwall.AssessID) (api.Assessment, error) {
	return get[api.Assessment](ctx, c, path("assessments", string(id)), nil)
}

// SubmitAssessment stores an assessment that was made elsewhere.
func (c *Client) SubmitAssessment(ctx context.Context, in api.Assessment) (api.Assessment, error) {
	return post[api.Assessment](ctx, c, path("assessments"), in)
}

// Gateways lists gateways.
func (c *Client) Gateways(ctx context.Context, p Paging) (api.Page[api.Gateway], error) {
	return get[api.Page[api.Gateway]](ctx, c, path("gateways"), p.into(url.Values{}))
}

// Gateway answers one gateway.
func (c *Client) Gateway(ctx context.Context, id ringwall.GatewayID) (api.Gateway, error) {
	return get[api.Gateway](ctx, c, path("gateways", string(id)), nil)
}

// PatchGateway changes a gateway.
func (c *Client) PatchGateway(ctx context.Context, id ringwall.GatewayID, in api.GatewayPatch) (api.Gateway, error) {
	return patch[api.Gateway](ctx, c, path("gateways", string(id)), in)
}

// CreateEnrolToken makes a one-time token for one gateway. The token is in this
// answer and nowhere else.
func (c *Client) CreateEnrolToken(ctx context.Context) (api.EnrolToken, error) {
	return post[api.EnrolToken](ctx, c, path("enrol-tokens"), nil)
}

// Enrol asks for a gateway's identity; the token in the request is the
// credential.
func (c *Client) Enrol(ctx context.Context, in api.EnrolRequest) (api.EnrolAnswer, error) {
	return post[api.EnrolAnswer](ctx, c, path("enrol"), in)
}

// SIMs lists cards.
func (c *Client) SIMs(ctx context.Context, p Paging) (api.Page[api.SIM], error) {
	return get[api.Page[api.SIM]](ctx, c, path("sims"), p.into(url.Values{}))
}

// SIM answers one card.
func (c *Client) SIM(ctx context.Context, id ringwall.SIMID) (api.SIM, error) {
	return get[api.SIM](ctx, c, path("sims", string(id)), nil)
}

// CreateSIM registers a card.
func (c *Client) CreateSIM(ctx context.Context, in api.SIMCreate) (api.SIM, error) {
	return post[api.SIM](ctx, c, path("sims"), in)
}

// IncidentFilter narrows a list of incidents; zero fields do not.
type IncidentFilter struct {
	Open   bool
	Device ringwall.DeviceID
	SIM    ringwall.SIMID
}

// Incidents lists incidents without their alerts, newest first.
func (c *Client) Incidents(ctx context.Context, f IncidentFilter, p Paging) (api.Page[api.Incident], error) {
	q := url.Values{}
	if f.Open {
		q.Set("open", "true")
	}
	set(q, "device", string(f.Device))
	set(q, "sim", string(f.SIM))
	return get[api.Page[api.Incident]](ctx, c, path("incidents"), p.into(q))
}

// Incident answers one incident with its story, alerts and responses.
func (c *Client) Incident(ctx context.Context, id ringwall.IncidentID) (api.Incident, error) {
	return get[api.Incident](ctx, c, path("incidents", string(id)), nil)
}

// PatchIncident writes down an analyst's decision.
func (c *Client) PatchIncident(ctx context.Context, id ringwall.IncidentID, in api.IncidentPatch) (api.Incident, error) {
	return patch[api.Incident](ctx, c, path("incidents", string(id)), in)
}

// ResponseFilter narrows a list of responses; zero fields do not.
type ResponseFilter struct {
	Status string
	Device ringwall.DeviceID
	SIM    ringwall.SIMID
}

// Responses lists responses, newest first.
func (c *Client) Responses(ctx context.Context, f ResponseFilter, p Paging) (api.Page[api.Response], error) {
	q := url.Values{}
	set(q, "status", f.Status)
	set(q, "device", string(f.Device))
	set(q, "sim", string(f.SIM))
	return get[api.Page[api.Response]](ctx, c, path("responses"), p.into(q))
}

// CreateResponse asks for a response; it is recorded, then done.
func (c *Client) CreateResponse(ctx context.Context, in api.ResponseCreate) (api.Response, error) {
	return post[api.Response](ctx, c, path("responses"), in)
}

// DecideResponse decides "approve", "decline" or "undo".
func (c *Client) DecideResponse(ctx context.Context, id ringwall.ResponseID, decision string) (api.Response, error) {
	return post[api.Response](ctx, c, path("responses", string(id), "decision"), api.ResponseDecision{Decision: decision})
}

// Users lists the users of one's organisation.
func (c *Client) Users(ctx context.Context) ([]api.User, error) {
	return get[[]api.User](ctx, c, path("users"), nil)
}

// CreateUser makes a user of one's organisation.
func (c *Client) CreateUser(ctx context.Context, in api.UserCreate) (api.User, error) {
	return post[api.User](ctx, c, path("users"), in)
}

// Parties lists who plays which part.
func (c *Client) Parties(ctx context.Context) ([]ringwall.Party, error) {
	return get[[]ringwall.Party](ctx, c, path("parties"), nil)
}

// Tokens lists API tokens without their secrets.
func (c *Client) Tokens(ctx context.Context) ([]api.APIToken, error) {
	return get[[]api.APIToken](ctx, c, path("tokens"), nil)
}

// CreateToken makes an API token. The secret is in this answer and nowhere else.
func (c *Client) CreateToken(ctx context.Context, in api.TokenCreate) (api.APIToken, error) {
	return post[api.APIToken](ctx, c, path("tokens"), in)
}

// DeleteToken takes an API token back.
func (c *Client) DeleteToken(ctx context.Context, id ringwall.TokenID) error {
	return c.send(ctx, call{method: http.MethodDelete, path: path("tokens", string(id))}, nil)
}

// Audit answers acts that were authorised or refused before a time (zero:
// until now), newest first.
func (c *Client) Audit(ctx context.Context, before time.Time, limit int) ([]api.AuditEntry, error) {
	q := url.Values{}
	setTime(q, "before", before)
	return get[[]api.AuditEntry](ctx, c, path("audit"), limited(q, limit))
}

// StartAttack starts an attack of the demo on an actor of the range, "" for
// the attack's usual victim.
func (c *Client) StartAttack(ctx context.Context, attack, on string) error {
	return c.send(ctx, call{method: http.MethodPost, path: path("demo", "attacks"), in: api.AttackStart{Attack: attack, On: on}}, nil)
}

// All walks every page of a list, such as
//
//	for d, err := range client.All(ctx, func(ctx context.Context, p client.Paging) (api.Page[api.Device], error) {
//		return c.Devices(ctx, client.DeviceFilter{}, p)
//	}) { … }
//
// It ends after the first error.
func All[T any](ctx context.Context, list func(context.Context, Paging) (api.Page[T], error)) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		var p Paging
		for {
			page, err := list(ctx, p)
			if err != nil {
				var zero T
				yield(zero, err)
				return
			}
			for _, v := range page.Items {
				if !yield(v, nil) {
					return
				}
			}
			if page.Next == "" || page.Next == p.Cursor {
				return
			}
			p.Cursor = page.Next
		}
	}
}

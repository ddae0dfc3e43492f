package client

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strconv"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/api"
)

// DevicePolicy tells what a device may do, and who says so.
func (c *Client) DevicePolicy(ctx context.Context, id ringwall.DeviceID) (api.PolicyView, error) {
	return get[api.PolicyView](ctx, c, path("devices", string(id), "policy"), nil)
}

// PutOwnerTerms replaces what the owner of a device says.
func (c *Client) PutOwnerTerms(ctx context.Context, id ringwall.DeviceID, in api.OwnerTerms) (api.PolicyView, error) {
	return put[api.PolicyView](ctx, c, path("devices", string(id), "terms"), in)
}

// ExplainPolicy tells what other terms of a device's owner would do; it changes
// nothing.
func (c *Client) ExplainPolicy(ctx context.Context, id ringwall.DeviceID, in api.OwnerTerms) (api.PolicyChange, error) {
	return post[api.PolicyChange](ctx, c, path("devices", string(id), "terms", "explain"), in)
}

// Groups lists groups by name.
func (c *Client) Groups(ctx context.Context) ([]api.Group, error) {
	return get[[]api.Group](ctx, c, path("groups"), nil)
}

// Group answers one group.
func (c *Client) Group(ctx context.Context, id ringwall.GroupID) (api.Group, error) {
	return get[api.Group](ctx, c, path("groups", string(id)), nil)
}

// GroupDevices lists the devices that are in a group.
func (c *Client) GroupDevices(ctx context.Context, id ringwall.GroupID) ([]api.Device, error) {
	return get[[]api.Device](ctx, c, path("groups", string(id), "devices"), nil)
}

// CreateGroup makes a group.
func (c *Client) CreateGroup(ctx context.Context, in api.GroupPatch) (api.Group, error) {
	return post[api.Group](ctx, c, path("groups"), in)
}

// PatchGroup changes a group whose version is still the one given; the error has
// code Conflict when it is not. Version 0 takes any.
func (c *Client) PatchGroup(ctx context.Context, id ringwall.GroupID, version uint64, in api.GroupPatch) (api.Group, error) {
	k := call{method: http.MethodPatch, path: path("groups", string(id)), in: in, header: http.Header{}}
	if version != 0 {
		k.header.Set("If-Match", fmt.Sprintf(`"v%d"`, version))
	}
	var out api.Group
	err := c.send(ctx, k, &out)
	return out, err
}

// DeleteGroup forgets a group.
func (c *Client) DeleteGroup(ctx context.Context, id ringwall.GroupID) error {
	return c.send(ctx, call{method: http.MethodDelete, path: path("groups", string(id))}, nil)
}

// Rollouts lists rollouts, newest first.
func (c *Client) Rollouts(ctx context.Context, p Paging) (api.Page[api.Rollout], error) {
	return get[api.Page[api.Rollout]](ctx, c, path("rollouts"), p.into(url.Values{}))
}

// Rollout answers one rollout.
func (c *Client) Rollout(ctx context.Context, id ringwall.RolloutID) (api.Rollout, error) {
	return get[api.Rollout](ctx, c, path("rollouts", string(id)), nil)
}

// StartRollout puts a change of policy in force by stages.
func (c *Client) StartRollout(ctx context.Context, in api.RolloutStart) (api.Rollout, error) {
	return post[api.Rollout](ctx, c, path("rollouts"), in)
}

// DecideRollout stops a rollout and undoes it ("stop"), or lets it go on ("resume").
func (c *Client) DecideRollout(ctx context.Context, id ringwall.RolloutID, in api.RolloutDecision) (api.Rollout, error) {
	return post[api.Rollout](ctx, c, path("rollouts", string(id), "decision"), in)
}

// Templates lists the newest version of each template, by name.
func (c *Client) Templates(ctx context.Context) ([]api.Template, error) {
	return get[[]api.Template](ctx, c, path("templates"), nil)
}

// Template answers one version of a template; 0 is the newest.
func (c *Client) Template(ctx context.Context, id ringwall.TemplateID, version int) (api.Template, error) {
	q := url.Values{}
	if version != 0 {
		q.Set("version", strconv.Itoa(version))
	}
	return get[api.Template](ctx, c, path("templates", string(id)), q)
}

// PutTemplate makes a template (id ""), or its next version.
func (c *Client) PutTemplate(ctx context.Context, id ringwall.TemplateID, in api.TemplatePut) (api.Template, error) {
	if id == "" {
		return post[api.Template](ctx, c, path("templates"), in)
	}
	return put[api.Template](ctx, c, path("templates", string(id)), in)
}

// BulkEnrol makes what enrols many gateways. The tokens are in this answer and
// nowhere else.
func (c *Client) BulkEnrol(ctx context.Context, in api.BulkEnrol) (api.BulkTokens, error) {
	return post[api.BulkTokens](ctx, c, path("enrol-tokens", "bulk"), in)
}

// GatewayFilter narrows a list of gateways; zero fields do not.
type GatewayFilter struct {
	Flag     string // one of api.GatewayFlags
	Template ringwall.TemplateID
	Text     string
}

// FindGateways lists the gateways that a filter means, by name.
func (c *Client) FindGateways(ctx context.Context, f GatewayFilter) ([]api.Gateway, error) {
	q := url.Values{}
	set(q, "flag", f.Flag)
	set(q, "template", string(f.Template))
	set(q, "text", f.Text)
	return get[[]api.Gateway](ctx, c, path("fleet", "gateways"), q)
}

func put[T any](ctx context.Context, c *Client, p string, in any) (T, error) {
	var out T
	err := c.send(ctx, call{method: http.MethodPut, path: p, in: in}, &out)
	return out, err
}

// LearnPolicy proposes the least that a device needs, out of its flow reports.
func (c *Client) LearnPolicy(ctx context.Context, id ringwall.DeviceID, in api.LearnRequest) (api.PolicyDraft, error) {
	return post[api.PolicyDraft](ctx, c, path("devices", string(id), "learn"), in)
}

// ApproveDraft makes terms of a proposal.
func (c *Client) ApproveDraft(ctx context.Context, id ringwall.DeviceID, in api.DraftApproval) (api.PolicyView, error) {
	return post[api.PolicyView](ctx, c, path("devices", string(id), "learn", "approve"), in)
}

// MUD answers what is known of a device's usage description.
func (c *Client) MUD(ctx context.Context, id ringwall.DeviceID) (api.MUDState, error) {
	return get[api.MUDState](ctx, c, path("devices", string(id), "mud"), nil)
}

// PutMUD names the URL of a usage description, or hands the file in.
func (c *Client) PutMUD(ctx context.Context, id ringwall.DeviceID, in api.MUDPut) (api.MUDState, error) {
	return put[api.MUDState](ctx, c, path("devices", string(id), "mud"), in)
}

// DecideMUD decides on a usage description: "narrow", "approve", "decline",
// "keep" or "refresh".
func (c *Client) DecideMUD(ctx context.Context, id ringwall.DeviceID, decision string) (api.MUDState, error) {
	return post[api.MUDState](ctx, c, path("devices", string(id), "mud", "decision"), api.MUDDecision{Decision: decision})
}

// ExplainMUD tells what the description that is handed in would do, or the one
// that waits when none is; it keeps nothing.
func (c *Client) ExplainMUD(ctx context.Context, id ringwall.DeviceID, in api.MUDPut) (api.MUDPreview, error) {
	return post[api.MUDPreview](ctx, c, path("devices", string(id), "mud", "explain"), in)
}

// MUDTasks lists the usage descriptions that wait for a person.
func (c *Client) MUDTasks(ctx context.Context) ([]api.MUDTask, error) {
	return get[[]api.MUDTask](ctx, c, path("mud", "tasks"), nil)
}

// MUDSettings says whose signatures of usage descriptions are trusted.
func (c *Client) MUDSettings(ctx context.Context) (api.MUDSettings, error) {
	return get[api.MUDSettings](ctx, c, path("mud", "settings"), nil)
}

// PutMUDSettings lays it down anew; only administrators may.
func (c *Client) PutMUDSettings(ctx context.Context, in api.MUDSettings) (api.MUDSettings, error) {
	return put[api.MUDSettings](ctx, c, path("mud", "settings"), in)
}

// CreateDevice makes a device that is known by its SIM alone.
func (c *Client) CreateDevice(ctx context.Context, in api.DeviceCreate) (api.Device, error) {
	return post[api.Device](ctx, c, path("devices"), in)
}

// ExportMUD drafts a usage description of what is in force.
func (c *Client) ExportMUD(ctx context.Context, id ringwall.DeviceID) (api.MUDExport, error) {
	return get[api.MUDExport](ctx, c, path("devices", string(id), "mud", "export"), nil)
}

// SIMProfiles lists the versions of what a card may be used for, newest first.
func (c *Client) SIMProfiles(ctx context.Context, id ringwall.SIMID) ([]api.SIMProfile, error) {
	return get[[]api.SIMProfile](ctx, c, path("sims", string(id), "profile"), nil)
}

// PutSIMProfile says what a card may be used for.
func (c *Client) PutSIMProfile(ctx context.Context, id ringwall.SIMID, in api.FunctionProfile) ([]api.SIMProfile, error) {
	return put[[]api.SIMProfile](ctx, c, path("sims", string(id), "profile"), in)
}

// UndoSIMProfile goes back to the version before the newest.
func (c *Client) UndoSIMProfile(ctx context.Context, id ringwall.SIMID) ([]api.SIMProfile, error) {
	return post[[]api.SIMProfile](ctx, c, path("sims", string(id), "profile", "undo"), nil)
}

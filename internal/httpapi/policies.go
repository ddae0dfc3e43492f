package httpapi

import (
	"context"
	"net/http"
	"strconv"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/api"
	"github.com/ringwall/ringwall/internal/audit"
)

// Policies say what a device may do.
type Policies interface {
	// DevicePolicy tells what a device may do, and who says so.
	DevicePolicy(ctx context.Context, a audit.Actor, id ringwall.DeviceID) (api.PolicyView, error)
	// PutOwnerTerms replaces what the owner of a device says.
	PutOwnerTerms(ctx context.Context, a audit.Actor, id ringwall.DeviceID, in api.OwnerTerms) (api.PolicyView, error)
	// ExplainPolicy tells what other terms of the owner would do, and does nothing.
	ExplainPolicy(ctx context.Context, a audit.Actor, id ringwall.DeviceID, in api.OwnerTerms) (api.PolicyChange, error)
	// LearnPolicy proposes the least that a device needs, out of its flow reports.
	LearnPolicy(ctx context.Context, a audit.Actor, id ringwall.DeviceID, in api.LearnRequest) (api.PolicyDraft, error)
	// ApproveDraft makes terms of a proposal: the owner's, or a group's.
	ApproveDraft(ctx context.Context, a audit.Actor, id ringwall.DeviceID, in api.DraftApproval) (api.PolicyView, error)

	// MUD answers NotFound when no usage description of the device is known.
	MUD(ctx context.Context, a audit.Actor, id ringwall.DeviceID) (api.MUDState, error)
	// PutMUD names the URL of a description, and fetches it, or takes the file.
	PutMUD(ctx context.Context, a audit.Actor, id ringwall.DeviceID, in api.MUDPut) (api.MUDState, error)
	DecideMUD(ctx context.Context, a audit.Actor, id ringwall.DeviceID, in api.MUDDecision) (api.MUDState, error)
	// ExplainMUD tells what the file that is handed in would do, or the one that waits
	// when none is. Nothing is kept.
	ExplainMUD(ctx context.Context, a audit.Actor, id ringwall.DeviceID, in api.MUDPut) (api.MUDPreview, error)
	// MUDTasks lists the descriptions that wait for a person, by device.
	MUDTasks(ctx context.Context, a audit.Actor) ([]api.MUDTask, error)
	// MUDSettings says whose signatures are trusted. Only administrators change it.
	MUDSettings(ctx context.Context, a audit.Actor) (api.MUDSettings, error)
	PutMUDSettings(ctx context.Context, a audit.Actor, in api.MUDSettings) (api.MUDSettings, error)
	// ExportMUD drafts a description of what is in force.
	ExportMUD(ctx context.Context, a audit.Actor, id ringwall.DeviceID) (api.MUDExport, error)

	// SIMProfiles lists the versions of what a card may be used for, newest first.
	SIMProfiles(ctx context.Context, a audit.Actor, id ringwall.SIMID) ([]api.SIMProfile, error)
	PutSIMProfile(ctx context.Context, a audit.Actor, id ringwall.SIMID, in api.FunctionProfile) ([]api.SIMProfile, error)
	// UndoSIMProfile goes back to the version before the newest.
	UndoSIMProfile(ctx context.Context, a audit.Actor, id ringwall.SIMID) ([]api.SIMProfile, error)
}

// Groups are named sets of devices, and changes that are put in force by stages.
type Groups interface {
	// Groups lists by name.
	Groups(ctx context.Context, a audit.Actor) ([]api.Group, error)
	Group(ctx context.Context, a audit.Actor, id ringwall.GroupID) (api.Group, error)
	// GroupDevices lists the devices that are in a group, by id.
	GroupDevices(ctx context.Context, a audit.Actor, id ringwall.GroupID) ([]api.Device, error)
	CreateGroup(ctx context.Context, a audit.Actor, p api.GroupPatch) (api.Group, error)
	// PatchGroup answers Conflict for a version that is not the newest (0 takes
	// any), and for terms that a rollout is changing.
	PatchGroup(ctx context.Context, a audit.Actor, id ringwall.GroupID, version uint64, p api.GroupPatch) (api.Group, error)
	DeleteGroup(ctx context.Context, a audit.Actor, id ringwall.GroupID) error

	Rollouts(ctx context.Context, a audit.Actor, p Paging) (api.Page[api.Rollout], error)
	Rollout(ctx context.Context, a audit.Actor, id ringwall.RolloutID) (api.Rollout, error)
	StartRollout(ctx context.Context, a audit.Actor, in api.RolloutStart) (api.Rollout, error)
	// DecideRollout stops a rollout and undoes it, or lets it go on.
	DecideRollout(ctx context.Context, a audit.Actor, id ringwall.RolloutID, in api.RolloutDecision) (api.Rollout, error)
}

// Sites are the settings of many gateways at once.
type Sites interface {
	// Templates lists by name.
	Templates(ctx context.Context, a audit.Actor) ([]api.Template, error)
	// Template answers one version of a template; 0 is the newest.
	Template(ctx context.Context, a audit.Actor, id ringwall.TemplateID, version int) (api.Template, error)
	// PutTemplate makes a template (id ""), or its next version.
	PutTemplate(ctx context.Context, a audit.Actor, id ringwall.TemplateID, in api.TemplatePut) (api.Template, error)
	// BulkEnrol makes what enrols many gateways. The tokens are in this answer and
	// nowhere else.
	BulkEnrol(ctx context.Context, a audit.Actor, in api.BulkEnrol) (api.BulkTokens, error)
}

// GatewayFilter narrows a list of gateways; zero fields do not.
type GatewayFilter struct {
	Flag     string // one of api.GatewayFlags
	Template ringwall.TemplateID
	Text     string
}

func (f *face) policyRoutes() {
	route(f, op(http.MethodGet, "/v1/devices/{id}/policy", "device-policy", "policy", "What a device may do, and who says so"),
		func(ctx context.Context, a audit.Actor, in *DevicePath) (*body[api.PolicyView], error) {
			return answer(f.svc.DevicePolicy(ctx, a, in.ID))
		})
	route(f, op(http.MethodPut, "/v1/devices/{id}/terms", "put-device-terms", "policy", "Replace what the owner says of a device"),
		func(ctx context.Context, a audit.Actor, in *struct {
			DevicePath
			Body api.OwnerTerms
		}) (*body[api.PolicyView], error) {
			return answer(f.svc.PutOwnerTerms(ctx, a, in.ID, in.Body))
		})
	route(f, op(http.MethodPost, "/v1/devices/{id}/terms/explain", "explain-device-terms", "policy", "What other terms of the owner would newly allow and refuse, and which recent flows; nothing is changed"),
		func(ctx context.Context, a audit.Actor, in *struct {
			DevicePath
			Body api.OwnerTerms
		}) (*body[api.PolicyChange], error) {
			return answer(f.svc.ExplainPolicy(ctx, a, in.ID, in.Body))
		})
	f.learnRoutes()
}

// SIMPath names a SIM in a path.
type SIMPath struct {
	ID ringwall.SIMID `path:"id" maxLength:"64"`
}

func (f *face) learnRoutes() {
	route(f, op(http.MethodPost, "/v1/devices/{id}/learn", "learn-policy", "policy", "Propose the least that a device needs, out of its flow reports; nothing is changed"),
		func(ctx context.Context, a audit.Actor, in *struct {
			DevicePath
			Body api.LearnRequest
		}) (*body[api.PolicyDraft], error) {
			return answer(f.svc.LearnPolicy(ctx, a, in.ID, in.Body))
		})
	route(f, op(http.MethodPost, "/v1/devices/{id}/learn/approve", "approve-draft", "policy", "Make terms of a proposal: the owner's, or a group's"),
		func(ctx context.Context, a audit.Actor, in *struct {
			DevicePath
			Body api.DraftApproval
		}) (*body[api.PolicyView], error) {
			return answer(f.svc.ApproveDraft(ctx, a, in.ID, in.Body))
		})
	route(f, op(http.MethodGet, "/v1/devices/{id}/mud", "get-mud", "policy", "What is known of a device's usage description (RFC 8520)"),
		func(ctx context.Context, a audit.Actor, in *DevicePath) (*body[api.MUDState], error) {
			return answer(f.svc.MUD(ctx, a, in.ID))
		})
	route(f, op(http.MethodPut, "/v1/devices/{id}/mud", "put-mud", "policy", "Name the URL of a usage description, or hand the file in"),
		func(ctx context.Context, a audit.Actor, in *struct {
			DevicePath
			Body api.MUDPut
		}) (*body[api.MUDState], error) {
			return answer(f.svc.PutMUD(ctx, a, in.ID, in.Body))
		})
	route(f, op(http.MethodPost, "/v1/devices/{id}/mud/decision", "decide-mud", "policy", "Put a usage description in force as far as it narrows, or all of it, or not; or fetch it"),
		func(ctx context.Context, a audit.Actor, in *struct {
			DevicePath
			Body api.MUDDecision
		}) (*body[api.MUDState], error) {
			return answer(f.svc.DecideMUD(ctx, a, in.ID, in.Body))
		})
	route(f, op(http.MethodPost, "/v1/devices/{id}/mud/explain", "explain-mud", "policy", "What a usage description would newly allow and refuse, and which recent flows; nothing is kept"),
		func(ctx context.Context, a audit.Actor, in *struct {
			DevicePath
			Body api.MUDPut
		}) (*body[api.MUDPreview], error) {
			return answer(f.svc.ExplainMUD(ctx, a, in.ID, in.Body))
		})
	route(f, op(http.MethodGet, "/v1/mud/tasks", "mud-tasks", "policy", "Usage descriptions that wait for a person"),
		func(ctx context.Context, a audit.Actor, _ *none) (*body[[]api.MUDTask], error) {
			return answer(f.svc.MUDTasks(ctx, a))
		})
	route(f, op(http.MethodGet, "/v1/mud/settings", "get-mud-settings", "policy", "Whose signatures of usage descriptions are trusted"),
		func(ctx context.Context, a audit.Actor, _ *none) (*body[api.MUDSettings], error) {
			return answer(f.svc.MUDSettings(ctx, a))
		})
	route(f, op(http.MethodPut, "/v1/mud/settings", "put-mud-settings", "policy", "Say whose signatures are trusted; for administrators"),
		func(ctx context.Context, a audit.Actor, in *struct{ Body api.MUDSettings }) (*body[api.MUDSettings], error) {
			return answer(f.svc.PutMUDSettings(ctx, a, in.Body))
		})
	route(f, op(http.MethodGet, "/v1/devices/{id}/mud/export", "export-mud", "policy", "Draft a usage description of what is in force"),
		func(ctx context.Context, a audit.Actor, in *DevicePath) (*body[api.MUDExport], error) {
			return answer(f.svc.ExportMUD(ctx, a, in.ID))
		})
	route(f, op(http.MethodGet, "/v1/sims/{id}/profile", "sim-profiles", "sims", "Versions of what a SIM may be used for, newest first"),
		func(ctx context.Context, a audit.Actor, in *SIMPath) (*body[[]api.SIMProfile], error) {
			return answer(f.svc.SIMProfiles(ctx, a, in.ID))
		})
	route(f, op(http.MethodPut, "/v1/sims/{id}/profile", "put-sim-profile", "sims", "Say what a SIM may be used for: at its operator, its gateway and by its usage records"),
		func(ctx context.Context, a audit.Actor, in *struct {
			SIMPath
			Body api.FunctionProfile
		}) (*body[[]api.SIMProfile], error) {
			return answer(f.svc.PutSIMProfile(ctx, a, in.ID, in.Body))
		})
	route(f, op(http.MethodPost, "/v1/sims/{id}/profile/undo", "undo-sim-profile", "sims", "Go back to the version before the newest"),
		func(ctx context.Context, a audit.Actor, in *SIMPath) (*body[[]api.SIMProfile], error) {
			return answer(f.svc.UndoSIMProfile(ctx, a, in.ID))
		})
}

// GroupPath names a group in a path.
type GroupPath struct {
	ID ringwall.GroupID `path:"id" maxLength:"64"`
}

// groupAnswer is a group with its version as ETag.
type groupAnswer struct {
	ETag string `header:"ETag"`
	Body api.Group
}

func taggedGroup(g api.Group, err error) (*groupAnswer, error) {
	if err != nil {
		return nil, err
	}
	return &groupAnswer{ETag: `"v` + strconv.FormatUint(g.Version, 10) + `"`, Body: g}, nil
}

func (f *face) groupRoutes() {
	route(f, op(http.MethodGet, "/v1/groups", "list-groups", "groups", "Groups of devices, by name"),
		func(ctx context.Context, a audit.Actor, _ *none) (*body[[]api.Group], error) {
			return answer(f.svc.Groups(ctx, a))
		})
	route(f, status(op(http.MethodPost, "/v1/groups", "create-group", "groups", "Make a group"), http.StatusCreated),
		func(ctx context.Context, a audit.Actor, in *struct{ Body api.GroupPatch }) (*groupAnswer, error) {
			return taggedGroup(f.svc.CreateGroup(ctx, a, in.Body))
		})
	route(f, op(http.MethodGet, "/v1/groups/{id}", "get-group", "groups", "One group"),
		func(ctx context.Context, a audit.Actor, in *GroupPath) (*groupAnswer, error) {
			return taggedGroup(f.svc.Group(ctx, a, in.ID))
		})
	route(f, op(http.MethodGet, "/v1/groups/{id}/devices", "group-devices", "groups", "Devices that are in a group"),
		func(ctx context.Context, a audit.Actor, in *GroupPath) (*body[[]api.Device], error) {
			return answer(f.svc.GroupDevices(ctx, a, in.ID))
		})
	patch := op(http.MethodPatch, "/v1/groups/{id}", "patch-group", "groups", "Change a group; its terms are in force for all at once")
	patch.Errors = append(patch.Errors, http.StatusPreconditionFailed)
	route(f, patch,
		func(ctx context.Context, a audit.Actor, in *struct {
			GroupPath
			IfMatch string `header:"If-Match" maxLength:"64" doc:"the ETag of the group as it was read"`
			Body    api.GroupPatch
		}) (*groupAnswer, error) {
			v, err := version(in.IfMatch)
			if err != nil {
				return nil, err
			}
			out, err := taggedGroup(f.svc.PatchGroup(ctx, a, in.ID, v, in.Body))
			if v != 0 && ringwall.CodeOf(err) == ringwall.Conflict {
				p := problemOf(ctx, err)
				p.Status, p.Title = http.StatusPreconditionFailed, http.StatusText(http.StatusPreconditionFailed)
				return nil, p
			}
			return out, err
		})
	route(f, op(http.MethodDelete, "/v1/groups/{id}", "delete-group", "groups", "Forget a group; its devices lose its terms"),
		func(ctx context.Context, a audit.Actor, in *GroupPath) (*nothing, error) {
			return &nothing{}, f.svc.DeleteGroup(ctx, a, in.ID)
		})
	f.rolloutRoutes()
}

// RolloutPath names a rollout in a path.
type RolloutPath struct {
	ID ringwall.RolloutID `path:"id" maxLength:"64"`
}

func (f *face) rolloutRoutes() {
	route(f, op(http.MethodGet, "/v1/rollouts", "list-rollouts", "rollouts", "Rollouts, newest first"),
		func(ctx context.Context, a audit.Actor, in *Paged) (*body[api.Page[api.Rollout]], error) {
			return answer(f.svc.Rollouts(ctx, a, in.paging()))
		})
	route(f, status(op(http.MethodPost, "/v1/rollouts", "start-rollout", "rollouts", "Put a change of policy in force by stages"), http.StatusCreated),
		func(ctx context.Context, a audit.Actor, in *struct{ Body api.RolloutStart }) (*body[api.Rollout], error) {
			return answer(f.svc.StartRollout(ctx, a, in.Body))
		})
	route(f, op(http.MethodGet, "/v1/rollouts/{id}", "get-rollout", "rollouts", "One rollout: stage, who has it, what broke"),
		func(ctx context.Context, a audit.Actor, in *RolloutPath) (*body[api.Rollout], error) {
			return answer(f.svc.Rollout(ctx, a, in.ID))
		})
	route(f, op(http.MethodPost, "/v1/rollouts/{id}/decision", "decide-rollout", "rollouts", "Stop a rollout and undo it, or let it go on"),
		func(ctx context.Context, a audit.Actor, in *struct {
			RolloutPath
			Body api.RolloutDecision
		}) (*body[api.Rollout], error) {
			return answer(f.svc.DecideRollout(ctx, a, in.ID, in.Body))
		})
}

func (f *face) siteRoutes() {
	route(f, op(http.MethodGet, "/v1/templates", "list-templates", "templates", "Settings of sites, by name"),
		func(ctx context.Context, a audit.Actor, _ *none) (*body[[]api.Template], error) {
			return answer(f.svc.Templates(ctx, a))
		})
	route(f, status(op(http.MethodPost, "/v1/templates", "create-template", "templates", "Make a template"), http.StatusCreated),
		func(ctx context.Context, a audit.Actor, in *struct{ Body api.TemplatePut }) (*body[api.Template], error) {
			return answer(f.svc.PutTemplate(ctx, a, "", in.Body))
		})
	route(f, op(http.MethodGet, "/v1/templates/{id}", "get-template", "templates", "One version of a template"),
		func(ctx context.Context, a audit.Actor, in *struct {
			ID      ringwall.TemplateID `path:"id" maxLength:"64"`
			Version int                 `query:"version" minimum:"0" doc:"0 = the newest"`
		}) (*body[api.Template], error) {
			return answer(f.svc.Template(ctx, a, in.ID, in.Version))
		})
	route(f, op(http.MethodPut, "/v1/templates/{id}", "put-template", "templates", "Make the next version of a template; gateways keep theirs until they are given it"),
		func(ctx context.Context, a audit.Actor, in *struct {
			ID   ringwall.TemplateID `path:"id" maxLength:"64"`
			Body api.TemplatePut
		}) (*body[api.Template], error) {
			return answer(f.svc.PutTemplate(ctx, a, in.ID, in.Body))
		})
	route(f, status(op(http.MethodPost, "/v1/enrol-tokens/bulk", "bulk-enrol", "gateways", "Make what enrols many gateways; it is shown once"), http.StatusCreated),
		func(ctx context.Context, a audit.Actor, in *struct{ Body api.BulkEnrol }) (*body[api.BulkTokens], error) {
			return answer(f.svc.BulkEnrol(ctx, a, in.Body))
		})
}

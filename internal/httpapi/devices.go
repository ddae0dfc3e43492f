package httpapi

import (
	"context"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/api"
	"github.com/ringwall/ringwall/internal/audit"
)

// DevicePath names a device in a path. It and its kin are exported because huma
// does not look into embedded structs that are not.
type DevicePath struct {
	ID ringwall.DeviceID `path:"id" maxLength:"64"`
}

// deviceAnswer is a device with its version as ETag.
type deviceAnswer struct {
	ETag string `header:"ETag"`
	Body api.Device
}

func taggedDevice(d api.Device, err error) (*deviceAnswer, error) {
	if err != nil {
		return nil, err
	}
	return &deviceAnswer{ETag: `"v` + strconv.FormatUint(d.Version, 10) + `"`, Body: d}, nil
}

// version reads an If-Match header (RFC 9110 section 13.1.1): 0 for none and
// for "*", which take any version.
func version(ifMatch string) (uint64, error) {
	if ifMatch == "" || ifMatch == "*" {
		return 0, nil
	}
	v, ok := strings.CutPrefix(ifMatch, `"v`)
	v, closed := strings.CutSuffix(v, `"`)
	n, err := strconv.ParseUint(v, 10, 64)
	if !ok || !closed || err != nil || n == 0 {
		return 0, &ringwall.Error{Code: ringwall.Invalid, Text: "the If-Match header is no ETag of a device", Hint: `send the ETag of the device as it was read, such as "v12"`}
	}
	return n, nil
}

type deviceList struct {
	Paged
	Text     string             `query:"text" maxLength:"100" doc:"part of the name, vendor, model, MAC or IP"`
	Gateway  ringwall.GatewayID `query:"gateway" maxLength:"64"`
	Type     string             `query:"type" maxLength:"32"`
	Grade    string             `query:"grade" enum:"unknown,low,medium,high"`
	Trust    string             `query:"trust" enum:"T0,T1,T2,T3,T4"`
	Presence string             `query:"presence" enum:"unknown,online,silent,gone,moved"`
	Enrolled string             `query:"enrolled" enum:"true,false"`
}

func (in deviceList) filter() (DeviceFilter, error) {
	f := DeviceFilter{Text: in.Text, Gateway: in.Gateway, Type: in.Type}
	return f, f.Narrow(in.Grade, in.Trust, in.Presence, in.Enrolled)
}

// Narrow reads the filter's levels from their names; "" leaves one open.
func (f *DeviceFilter) Narrow(grade, trust, presence, enrolled string) error {
	if grade != "" {
		f.Grade = new(ringwall.Grade)
		if err := f.Grade.UnmarshalText([]byte(grade)); err != nil {
			return err
		}
	}
	if trust != "" {
		f.Trust = new(ringwall.Trust)
		if err := f.Trust.UnmarshalText([]byte(trust)); err != nil {
			return err
		}
	}
	if presence != "" {
		f.Presence = new(ringwall.Presence)
		if err := f.Presence.UnmarshalText([]byte(presence)); err != nil {
			return err
		}
	}
	if enrolled != "" {
		yes, err := strconv.ParseBool(enrolled)
		if err != nil {
			return ringwall.Errorf(ringwall.Invalid, "enrolled is neither true nor false")
		}
		f.Enrolled = &yes
	}
	return nil
}

func (f *face) deviceRoutes() {
	route(f, op(http.MethodGet, "/v1/devices", "list-devices", "devices", "Devices, by name"),
		func(ctx context.Context, a audit.Actor, in *deviceList) (*body[api.Page[api.Device]], error) {
			filter, err := in.filter()
			if err != nil {
				return nil, err
			}
			return answer(f.svc.Devices(ctx, a, filter, in.paging()))
		})
	route(f, op(http.MethodGet, "/v1/devices/{id}", "get-device", "devices", "One device"),
		func(ctx context.Context, a audit.Actor, in *DevicePath) (*deviceAnswer, error) {
			return taggedDevice(f.svc.Device(ctx, a, in.ID))
		})
	route(f, status(op(http.MethodPost, "/v1/devices", "create-device", "devices", "Make a device that is known by its SIM alone; devices with a MAC are seen by their gateway"), http.StatusCreated),
		func(ctx context.Context, a audit.Actor, in *struct{ Body api.DeviceCreate }) (*deviceAnswer, error) {
			return taggedDevice(f.svc.CreateDevice(ctx, a, in.Body))
		})
	patch := op(http.MethodPatch, "/v1/devices/{id}", "patch-device", "devices", "Change name, type, mode, enrolment or SIM")
	patch.Errors = append(patch.Errors, http.StatusPreconditionFailed)
	route(f, patch,
		func(ctx context.Context, a audit.Actor, in *struct {
			DevicePath
			IfMatch string `header:"If-Match" maxLength:"64" doc:"the ETag of the device as it was read; refuses the change when it has moved on"`
			Body    api.DevicePatch
		}) (*deviceAnswer, error) {
			v, err := version(in.IfMatch)
			if err != nil {
				return nil, err
			}
			out, err := taggedDevice(f.svc.PatchDevice(ctx, a, in.ID, v, in.Body))
			if v != 0 && ringwall.CodeOf(err) == ringwall.Conflict {
				p := problemOf(ctx, err)
				p.Status, p.Title = http.StatusPreconditionFailed, http.StatusText(http.StatusPreconditionFailed)
				return nil, p
			}
			return out, err
		})
	route(f, op(http.MethodGet, "/v1/devices/{id}/flows", "device-flows", "devices", "Flow reports of a device, newest first"),
		func(ctx context.Context, a audit.Actor, in *struct {
			DevicePath
			From    time.Time `query:"from"`
			To      time.Time `query:"to"`
			Verdict string    `query:"verdict" enum:"allowed,refused,would-refuse"`
			Limit   int       `query:"limit" minimum:"1" maximum:"500" default:"50"`
		}) (*body[[]api.FlowRow], error) {
			return answer(f.svc.Flows(ctx, a, in.ID, FlowQuery{From: in.From, To: in.To, Verdict: in.Verdict, Limit: in.Limit}))
		})
}

func (f *face) assessmentRoutes() {
	route(f, status(op(http.MethodPost, "/v1/devices/{id}/assessments", "assess-device", "assessments", "Start an assessment"), http.StatusAccepted),
		func(ctx context.Context, a audit.Actor, in *DevicePath) (*body[api.AssessmentStarted], error) {
			id, err := f.svc.AssessDevice(ctx, a, in.ID)
			return answer(api.AssessmentStarted{ID: id}, err)
		})
	route(f, op(http.MethodGet, "/v1/devices/{id}/assessments", "list-assessments", "assessments", "Assessments of a device, newest first"),
		func(ctx context.Context, a audit.Actor, in *struct {
			DevicePath
			Paged
		}) (*body[api.Page[api.Assessment]], error) {
			return answer(f.svc.Assessments(ctx, a, in.ID, in.paging()))
		})
	route(f, op(http.MethodGet, "/v1/assessments/{id}", "get-assessment", "assessments", "One assessment; 503 while it runs"),
		func(ctx context.Context, a audit.Actor, in *struct {
			ID ringwall.AssessID `path:"id" maxLength:"64"`
		}) (*body[api.Assessment], error) {
			return answer(f.svc.Assessment(ctx, a, in.ID))
		})
	route(f, status(op(http.MethodPost, "/v1/assessments", "submit-assessment", "assessments", "Store an assessment that was made elsewhere"), http.StatusCreated),
		func(ctx context.Context, a audit.Actor, in *struct{ Body api.Assessment }) (*body[api.Assessment], error) {
			return answer(f.svc.SubmitAssessment(ctx, a, in.Body))
		})
}

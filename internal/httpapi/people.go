package httpapi

import (
	"context"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/api"
	"github.com/ringwall/ringwall/internal/audit"
)

func (f *face) peopleRoutes() {
	route(f, op(http.MethodGet, "/v1/users", "list-users", "people", "Users of one's organisation"),
		func(ctx context.Context, a audit.Actor, _ *none) (*body[[]api.User], error) {
			return answer(f.svc.Users(ctx, a))
		})
	route(f, status(op(http.MethodPost, "/v1/users", "create-user", "people", "Make a user of one's organisation"), http.StatusCreated),
		func(ctx context.Context, a audit.Actor, in *struct{ Body api.UserCreate }) (*body[api.User], error) {
			return answer(f.svc.CreateUser(ctx, a, in.Body))
		})
	route(f, op(http.MethodGet, "/v1/parties", "list-parties", "people", "Who plays which part"),
		func(ctx context.Context, a audit.Actor, _ *none) (*body[[]ringwall.Party], error) {
			return answer(f.svc.Parties(ctx, a))
		})
	route(f, op(http.MethodGet, "/v1/tokens", "list-tokens", "people", "API tokens without their secrets"),
		func(ctx context.Context, a audit.Actor, _ *none) (*body[[]api.APIToken], error) {
			return answer(f.svc.Tokens(ctx, a))
		})
	route(f, status(op(http.MethodPost, "/v1/tokens", "create-token", "people", "Make an API token; it is shown once"), http.StatusCreated),
		func(ctx context.Context, a audit.Actor, in *struct{ Body api.TokenCreate }) (*body[api.APIToken], error) {
			return answer(f.svc.CreateToken(ctx, a, in.Body))
		})
	route(f, op(http.MethodDelete, "/v1/tokens/{id}", "delete-token", "people", "Take an API token back"),
		func(ctx context.Context, a audit.Actor, in *struct {
			ID ringwall.TokenID `path:"id" maxLength:"64"`
		}) (*nothing, error) {
			return &nothing{}, f.svc.DeleteToken(ctx, a, in.ID)
		})
}

func (f *face) sessionRoutes() {
	route(f, op(http.MethodGet, "/v1/me", "me", "session", "Who asks"),
		func(_ context.Context, a audit.Actor, _ *none) (*body[api.Me], error) {
			return answer(api.Me{Kind: string(a.Kind), ID: a.ID, Org: a.Org, Parts: a.Parts}, nil)
		})
	o := op(http.MethodPost, "/v1/session", "login", "session", "Log in; the session comes as a cookie")
	o.MaxBodyBytes = 8 << 10
	open(f, o, func(ctx context.Context, in *struct{ Body api.Login }) (*struct {
		SetCookie http.Cookie `header:"Set-Cookie"`
		Body      api.User
	}, error) {
		s, err := f.svc.Login(ctx, in.Body.Name, in.Body.Password)
		if err != nil {
			return nil, err
		}
		return &struct {
			SetCookie http.Cookie `header:"Set-Cookie"`
			Body      api.User
		}{f.cookies.cookie(s, f.cfg.Now()), s.User}, nil
	})
	logout := op(http.MethodDelete, "/v1/session", "logout", "session", "End the session")
	open(f, logout, func(ctx context.Context, in *struct {
		Plain  http.Cookie `cookie:"ringwall_session" hidden:"true"`
		Secure http.Cookie `cookie:"__Host-ringwall_session" hidden:"true"`
	}) (*struct {
		SetCookie http.Cookie `header:"Set-Cookie"`
	}, error) {
		secret := in.Plain.Value
		if f.cookies.Secure {
			secret = in.Secure.Value
		}
		if secret != "" {
			if err := f.svc.Logout(ctx, secret); err != nil {
				return nil, err
			}
		}
		return &struct {
			SetCookie http.Cookie `header:"Set-Cookie"`
		}{f.cookies.cleared()}, nil
	})
}

// describeEvents puts the event stream, which is served beside huma, into the
// document.
func (f *face) describeEvents() {
	reg := f.api.OpenAPI().Components.Schemas
	f.api.OpenAPI().AddOperation(&huma.Operation{
		Method: http.MethodGet, Path: "/v1/events", OperationID: "events", Tags: []string{"fleet"},
		Summary:     "Events of one's organisation from now on, as server-sent events",
		Description: "Each event has its id as `id` and an Event as `data`. Comments keep the connection open. The stream ends when the reader is too slow or its credential no longer holds.",
		Security:    []map[string][]string{{"token": {}}, {"session": {}}},
		Responses: map[string]*huma.Response{
			"200": {Description: "the stream", Content: map[string]*huma.MediaType{"text/event-stream": {Schema: reg.Schema(typeOf[ringwall.Event](), true, "Event")}}},
			"401": {Description: http.StatusText(http.StatusUnauthorized), Content: map[string]*huma.MediaType{"application/problem+json": {Schema: reg.Schema(typeOf[api.Problem](), true, "Problem")}}},
		},
	})
}

package httpapi

import (
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"github.com/ringwall/ringwall"
)

// IDExtension marks an id in the OpenAPI document with what it names, such as
// "device"; the walk over foreign ids finds its places by it.
const IDExtension = "x-ringwall-id"

// idDoc is the schema of an id.
type idDoc[T ~string] struct{}

func (idDoc[T]) Schema(huma.Registry) *huma.Schema {
	kind := strings.ToLower(strings.TrimSuffix(typeOf[T]().Name(), "ID"))
	return &huma.Schema{Type: huma.TypeString, MaxLength: ptr(64), Extensions: map[string]any{IDExtension: kind}}
}

func id[T ~string](reg huma.Registry) {
	reg.RegisterTypeAlias(typeOf[T](), typeOf[idDoc[T]]())
}

func registerIDs(reg huma.Registry) {
	id[ringwall.OrgID](reg)
	id[ringwall.DeviceID](reg)
	id[ringwall.GatewayID](reg)
	id[ringwall.SIMID](reg)
	id[ringwall.AlertID](reg)
	id[ringwall.IncidentID](reg)
	id[ringwall.HoldID](reg)
	id[ringwall.EventID](reg)
	id[ringwall.UserID](reg)
	id[ringwall.TokenID](reg)
	id[ringwall.ResponseID](reg)
	id[ringwall.AssessID](reg)
	id[ringwall.ExamID](reg)
	id[ringwall.RemedialID](reg)
	id[ringwall.TunnelID](reg)
	id[ringwall.GroupID](reg)
	id[ringwall.RolloutID](reg)
	id[ringwall.TemplateID](reg)
	id[ringwall.FlowID](reg)
	id[ringwall.ExceptionID](reg)
	id[ringwall.RouteID](reg)
}

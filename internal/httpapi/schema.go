package httpapi

import (
	"fmt"
	"net"
	"reflect"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/api"
)

func typeOf[T any]() reflect.Type { return reflect.TypeFor[T]() }

func isLoopback(host string) bool {
	ip := net.ParseIP(host)
	return ip != nil && ip.IsLoopback()
}

// describe returns the head of the OpenAPI document and teaches its registry
// the words of the vocabulary.
func describe() *huma.OpenAPI {
	reg := huma.NewMapRegistry("#/components/schemas/", huma.DefaultSchemaNamer)
	reg.RegisterTypeAlias(typeOf[huma.ErrorModel](), typeOf[api.Problem]())
	word[ringwall.Module](reg)
	word[ringwall.Outcome](reg)
	word[ringwall.Confidence](reg)
	word[ringwall.Severity](reg)
	word[ringwall.Stage](reg)
	word[ringwall.Grade](reg)
	word[ringwall.Class](reg)
	word[ringwall.Trust](reg)
	word[ringwall.Mode](reg)
	word[ringwall.Presence](reg)
	word[ringwall.Restriction](reg)
	registerIDs(reg)
	reg.RegisterTypeAlias(typeOf[ringwall.Part](), typeOf[partDoc]())
	reg.RegisterTypeAlias(typeOf[api.Duration](), typeOf[durationDoc]())
	return &huma.OpenAPI{
		OpenAPI: "3.1.0",
		Info: &huma.Info{
			Title: "Ringwall", Version: "1",
			Description: "Grade, strengthen and watch cameras, other IoT devices and their SIM cards.\n\n" +
				"Lists are paged by cursor: give `next` of a page as `cursor` to get the one after. Ids are opaque. " +
				"What is not yours is answered with 404, as what does not exist. Failures are problems of RFC 9457.",
		},
		Components: &huma.Components{
			Schemas: reg,
			SecuritySchemes: map[string]*huma.SecurityScheme{
				"token":   {Type: "http", Scheme: "bearer", Description: "an API token, rwt_…"},
				"session": {Type: "apiKey", In: "cookie", Name: plainCookie, Description: "a login of a person; over TLS its name is " + secureCookie},
			},
		},
		Tags: []*huma.Tag{
			{Name: "fleet"}, {Name: "devices"}, {Name: "assessments"}, {Name: "gateways"}, {Name: "sims"},
			{Name: "incidents"}, {Name: "responses"}, {Name: "people"}, {Name: "session"},
		},
	}
}

// level is a small ordered type of the vocabulary.
type level interface {
	~uint8
	fmt.Stringer
}

// wordDoc is the schema of T: a string out of its names.
type wordDoc[T level] struct{}

func (wordDoc[T]) Schema(huma.Registry) *huma.Schema {
	s := &huma.Schema{Type: huma.TypeString}
	for v := 0; v < 256; v++ {
		name := T(v).String()
		if strings.HasSuffix(name, ")") { // past the last: "grade(7)"
			break
		}
		s.Enum = append(s.Enum, name)
	}
	return s
}

func word[T level](reg huma.Registry) {
	reg.RegisterTypeAlias(typeOf[T](), typeOf[wordDoc[T]]())
}

type partDoc struct{}

func (partDoc) Schema(huma.Registry) *huma.Schema {
	s := &huma.Schema{Type: huma.TypeString}
	for _, p := range ringwall.Parts {
		s.Enum = append(s.Enum, string(p))
	}
	return s
}

type durationDoc struct{}

func (durationDoc) Schema(huma.Registry) *huma.Schema {
	return &huma.Schema{Type: huma.TypeString, Description: `such as "1h30m0s"`, Examples: []any{"1h0m0s"}}
}

// emptyLists is the transformer that answers an empty list with [] where the
// Service left it nil: null would be a second way to say the same.
func emptyLists(_ huma.Context, _ string, v any) (any, error) {
	if v == nil {
		return v, nil
	}
	if out, changed := filled(reflect.ValueOf(v)); changed {
		return out.Interface(), nil
	}
	return v, nil
}

// filled returns v with empty lists for nil ones, copied where it differs: the
// value may be shared.
func filled(v reflect.Value) (reflect.Value, bool) {
	switch v.Kind() {
	case reflect.Slice:
		if v.IsNil() {
			return reflect.MakeSlice(v.Type(), 0, 0), true
		}
		if k := v.Type().Elem().Kind(); k != reflect.Struct && k != reflect.Slice && k != reflect.Pointer {
			return v, false
		}
		var out reflect.Value
		for i := range v.Len() {
			e, changed := filled(v.Index(i))
			if !changed {
				continue
			}
			if !out.IsValid() {
				out = reflect.MakeSlice(v.Type(), v.Len(), v.Len())
				reflect.Copy(out, v)
			}
			out.Index(i).Set(e)
		}
		return out, out.IsValid()
	case reflect.Struct:
		var out reflect.Value
		for i := range v.NumField() {
			f := v.Type().Field(i)
			// A list that is left out when empty needs no filling, and what is
			// not exported is not written.
			if !f.IsExported() || strings.Contains(f.Tag.Get("json"), ",omitempty") && f.Type.Kind() == reflect.Slice {
				continue
			}
			e, changed := filled(v.Field(i))
			if !changed {
				continue
			}
			if !out.IsValid() {
				out = reflect.New(v.Type()).Elem()
				out.Set(v)
			}
			out.Field(i).Set(e)
		}
		return out, out.IsValid()
	case reflect.Pointer:
		if v.IsNil() || v.Elem().Kind() != reflect.Struct {
			return v, false
		}
		e, changed := filled(v.Elem())
		if !changed {
			return v, false
		}
		out := reflect.New(v.Type().Elem())
		out.Elem().Set(e)
		return out, true
	}
	return v, false
}

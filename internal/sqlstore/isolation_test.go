package sqlstore_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"database/sql"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/internal/audit"
	"github.com/ringwall/ringwall/internal/sqlstore"
)

// acrossOrgs lists the methods that reach across organisations, each with the
// reason; they need a scope of the platform's own.
var acrossOrgs = map[string]string{
	"Orgs":      "the platform's parts do their round through all organisations",
	"Cursor":    "belongs to no organisation",
	"PutCursor": "belongs to no organisation",
}

var (
	scopeType = reflect.TypeFor[audit.Scope]()
	orgType   = reflect.TypeFor[ringwall.OrgID]()
	errType   = reflect.TypeFor[error]()
)

// foreign returns values full of another organisation's ids.
type foreign struct {
	org ringwall.OrgID // for fields that name an organisation
	ids map[reflect.Type]string
	// text is what plain strings become: a MAC, a name, an indicator.
	text string
	// used tells whether an id went in.
	used bool
	// touched is called when a function handed in runs: it must not.
	touched func()
}

func (f *foreign) value(t reflect.Type) reflect.Value {
	v := reflect.New(t).Elem()
	f.fill(v, 0)
	return v
}

func (f *foreign) fill(v reflect.Value, depth int) {
	t := v.Type()
	if depth > 6 {
		return
	}
	if t == orgType {
		v.SetString(string(f.org))
		return
	}
	if id, ok := f.ids[t]; ok {
		v.SetString(id)
		f.used = true
		return
	}
	switch t.Kind() {
	case reflect.String:
		v.SetString(f.text)
	case reflect.Int, reflect.Int64:
		v.SetInt(10)
	case reflect.Uint8:
		v.SetUint(1)
	case reflect.Uint32, reflect.Uint64:
		v.SetUint(2)
	case reflect.Struct:
		if t == reflect.TypeFor[ringwall.Subject]() {
			f.used = true
			v.Set(reflect.ValueOf(ringwall.Subject{Kind: ringwall.SubjectDevice, ID: f.ids[reflect.TypeFor[ringwall.DeviceID]()]}))
			return
		}
		for i := range t.NumField() {
			if t.Field(i).IsExported() && t.Field(i).Name != "Cursor" {
				f.fill(v.Field(i), depth+1)
			}
		}
	case reflect.Slice:
		if t.Elem().Kind() == reflect.Uint8 {
			v.SetBytes([]byte(f.text))
			return
		}
		v.Set(reflect.MakeSlice(t, 1, 1))
		f.fill(v.Index(0), depth+1)
	case reflect.Func:
		v.Set(reflect.MakeFunc(t, func([]reflect.Value) []reflect.Value {
			f.touched()
			return []reflect.Value{reflect.Zero(errType)}
		}))
	}
}

// scopes returns every kind of scope that org can have.
func (w *world) scopes(org ringwall.OrgID) []audit.Scope {
	all := []audit.Scope{}
	for name := range systems {
		all = append(all, w.system(name, org))
	}
	for _, act := range audit.Acts() {
		actor := audit.Actor{Kind: audit.KindUser, ID: "usr_mallory", Org: org, Parts: []ringwall.Part{ringwall.PartOwner, ringwall.PartOperator, ringwall.PartPlatform}}
		if s, err := w.auditor.Authorise(w.Context(), actor, act, audit.Target{Kind: "fleet", Org: org}); err == nil {
			all = append(all, s)
		}
	}
	return all
}

// dump returns every row that belongs to org, of every table, as text.
func (w *world) dump(org ringwall.OrgID) string {
	w.Helper()
	db, err := sql.Open("sqlite", "file:"+filepath.Join(w.dir, "ringwall.db"))
	if err != nil {
		w.Fatal(err)
	}
	defer db.Close()
	var tables []string
	rows, err := db.Query(`SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'goose%' AND name NOT LIKE 'sqlite%' ORDER BY name`)
	if err != nil {
		w.Fatal(err)
	}
	for rows.Next() {
		var n string
		if err := rows.Scan(&n); err != nil {
			w.Fatal(err)
		}
		tables = append(tables, n)
	}
	rows.Close()
	var b strings.Builder
	for _, table := range tables {
		column := "org"
		if table == "orgs" {
			column = "id"
		}
		rows, err := db.Query(fmt.Sprintf(`SELECT * FROM %s WHERE %s = $1 ORDER BY 1, 2`, table, column), string(org))
		if err != nil {
			w.Fatalf("table %s has no column %s: %v", table, column, err)
		}
		cols, _ := rows.Columns()
		for rows.Next() {
			vals := make([]any, len(cols))
			for i := range vals {
				vals[i] = new(any)
			}
			if err := rows.Scan(vals...); err != nil {
				w.Fatal(err)
			}
			fmt.Fprintf(&b, "%s:", table)
			for _, v := range vals {
				fmt.Fprintf(&b, " %v", *v.(*any))
			}
			b.WriteByte('\n')
		}
		rows.Close()
	}
	return b.String()
}

// TestNoMethodReachesAnotherOrganisation calls every method of Tx, with every
// scope that organisation A can have, and with B's ids wherever an id can go.
// B's rows must stay as they are, nothing of B may be answered, and an answer
// about B's id must be NotFound or empty.
func TestNoMethodReachesAnotherOrganisation(t *testing.T) {
	w := newWorld(t)
	w.emptyOrg("org_a")
	b := w.fill("org_b")
	ids := map[reflect.Type]string{
		reflect.TypeFor[ringwall.GatewayID](): string(b.gateway), reflect.TypeFor[ringwall.DeviceID](): string(b.device),
		reflect.TypeFor[ringwall.SIMID](): string(b.sim), reflect.TypeFor[ringwall.AlertID](): string(b.alert),
		reflect.TypeFor[ringwall.IncidentID](): string(b.incident), reflect.TypeFor[ringwall.HoldID](): string(b.hold),
		reflect.TypeFor[ringwall.EventID](): string(b.event), reflect.TypeFor[ringwall.UserID](): string(b.user),
		reflect.TypeFor[ringwall.TokenID](): string(b.enrol), reflect.TypeFor[ringwall.ResponseID](): string(b.response),
		reflect.TypeFor[ringwall.AssessID](): string(b.assess), reflect.TypeFor[ringwall.ExamID](): string(b.exam), reflect.TypeFor[ringwall.RemedialID](): string(b.remedial),
		reflect.TypeFor[ringwall.GroupID](): string(b.group), reflect.TypeFor[ringwall.RolloutID](): string(b.rollout), reflect.TypeFor[ringwall.TemplateID](): string(b.template),
		reflect.TypeFor[ringwall.ExceptionID](): string(b.except), reflect.TypeFor[ringwall.RouteID](): string(b.route),
		reflect.TypeFor[ringwall.IMSI](): testIMSI,
	}
	before := w.dump(b.org)
	if strings.Count(before, "\n") < 20 {
		t.Fatalf("B holds too little to prove anything:\n%s", before)
	}
	scopes := append(w.scopes("org_a"), audit.Scope{})
	tx := reflect.TypeFor[*sqlstore.Tx]()
	for i := range tx.NumMethod() {
		m := tx.Method(i)
		t.Run(m.Name, func(t *testing.T) {
			if m.Type.NumIn() < 2 || m.Type.In(1) != scopeType {
				t.Fatalf("%s takes no scope first", m.Name)
			}
			reached := false
			for _, named := range []ringwall.OrgID{b.org, "org_a", ""} {
				for _, text := range []string{testMAC, "AP-01", "doing"} {
					for _, scope := range scopes {
						if w.attack(t, m, scope, &foreign{org: named, ids: ids, text: text}, b) {
							reached = true
						}
					}
				}
			}
			if !reached {
				t.Errorf("no scope that A can have is permitted to call %s: the test proves nothing about it", m.Name)
			}
		})
	}
	if after := w.dump(b.org); after != before {
		t.Errorf("B's rows have changed:\n--- before\n%s--- after\n%s", before, after)
	}
}

var errRollback = errors.New("roll back")

// attack makes one call and reports whether the scope let it through.
func (w *world) attack(t *testing.T, m reflect.Method, scope audit.Scope, f *foreign, b things) (reached bool) {
	t.Helper()
	err := w.store.Update(context.Background(), func(tx *sqlstore.Tx) error {
		f.touched = func() { t.Errorf("%s hands out something to change", m.Name) }
		args := []reflect.Value{reflect.ValueOf(tx), reflect.ValueOf(scope)}
		for i := 2; i < m.Type.NumIn(); i++ {
			args = append(args, f.value(m.Type.In(i)))
		}
		out := m.Func.Call(args)
		err, _ := out[len(out)-1].Interface().(error)
		out = out[:len(out)-1]
		reached = ringwall.CodeOf(err) != ringwall.Forbidden
		if reached && scope.Org() == "" {
			t.Errorf("%s works with the zero scope", m.Name)
		}
		if acrossOrgs[m.Name] != "" {
			return errRollback
		}
		if err == nil && f.used && f.org == b.org && !empty(out) {
			t.Errorf("%s, given B's ids by %s of A, answers %v", m.Name, scope.Act(), show(out))
		}
		if s := show(out); strings.Contains(s, "of org_b") || strings.Contains(s, "peer-b") {
			t.Errorf("%s tells A of B: %s", m.Name, s)
		}
		if err != nil && strings.Contains(err.Error(), "of org_b") {
			t.Errorf("%s tells A of B in an error: %v", m.Name, err)
		}
		if reached && err == nil && strings.HasPrefix(m.Name, "Update") {
			t.Errorf("%s changes B's row", m.Name)
		}
		return errRollback
	})
	if !errors.Is(err, errRollback) {
		t.Fatal(err)
	}
	return reached
}

func show(out []reflect.Value) string {
	var b strings.Builder
	for _, o := range out {
		text, _ := json.Marshal(o.Interface())
		b.Write(text)
		fmt.Fprintf(&b, " %v\n", o.Interface())
	}
	return b.String()
}

// empty reports whether there is nothing in any of the values.
func empty(out []reflect.Value) bool {
	return !slices.ContainsFunc(out, func(v reflect.Value) bool { return !hollow(v) })
}

func hollow(v reflect.Value) bool {
	switch v.Kind() {
	case reflect.Slice, reflect.Map:
		return v.Len() == 0
	case reflect.Struct:
		for i := range v.NumField() {
			if !hollow(v.Field(i)) {
				return false
			}
		}
		return true
	}
	return v.IsZero()
}

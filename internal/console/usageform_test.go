package console_test

import (
	"encoding/json"
	"net/url"
	"reflect"
	"slices"
	"strings"
	"testing"

	"golang.org/x/net/html"

	"github.com/ringwall/ringwall/api"
	"github.com/ringwall/ringwall/internal/i18n"
	"github.com/ringwall/ringwall/internal/usage/rules"
)

// form gives the fields of the first form in which f is, as a browser sends them.
func (d doc) form(t *testing.T, f func(fields url.Values) bool) url.Values {
	t.Helper()
	var found url.Values
	d.each(func(n *html.Node) {
		if n.Data != "form" || found != nil {
			return
		}
		fields := url.Values{}
		doc{n}.each(func(n *html.Node) {
			name, named := get(n, "name")
			if !named {
				return
			}
			value, _ := get(n, "value")
			kind, _ := get(n, "type")
			_, checked := get(n, "checked")
			switch {
			case n.Data == "textarea":
				fields.Add(name, textOf(n))
			case n.Data == "input" && (kind != "checkbox" || checked):
				fields.Add(name, value)
			}
		})
		if f(fields) {
			found = fields
		}
	})
	if found == nil {
		t.Fatal("there is no such form")
	}
	return found
}

func isSettingsForm(f url.Values) bool { return f.Get("form") != "" }
func isSaveForm(f url.Values) bool {
	return f.Has("settings") && f.Has("note") && !f.Has("days")
}

// draftOf is what a trial's page would save.
func draftOf(t *testing.T, d doc) (s api.UsageSettings) {
	t.Helper()
	text := d.form(t, isSaveForm).Get("settings")
	if err := json.Unmarshal([]byte(text), &s); err != nil {
		t.Fatalf("%v: %s", err, text)
	}
	return s
}

// allSettings has something of all that settings can say.
func allSettings() api.UsageSettings {
	return api.UsageSettings{
		Fixed: true, Services: []string{"data", "sms"}, Peers: []string{"198.51.100.20", "2001:db8::/32", "+8613800138000", "10086", "iot.example"},
		Countries: []string{"460", "454"}, Areas: []string{"9001", "north yard"}, Pools: []string{"spares"},
		Hours: []api.Window{{Zone: "Asia/Shanghai", Days: []string{"mon", "tue"}, From: "22:00", To: "06:00"}, {From: "08:00", To: "09:30"}},
		Rules: map[string]api.UsageRuleSetting{
			"separation": {Off: true}, "card-online": {Off: true},
			"sim-volume": {Limits: map[string]float64{"deviations": 12.5, "most-bytes": 0, "least-bytes": 1e12}},
			"sim-burst":  {Off: true, Limits: map[string]float64{"messages-day": 7}},
		},
	}
}

// TestUsageForm_says_all: the form shows settings as they are and sends them back
// unchanged, whatever they say; what people type becomes the same JSON that
// experts write, and is saved after it was tried.
func TestUsageForm_says_all(t *testing.T) {
	s := newSite(t)
	if _, err := s.PutIMEIPool(t.Context(), s.Owner, api.IMEIPool{Name: "spares", TACs: []string{"86012345"}}); err != nil {
		t.Fatal(err)
	}
	for name, set := range map[string]api.UsageSettings{
		"everything": allSettings(), "nothing": {}, "one limit": {Rules: map[string]api.UsageRuleSetting{"sim-moved": {Limits: map[string]float64{"radius-km": 2}}}},
		"a pool that is gone": {Pools: []string{"gone"}},
	} {
		set.Customer, set.Tariff = "Gas works", strings.ReplaceAll(name, " ", "-")
		if _, err := s.PutUsageSettings(t.Context(), s.Owner, set); err != nil {
			t.Fatal(err)
		}
		page := parse(t, s.ask(t, "GET", "/usage-rules?"+url.Values{"customer": {set.Customer}, "tariff": {set.Tariff}}.Encode(), nil).Body.Bytes())
		page.wellMade(t)
		fields := page.form(t, isSettingsForm)
		if fields.Get("customer") != set.Customer || fields.Get("tariff") != set.Tariff {
			t.Errorf("%s: the form is that of %q, %q", name, fields.Get("customer"), fields.Get("tariff"))
		}
		fields.Set("note", "as it was")
		rec := s.ask(t, "POST", "/usage-rules/try", fields)
		d := parse(t, rec.Body.Bytes())
		d.wellMade(t)
		if rec.Code != 200 {
			t.Fatalf("%s: %d: %s", name, rec.Code, d.text())
		}
		got := draftOf(t, d)
		want := set
		want.Customer, want.Tariff = "", ""
		if !reflect.DeepEqual(got, want) {
			t.Errorf("%s: shown and sent back it is\n%+v, want\n%+v", name, got, want)
		}
		if again := d.form(t, isSettingsForm); !reflect.DeepEqual(again, fields) {
			t.Errorf("%s: after the trial the form has\n%v, want\n%v", name, again, fields)
		}
		// Saved from there, with its reason.
		if rec := s.ask(t, "POST", "/usage-rules/save", d.form(t, isSaveForm)); rec.Code != 303 {
			t.Fatalf("%s: saving answers %d", name, rec.Code)
		}
		kept, err := s.UsageSettings(t.Context(), s.Owner, set.Customer, set.Tariff)
		if err != nil || len(kept) != 2 || kept[0].Note != "as it was" || !reflect.DeepEqual(kept[0].Rules, set.Rules) || !reflect.DeepEqual(kept[0].Peers, set.Peers) {
			t.Errorf("%s: saved as %+v, %v", name, kept, err)
		}
	}
	// The expert's JSON fills the form.
	text, err := json.Marshal(allSettings())
	if err != nil {
		t.Fatal(err)
	}
	d := parse(t, s.ask(t, "POST", "/usage-rules/try", url.Values{"settings": {string(text)}, "customer": {"Gas works"}}).Body.Bytes())
	if got := parse(t, s.ask(t, "POST", "/usage-rules/try", d.form(t, isSettingsForm)).Body.Bytes()); !reflect.DeepEqual(draftOf(t, got), allSettings()) {
		t.Errorf("JSON, then the form: %+v", draftOf(t, got))
	}
}

// TestUsageForm_wrong_comes_back: what is refused is told, and nothing that was
// typed is lost.
func TestUsageForm_wrong_comes_back(t *testing.T) {
	s := newSite(t)
	good := parse(t, s.ask(t, "GET", "/usage-rules", nil).Body.Bytes()).form(t, isSettingsForm)
	for name, x := range map[string]struct{ field, value, says string }{
		"no number": {"limit.sim-volume.deviations", "many", "want a number"},
	} {
		fields := url.Values{}
		for k, v := range good {
			fields[k] = v
		}
		fields.Set(x.field, x.value)
		fields.Set("peers", "198.51.100.20\n198.51.100.21")
		fields.Set("note", "because")
		rec := s.ask(t, "POST", "/usage-rules/try", fields)
		d := parse(t, rec.Body.Bytes())
		d.wellMade(t)
		if rec.Code != 422 || !strings.Contains(d.text(), x.says) {
			t.Errorf("%s: %d: %s", name, rec.Code, d.text())
		}
		if again := d.form(t, isSettingsForm); !reflect.DeepEqual(again, fields) {
			t.Errorf("%s: the form comes back as\n%v, want\n%v", name, again, fields)
		}
	}
	const draft = `{"rules":{"sim-moon":{}}}`
	rec := s.ask(t, "POST", "/usage-rules/try", url.Values{"settings": {draft}, "customer": {"Gas works"}})
	if d := parse(t, rec.Body.Bytes()); rec.Code != 422 || !strings.Contains(d.text(), "sim-moon") ||
		d.form(t, func(f url.Values) bool { return f.Has("settings") && f.Has("days") }).Get("settings") != draft {
		t.Errorf("JSON with a rule that is none: %d: %s", rec.Code, d.text())
	}
}

// TestPools_are_made_and_removed; what is in them is not shown again.
func TestPools_are_made_and_removed(t *testing.T) {
	s := newSite(t)
	const imei = "490154203237518"
	for _, x := range []struct {
		name, path string
		form       url.Values
		status     int
	}{
		{"made", "/usage-rules/pools", url.Values{"name": {"yard 7"}, "tacs": {"86012345, 35693803"}, "imeis": {imei + "\n356938035643809"}}, 303},
		{"with nothing in it", "/usage-rules/pools", url.Values{"name": {"empty"}}, 422},
		{"one that is none", "/usage-rules/pools/drop", url.Values{"name": {"nothing"}}, 404},
	} {
		if rec := s.ask(t, "POST", x.path, x.form); rec.Code != x.status {
			t.Errorf("a pool %s: %d, want %d", x.name, rec.Code, x.status)
		}
	}
	page := s.ask(t, "GET", "/usage-rules", nil).Body.String()
	if text := parse(t, []byte(page)).text(); !strings.Contains(text, "yard 7") || !strings.Contains(text, "86012345") || !strings.Contains(text, "2 IMEIs") {
		t.Errorf("the page says %s", text)
	}
	if strings.Contains(page, imei) || strings.Contains(s.log.String(), imei) {
		t.Error("an IMEI is shown or logged")
	}
	if rec := s.ask(t, "POST", "/usage-rules/pools/drop", url.Values{"name": {"yard 7"}}); rec.Code != 303 {
		t.Errorf("removed: %d", rec.Code)
	}
	if all, err := s.IMEIPools(t.Context(), s.Owner); err != nil || slices.ContainsFunc(all, func(p api.IMEIPool) bool { return p.Name == "yard 7" }) {
		t.Errorf("there are %+v, %v", all, err)
	}
}

// TestUsageForm_limits_have_words, in both languages.
func TestUsageForm_limits_have_words(t *testing.T) {
	words, err := i18n.Load()
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range words.Languages() {
		for _, r := range rules.All() {
			for _, limit := range r.Limits {
				if !words.Match(l.Tag).Has("usagelimit." + limit.Name) {
					t.Errorf("%s has no word for limit %q of rule %q", l.Tag, limit.Name, r.Name)
				}
			}
		}
	}
}

package platform

import (
	"testing"
	"time"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/api"
)

// TestSettings_that_the_rules_refuse_are_refused: settings that were taken and
// that the rules cannot be made of would end the judging of all cards. What is
// refused is neither kept nor tried, and cards are judged as before.
func TestSettings_that_the_rules_refuse_are_refused(t *testing.T) {
	t.Parallel()
	w := newWireless(t, t.TempDir(), nil)
	svc, who := w.Service(), w.owner()
	limit := func(rule, name string, v float64) map[string]api.UsageRuleSetting {
		return map[string]api.UsageRuleSetting{rule: {Limits: map[string]float64{name: v}}}
	}
	for name, bad := range map[string]api.UsageSettings{
		"a limit above its most":    {Rules: limit("sim-volume", "deviations", 1000)},
		"a limit below its least":   {Rules: limit("sim-verification", "senders", 1)},
		"hours that are none":       {Hours: []api.Window{{From: "25:00", To: "06:00"}}},
		"a zone that is none":       {Hours: []api.Window{{Zone: "Mars/Base", From: "08:00", To: "18:00"}}},
		"a day that is none":        {Hours: []api.Window{{Days: []string{"someday"}, From: "08:00", To: "18:00"}}},
		"a country that is none":    {Countries: []string{"China"}},
		"a network for a country":   {Countries: []string{"46000"}},
		"a customer's, all of them": {Customer: "Water works", Countries: []string{"x"}},
	} {
		if _, err := svc.PutUsageSettings(t.Context(), who, bad); ringwall.CodeOf(err) != ringwall.Invalid {
			t.Errorf("%s: saved, %v", name, err)
		}
		if _, err := svc.TryUsageSettings(t.Context(), who, api.UsageTry{Settings: bad}); ringwall.CodeOf(err) != ringwall.Invalid {
			t.Errorf("%s: tried, %v", name, err)
		}
	}
	if all, err := svc.AllUsageSettings(t.Context(), who); err != nil || len(all) != 0 {
		t.Errorf("what was refused is kept: %+v, %v", all, err)
	}
	good := api.UsageSettings{Customer: "Water works", Fixed: true, Countries: []string{"460"}, Hours: []api.Window{{Zone: "Asia/Shanghai", Days: []string{"mon"}, From: "22:00", To: "06:00"}}, Rules: limit("sim-volume", "deviations", 100)}
	if _, err := svc.PutUsageSettings(t.Context(), who, good); err != nil {
		t.Fatal(err)
	}
	w.use(time.Now().Add(-time.Hour), "sms", tIMEI, "13800138000", 0, "9001")
	w.wait("an alert", func() bool { return len(w.card().Alerts) > 0 })
}

package i18n_test

import (
	"maps"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/ringwall/ringwall/internal/assess"
	"github.com/ringwall/ringwall/internal/detect"
	"github.com/ringwall/ringwall/internal/i18n"
	"github.com/ringwall/ringwall/internal/incident"
	"github.com/ringwall/ringwall/internal/lab"
	"github.com/ringwall/ringwall/internal/platform"
	"github.com/ringwall/ringwall/internal/policy"
	"github.com/ringwall/ringwall/internal/policy/mudpolicy"
	"github.com/ringwall/ringwall/internal/trust"
	"github.com/ringwall/ringwall/mud"
)

var parameter = regexp.MustCompile(`\{([a-zA-Z]+)(?:\|([a-z]+))?\}`)

// TestTold compares the Chinese of stories, timelines and trust reasons with
// the English of the packages that make them: every key is there, none is left
// over, and none asks for a parameter that never comes.
func TestTold_every_key_has_Chinese(t *testing.T) {
	c, err := i18n.Load()
	if err != nil {
		t.Fatal(err)
	}
	zh := c.Match("zh-CN")
	told := map[string]string{}
	maps.Copy(told, incident.Messages())
	maps.Copy(told, trust.Messages())
	maps.Copy(told, platform.Messages())
	maps.Copy(told, platform.RolloutReasons())
	if len(told) < 100 {
		t.Fatalf("only %d keys are told", len(told))
	}
	// A parameter of each name, that names itself.
	params := map[string]string{}
	for _, english := range told {
		for _, m := range parameter.FindAllStringSubmatch(english, -1) {
			params[m[1]] = "‹" + m[1] + "›"
		}
	}
	for key, english := range told {
		if !zh.Has(key) {
			t.Errorf("%q has no Chinese: %s", key, english)
			continue
		}
		has := map[string]string{}
		for _, m := range parameter.FindAllStringSubmatch(english, -1) {
			has[m[1]] = params[m[1]]
		}
		got := zh.Tell(key, english, has)
		if strings.ContainsAny(got, "?{}[]") {
			t.Errorf("%q tells %q: it asks for a parameter that never comes", key, got)
		}
		for name, v := range has {
			if !strings.Contains(got, v) {
				t.Errorf("%q does not tell its parameter %q: %q", key, name, got)
			}
		}
	}
	for _, key := range zh.Keys() {
		if strings.HasPrefix(key, "story.") || regexp.MustCompile(`^(timeline\.[a-z]+\.[a-z]|trust\.[a-z]+\.|rolloutwhy\.)`).MatchString(key) {
			if _, ok := told[key]; !ok {
				t.Errorf("%q has Chinese, and nobody tells it", key)
			}
		}
	}
}

// TestTold_notes: what is noted of usage descriptions is told in Chinese, under
// every key and no other.
func TestTold_notes(t *testing.T) {
	c, err := i18n.Load()
	if err != nil {
		t.Fatal(err)
	}
	zh, keys := c.Match("zh-CN"), mudpolicy.NoteKeys()
	for _, k := range keys {
		got := zh.Tell(k, "", map[string]string{"list": "‹list›", "entry": "‹entry›", "protocol": "47", "reason": "‹why›"})
		if got == "" || strings.ContainsAny(got, "?{}[]") || k != "mudnote.unsupported" && (!strings.Contains(got, "‹list›") || !strings.Contains(got, "‹entry›")) {
			t.Errorf("%q tells %q", k, got)
		}
	}
	for _, k := range zh.Keys() {
		if strings.HasPrefix(k, "mudnote.") && !slices.Contains(keys, k) {
			t.Errorf("%q has Chinese, and nobody tells it", k)
		}
	}
}

// TestTold_reasons: what is noted of a usage description's text, and why a need is not
// proposed, is told in Chinese with each of its parameters, under every key and no
// other.
func TestTold_reasons(t *testing.T) {
	c, err := i18n.Load()
	if err != nil {
		t.Fatal(err)
	}
	zh, keys := c.Match("zh-CN"), mud.NoteKeys()
	maps.Copy(keys, policy.LearnKeys())
	for k, names := range keys {
		params := map[string]string{}
		for _, n := range names {
			params[n] = "‹" + n + "›"
		}
		got := zh.Tell(k, "", params)
		if got == "" || strings.ContainsAny(got, "?{}[]") {
			t.Errorf("%q tells %q", k, got)
		}
		for _, v := range params {
			if !strings.Contains(got, v) {
				t.Errorf("%q does not tell %s: %q", k, v, got)
			}
		}
	}
	for _, k := range zh.Keys() {
		if _, ok := keys[k]; !ok && (strings.HasPrefix(k, "mudfile.") || strings.HasPrefix(k, "learnwhy.")) {
			t.Errorf("%q has Chinese, and nobody tells it", k)
		}
	}
}

// TestTold_words compares the words for what others name: indicators of the
// rubric, rules of detectors and of SIMs, kinds of responses.
func TestTold_words(t *testing.T) {
	c, err := i18n.Load()
	if err != nil {
		t.Fatal(err)
	}
	var keys []string
	en := c.Match("en")
	for _, in := range assess.Default().Indicators {
		keys = append(keys, "indicator."+in.ID)
		if got := en.Word("indicator", in.ID); got != in.Title {
			t.Errorf("indicator %s is %q, the rubric says %q", in.ID, got, in.Title)
		}
	}
	for _, r := range detect.Rules() {
		keys = append(keys, "rule."+r.Name)
	}
	for key := range incident.Messages() {
		if rule, ok := strings.CutPrefix(key, "story.alert."); ok && rule != "other" {
			rule, _, _ = strings.Cut(rule, ".") // ".target" and the like are ways to tell of it
			keys = append(keys, "rule."+rule)
		}
	}
	for _, a := range lab.Attacks() {
		keys = append(keys, "attack."+a.Name)
	}
	for _, r := range incident.DefaultRules() {
		keys = append(keys, "policyrule."+r.Name)
	}
	for _, k := range []string{incident.Quarantine, incident.Cutoff, incident.SIMSuspend, incident.SIMRestrict} {
		keys = append(keys, "response."+k)
	}
	for _, s := range []string{incident.New, incident.Triaged, incident.Contained, incident.Resolved, incident.Closed} {
		keys = append(keys, "status."+s)
	}
	for _, l := range c.Languages() {
		for _, k := range keys {
			if !c.Match(l.Tag).Has(k) {
				t.Errorf("%s has no word %q", l.Tag, k)
			}
		}
	}
}

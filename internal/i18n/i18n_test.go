package i18n

import (
	"maps"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"time"
)

func catalogue(t *testing.T) *Catalogue {
	t.Helper()
	c, err := Load()
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// told reports whether the English of a key comes with the API.
func told(key string) bool {
	if strings.HasPrefix(key, "story.") || strings.HasPrefix(key, "timeline.") {
		return key != "timeline.empty" && key != "timeline.older" && key != "timeline.more"
	}
	return strings.HasPrefix(key, "mudnote.") || strings.HasPrefix(key, "mudfile.") || strings.HasPrefix(key, "learnwhy.") || strings.HasPrefix(key, "rolloutwhy.") || regexp.MustCompile(`^trust\.[a-z]+\.`).MatchString(key)
}

var slot = regexp.MustCompile(`\{([a-zA-Z]+)(?:\|[a-z]+)?\}`)

// places lists the parameters of a message in any form of it, sorted.
func places(f forms) []string {
	seen := map[string]bool{}
	for _, t := range f {
		for _, m := range slot.FindAllStringSubmatch(t, -1) {
			seen[m[1]] = true
		}
	}
	return slices.Sorted(maps.Keys(seen))
}

func TestMessages_are_complete_in_both_languages(t *testing.T) {
	c := catalogue(t)
	en, zh := c.Match("en"), c.Match("zh-CN")
	if en.Tag != "en" || zh.Tag != "zh-CN" {
		t.Fatalf("locales are %q and %q", en.Tag, zh.Tag)
	}
	for _, k := range en.Keys() {
		if !zh.Has(k) {
			t.Errorf("%q has no Chinese", k)
			continue
		}
		if a, b := places(en.messages[k]), places(zh.messages[k]); !slices.Equal(a, b) {
			t.Errorf("%q has parameters %q in English and %q in Chinese", k, a, b)
		}
	}
	for _, k := range zh.Keys() {
		if !en.Has(k) && !told(k) {
			t.Errorf("%q has no English", k)
		}
		if strings.ContainsAny(zh.messages[k]["other"], "：，。") && strings.Contains(zh.messages[k]["other"], ", ") {
			t.Errorf("%q mixes Chinese and English punctuation: %q", k, zh.messages[k]["other"])
		}
	}
	if len(en.Keys()) < 200 {
		t.Errorf("only %d messages", len(en.Keys()))
	}
}

// TestMessages_glossary holds the words of DESIGN's table.
func TestMessages_glossary(t *testing.T) {
	zh := catalogue(t).Match("zh-CN")
	for key, want := range map[string]string{
		"nav.devices": "终端", "nav.sims": "物联网卡", "nav.gateways": "安全网关", "nav.incidents": "安全事件",
		"device.grade": "风险等级", "device.trust": "可信等级", "device.policy": "安全策略", "incident.responses": "事后管控",
		"incident.disposition": "研判结论", "mode.learn": "学习", "mode.shadow": "影子", "mode.enforce": "强制",
		"class.real-time": "实时监控", "class.periodic": "定期监控", "class.occasional": "偶尔监控",
		"module.hardware": "硬件", "module.firmware": "固件系统", "module.application": "应用", "module.data": "数据", "module.communication": "通信接入",
		"rule.separation": "机卡分离", "restriction.quarantine": "隔离", "restriction.cutoff": "切断", "gateway.remediation": "修复白名单",
		"stage.infection": "感染", "stage.command": "控制", "stage.action": "行动", "stage.propagation": "传播",
	} {
		if got := zh.T(key); got != want {
			t.Errorf("%s is %q, the glossary says %q", key, got, want)
		}
	}
}

func TestMatch(t *testing.T) {
	c := catalogue(t)
	for _, x := range []struct{ chosen, accept, want string }{
		{"", "", "en"},
		{"", "zh-CN,zh;q=0.9,en;q=0.8", "zh-CN"},
		{"", "zh-Hans", "zh-CN"},
		{"", "zh", "zh-CN"},
		{"", "en-GB,en;q=0.5", "en"},
		{"", "fr", "en"},
		{"", "fr, zh;q=0.5", "zh-CN"},
		{"zh-CN", "en", "zh-CN"},
		{"en", "zh-CN", "en"},
		{"<script>", "zh-CN", "zh-CN"},
		{"", strings.Repeat("zh,", 1000), "en"},
		{"", ";;;q=,\x00", "en"},
	} {
		if got := c.Match(x.chosen, x.accept).Tag; got != x.want {
			t.Errorf("Match(%.20q, %.20q) = %q, want %q", x.chosen, x.accept, got, x.want)
		}
	}
}

// tiny is a catalogue of a few messages in both languages.
func tiny(t *testing.T, en, zh string) (Locale, Locale) {
	t.Helper()
	c, err := load(fstest.MapFS{
		"messages/en/a.json": {Data: []byte(en)},
		"messages/zh/a.json": {Data: []byte(zh)},
	})
	if err != nil {
		t.Fatal(err)
	}
	return c.Match("en"), c.Match("zh-CN")
}

func TestRender(t *testing.T) {
	en, zh := tiny(t,
		`{"word.none":"none","grade.high":"high risk","why":"because","a":"{x}","g":"it is {x|grade}","k":"{x|key}","o":"start[, {x} of {y}][; {z}] end","n":{"one":"{n} thing","other":"{n} things"}}`,
		`{"word.none":"无","grade.high":"高风险","why":"因为","a":"{x}","g":"为{x|grade}","k":"{x|key}","o":"始[，{y}之{x}][；{z}]终","n":"{n} 件"}`)
	for _, c := range []struct {
		got, want string
	}{
		{en.T("a", "x", "hello"), "hello"},
		{en.T("a", "x", "{y} [z] {x}"), "{y} [z] {x}"}, // never read as a template
		{en.T("a", "x", 1234567), "1,234,567"},
		{en.T("a"), "?"},
		{en.T("g", "x", "high"), "it is high risk"},
		{en.T("g", "x", "odd"), "it is odd"},
		{zh.T("g", "x", "high"), "为高风险"},
		{en.T("k", "x", "why"), "because"},
		{en.T("k", "x", "as it is"), "as it is"},
		{en.T("o"), "start end"},
		{en.T("o", "x", "1"), "start end"},
		{en.T("o", "x", "1", "y", "2"), "start, 1 of 2 end"},
		{en.T("o", "x", "1", "y", "2", "z", "3"), "start, 1 of 2; 3 end"},
		{zh.T("o", "x", "1", "y", "2"), "始，2之1终"},
		{en.N("n", 0), "0 things"},
		{en.N("n", 1), "1 thing"},
		{en.N("n", 2000), "2,000 things"},
		{zh.N("n", 1), "1 件"},
		{en.T("nothing"), "⟦nothing⟧"},
		{en.Word("grade", ""), "none"},
		{en.Tell("nothing", "as it came", nil), "as it came"},
		{zh.Tell("a", "as it came", map[string]string{"x": "新"}), "新"},
	} {
		if c.got != c.want {
			t.Errorf("got %q, want %q", c.got, c.want)
		}
	}
}

func TestParse_refuses(t *testing.T) {
	for _, c := range []struct{ name, in string }{
		{"not JSON", `{`},
		{"a list", `[]`},
		{"a number", `{"a":1}`},
		{"no other", `{"a":{"one":"x"}}`},
		{"empty", `{"a":""}`},
		{"a plural that is none", `{"a":{"other":"x","lots":"y"}}`},
		{"an open brace", `{"a":"{x"}`},
		{"an open bracket", `{"a":"[x"}`},
		{"a closing brace alone", `{"a":"x}"}`},
		{"brackets in brackets", `{"a":"[x [y]]"}`},
		{"a bracket in braces", `{"a":"{[x]}"}`},
	} {
		if m, err := parse([]byte(c.in)); err == nil {
			t.Errorf("%s: %q was taken as %v", c.name, c.in, m)
		}
	}
	if _, err := load(fstest.MapFS{"messages/en/a.json": {Data: []byte(`{"a":"x"}`)}, "messages/en/b.json": {Data: []byte(`{"a":"y"}`)}}); err == nil {
		t.Error("one key in two files was taken")
	}
	if _, err := load(fstest.MapFS{}); err == nil {
		t.Error("no messages at all were taken")
	}
}

func FuzzParse(f *testing.F) {
	for _, s := range []string{`{"a":"x {y} [z {w|grade}]"}`, `{"a":{"one":"x","other":"y"}}`, `{"a":"}{"}`, `{}`, `null`} {
		f.Add([]byte(s), "y", "v")
	}
	f.Fuzz(func(t *testing.T, in []byte, name, value string) {
		m, err := parse(in)
		if err != nil {
			return
		}
		l := Locale{messages: m}
		for k, f := range m {
			for _, tmpl := range f {
				out := l.render(tmpl, map[string]string{name: value})
				if len(out) > len(tmpl)*(len(value)+1)+len(tmpl)+len(k) {
					t.Fatalf("%q grew to %d bytes", tmpl, len(out))
				}
			}
		}
	})
}

func TestUnits(t *testing.T) {
	c := catalogue(t)
	en, zh := c.Match("en"), c.Match("zh-CN")
	now := time.Date(2026, 11, 21, 22, 45, 7, 0, time.UTC)
	for _, x := range []struct{ got, want string }{
		{en.Time(now), "21 Nov 2026, 22:45:07"}, {zh.Time(now), "2026年11月21日 22:45:07"}, {en.Date(now), "21 Nov 2026"}, {zh.Date(now), "2026年11月21日"},
		{en.Ago(now, now), "just now"}, {en.Ago(now.Add(-59*time.Second), now), "59 s ago"}, {en.Ago(now.Add(-60*time.Second), now), "1 min ago"},
		{en.Ago(now.Add(-47*time.Hour), now), "47 h ago"}, {en.Ago(now.Add(-48*time.Hour), now), "2 days ago"}, {en.Ago(now.Add(26*time.Hour), now), "in 26 h"},
		{zh.Ago(now.Add(-90*time.Second), now), "1 分钟前"}, {zh.Ago(now.Add(72*time.Hour), now), "3 天后"},
		{en.Bytes(0), "0 B"}, {en.Bytes(1023), "1023 B"}, {en.Bytes(1024), "1.00 KiB"}, {en.Bytes(18_443_221), "17.6 MiB"}, {en.Bytes(1 << 63), "8.00 EiB"},
		{en.Percent(0.999), "99 %"}, {en.Percent(1), "100 %"}, {zh.Percent(0.29), "29%"}, {en.Percent(-1), "0 %"},
	} {
		if x.got != x.want {
			t.Errorf("got %q, want %q", x.got, x.want)
		}
	}
}

package console_test

import (
	"net/url"
	"strings"
	"testing"

	"golang.org/x/net/html"
)

// TestLearn_speaks_Chinese: why a need is not proposed is told in the reader's
// language.
func TestLearn_speaks_Chinese(t *testing.T) {
	s := newSite(t)
	path := "/devices/" + string(s.BadCamera) + "/policy/learn"
	for language, want := range map[string]string{"en": "it was refused: what was tried is no need", "zh-CN": "已被拒绝：尝试过的访问不是需求"} {
		d := parse(t, s.ask(t, "POST", path, url.Values{"days": {"30"}}, "Accept-Language", language).Body.Bytes())
		d.wellMade(t)
		told, english := false, false
		d.each(func(n *html.Node) {
			if n.Data != "li" {
				return
			}
			told = told || strings.Contains(textOf(n), want)
			english = english || strings.Contains(textOf(n), "it was refused")
		})
		if !told || english != (language == "en") {
			t.Errorf("%s: %s", language, d.text())
		}
	}
}

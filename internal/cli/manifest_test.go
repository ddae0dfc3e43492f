package cli

import (
	"strings"
	"testing"

	"github.com/ringwall/ringwall/api"
)

func TestParseManifest(t *testing.T) {
	lines, err := parseManifest(strings.NewReader("serial,name,groups,template\nS1,Branch 1,cameras; annex,Branch office\n,\"Branch, 2\",,\n"))
	if err != nil || len(lines) != 2 || lines[0].Serial != "S1" || len(lines[0].Groups) != 2 || lines[0].Groups[1] != "annex" || lines[1].Name != "Branch, 2" || lines[1].Template != "" {
		t.Errorf("%+v, %v", lines, err)
	}
	for _, bad := range []string{"", "serial\nS1\n", "name,colour\na,red\n", "name,name\na,b\n", "name,serial\na\n", "name\n\"a\n", "name\n" + strings.Repeat("a\n", api.MaxBulk+1)} {
		if _, err := parseManifest(strings.NewReader(bad)); err == nil {
			t.Errorf("%.40q is taken", bad)
		}
	}
}

func FuzzParseManifest(f *testing.F) {
	f.Add("name,serial,template,groups\na,b,c,d;e\n")
	f.Add("name\n\"")
	f.Fuzz(func(t *testing.T, s string) {
		lines, err := parseManifest(strings.NewReader(s))
		if err == nil && len(lines) > api.MaxBulk {
			t.Errorf("%d lines", len(lines))
		}
	})
}

func TestTermFlags(t *testing.T) {
	for other, want := range map[string]func(api.Term) bool{
		"198.51.100.7":             func(t api.Term) bool { return t.CIDR.String() == "198.51.100.7/32" },
		"198.51.100.9/24":          func(t api.Term) bool { return t.CIDR.String() == "198.51.100.0/24" },
		"*.CDN.example":            func(t api.Term) bool { return t.Domain == "*.cdn.example" },
		"local":                    func(t api.Term) bool { return t.Local },
		"gateway":                  func(t api.Term) bool { return t.Gateway },
		"same-maker":               func(t api.Term) bool { return t.SameMaker },
		"controller:my-controller": func(t api.Term) bool { return t.Controller == "my-controller" },
	} {
		got, err := (&termFlags{}).term(api.Allow, other, "tcp/443,8000-8010")
		if err != nil || !want(got) || len(got.Ports) != 2 || got.Ports[1].Last != 8010 || got.ID == "" || strings.ContainsAny(got.ID, "/:*") {
			t.Errorf("%s becomes %+v, %v", other, got, err)
		}
	}
	for _, bad := range [][2]string{{"nonsense", "any"}, {"device:x", "any"}, {"198.51.100.7", "tcp/a"}, {"198.51.100.7", "tcp/9-1"}} {
		if _, err := (&termFlags{}).term(api.Allow, bad[0], bad[1]); err == nil {
			t.Errorf("%v is taken", bad)
		}
	}
}

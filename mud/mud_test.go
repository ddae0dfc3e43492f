package mud

import (
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/ringwall/ringwall"
)

func camera(t testing.TB) []byte {
	t.Helper()
	b, err := os.ReadFile("testdata/camera.json")
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// remarked fails unless each note is a remark too, under a known key with the
// parameters that it has.
func remarked(t *testing.T, f *File) {
	t.Helper()
	keys := NoteKeys()
	if len(f.Remarks) != len(f.Notes) {
		t.Fatalf("%d remarks of %d notes", len(f.Remarks), len(f.Notes))
	}
	for i, r := range f.Remarks {
		names, ok := keys[r.Key]
		if !ok || r.Text != f.Notes[i] || strings.ContainsAny(r.Text, "{}") || len(names) != len(r.Params) {
			t.Errorf("note %q is remarked as %+v", f.Notes[i], r)
		}
		for _, n := range names {
			if v, ok := r.Params[n]; !ok || !strings.Contains(r.Text, v) {
				t.Errorf("%s does not tell {%s}: %q", r.Key, n, r.Text)
			}
		}
	}
}

func TestParse(t *testing.T) {
	f, err := Parse(camera(t))
	if err != nil {
		t.Fatal(err)
	}
	if f.URL != "https://mud.lantern-cams.example/lc2.json" || !f.Signed() || !f.Supported || !f.TLSProfiles || f.Model != "LC-2" || len(f.Notes) != 0 {
		t.Errorf("%+v", f)
	}
	if want := time.Date(2026, 10, 2, 6, 0, 0, 0, time.UTC); !f.LastUpdate.Equal(want) || f.CacheValidity != 24*time.Hour {
		t.Errorf("updated %v, cache %v", f.LastUpdate, f.CacheValidity)
	}
	if f.Stale(f.LastUpdate, f.LastUpdate.Add(23*time.Hour)) || !f.Stale(f.LastUpdate, f.LastUpdate.Add(24*time.Hour)) {
		t.Error("the file is stale after exactly its cache validity")
	}
}

func TestRules_are_seen_from_the_device(t *testing.T) {
	f, err := Parse(camera(t))
	if err != nil {
		t.Fatal(err)
	}
	rules := f.Rules()
	if len(rules) != 7 {
		t.Fatalf("%d rules", len(rules))
	}
	cloud, answers, rtsp := rules[0], rules[3], rules[4]
	if !cloud.Outbound || !cloud.Opens || cloud.Name != "api.lantern-cams.example" || cloud.Remote != (Ports{443, 443}) || !cloud.Local.Any() || len(cloud.TLS) != 1 || cloud.TLS[0].Versions[0] != "tls13" {
		t.Errorf("cloud: %+v", cloud)
	}
	if answers.Outbound || answers.Name != "api.lantern-cams.example" || answers.Remote != (Ports{443, 443}) || !answers.Opens {
		t.Errorf("answers: %+v", answers)
	}
	if rtsp.Outbound || rtsp.Opens || !rtsp.Peer.LocalNetworks || rtsp.Local != (Ports{554, 554}) {
		t.Errorf("rtsp: %+v", rtsp)
	}
	if rules[2].Action != Drop || rules[2].Remote != (Ports{25, 26}) || rules[2].Net.String() != "0.0.0.0/0" {
		t.Errorf("no-mail: %+v", rules[2])
	}
}

func TestServices_leave_answers_out(t *testing.T) {
	f, err := Parse(camera(t))
	if err != nil {
		t.Fatal(err)
	}
	want := []Service{{tcp, Ports{554, 554}, "rtsp"}, {udp, Ports{3702, 3702}, "discovery"}}
	if d := cmp.Diff(want, f.Services()); d != "" {
		t.Errorf("services differ (-want +got):\n%s", d)
	}
}

// TestParse_forms_of_the_field takes what files in the field do, and says so.
func TestParse_forms_of_the_field(t *testing.T) {
	text := string(camera(t))
	for _, c := range []struct{ name, old, new, note string }{
		{"draft container", "list:acls", "list:access-lists", "early draft"},
		{"RFC 9761 example", `ietf-acl-tls:client-profiles": {"tls-dtls-profile":`, `ietf-acl-tls:client-profile": {"tls-dtls-profiles":`, "example in RFC 9761"},
		{"RFC 9761 members", `"supported-tls-version"`, `"supported-tls-versions"`, ""},
		{"boolean as text", `supported": true,
    "from`, `supported": "true",
    "from`, "written as a text"},
		{"actions inside", `}},
           "actions": {"forwarding": "drop"}}`, `},
           "actions": {"forwarding": "drop"}}}`, "inside matches"},
		{"extension", `"is-supported"`, `"example-qos:qos": {"x": [1]}, "is-supported"`, "belongs to an extension"},
		{"prefixed type", `"type": "ipv4-acl-type"`, `"type": "ietf-access-control-list:ipv4-acl-type"`, ""},
		{"profile member", `"supported-group": [29]`, `"supported-group": [29], "certificate-authority": ["x"]`, "was left out"},
		{"pins otherwise", `"spki": {"spki-pin-set": ["MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="]}`, `"spki": [{"name": "x"}]`, "pins are not in the form"},
		{"DTLS", `"supported-tls-version": ["tls13"]`, `"supported-tls-version": ["tls13"], "supported-dtls-version": ["dtls12"]`, ""},
		{"http", `"mud-url": "https:`, `"mud-url": "http:`, "scheme http"},
	} {
		changed := strings.ReplaceAll(text, c.old, c.new)
		if changed == text {
			t.Errorf("%s: nothing was changed", c.name)
			continue
		}
		f, err := Parse([]byte(changed))
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		if notes := strings.Join(f.Notes, "; "); c.note != "" && !strings.Contains(notes, c.note) || c.note == "" && notes != "" {
			t.Errorf("%s: notes %q, want %q", c.name, notes, c.note)
		}
		remarked(t, f)
		if len(f.Rules()) != 7 || len(f.Rules()[0].TLS) != 1 {
			t.Errorf("%s: the rules are not what they were", c.name)
		}
	}
}

// TestParse_refuses what changes the meaning of the file or has none.
func TestParse_refuses(t *testing.T) {
	text := string(camera(t))
	for _, c := range []struct{ name, old, new, want string }{
		{"no JSON", text, "<mud/>", "line 1"},
		{"empty", text, "{}", `no "ietf-mud:mud"`},
		{"null", text, "null", "empty"},
		{"version", `"mud-version": 1`, `"mud-version": 2`, "mud-version is 2"},
		{"no URL", `"mud-url": "https://mud.lantern-cams.example/lc2.json",`, "", "https is wanted"},
		{"script URL", `"documentation": "https`, `"documentation": "javascript`, "no URL"},
		{"no support", `"is-supported": true,`, "", "is-supported is missing"},
		{"cache", `"cache-validity": 24`, `"cache-validity": 169`, "line 7: ietf-mud:mud.cache-validity"},
		{"unknown member", `"systeminfo"`, `"systemInfo"`, `"systemInfo" is not known`},
		{"unknown match", `"ietf-mud:mud": {"local-networks": [null]},
             "ipv4": {"protocol": 6}`, `"example:tunnel": 1, "ipv4": {"protocol": 6}`, `"example:tunnel" is not known`},
		{"unknown action", `"drop"`, `"mirror"`, `forwarding "mirror"`},
		{"no action", `,
           "actions": {"forwarding": "drop"}`, ``, "has no actions"},
		{"missing list", `[{"name": "lc2-to"}]`, `[{"name": "other"}]`, `refers to access list "other"`},
		{"list twice", `"name": "lc2-to",
        "type"`, `"name": "lc2-from", "type"`, "stands twice"},
		{"entry twice", `"name": "discovery"`, `"name": "rtsp"`, "no name of its own"},
		{"family", `"type": "ipv4-acl-type"`, `"type": "ipv6-acl-type"`, "other address family"},
		{"network", `"0.0.0.0/0"`, `"::/0"`, "no network"},
		{"port", `"port": 554`, `"port": 65536`, "whole number from 0 to 65535"},
		{"port 0", `"port": 554`, `"port": 0`, "port 0"},
		{"range", `"upper-port": 26`, `"upper-port": 24`, "whole number from 25"},
		{"operator", `{"operator": "eq", "port": 554}`, `{"operator": "neq", "port": 554}`, "none of"},
		{"protocols", `"protocol": 17}, "udp": {"destination-port": {"operator": "eq", "port": 123}}`, `"protocol": 6}, "udp": {"destination-port": {"operator": "eq", "port": 123}}`, "protocols 6 and 17"},
		{"name", `"api.lantern-cams.example"`, `"api example"`, "no DNS name"},
		{"two peers", `{"controller": "urn:ietf:params:mud:ntp"}`, `{"controller": "urn:ietf:params:mud:ntp", "my-controller": [null]}`, "2 kinds of peer"},
		{"empty leaf", `"local-networks": [null]`, `"local-networks": true`, "[null]"},
		{"TLS version", `"tls13"`, `"ssl3"`, "none of"},
		{"pin", "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=", "MDE=", "no SHA-256"},
		{"member twice", `"cache-validity": 24,`, `"cache-validity": 24, "cache-validity": 24,`, "given twice"},
	} {
		changed := strings.ReplaceAll(text, c.old, c.new)
		if changed == text {
			t.Errorf("%s: nothing was changed", c.name)
			continue
		}
		_, err := Parse([]byte(changed))
		if err == nil || !strings.Contains(err.Error(), c.want) || ringwall.CodeOf(err) != ringwall.Invalid {
			t.Errorf("%s: error %v (%s), want %q", c.name, err, ringwall.CodeOf(err), c.want)
		}
	}
	if _, err := Parse([]byte(strings.Repeat(" ", MaxSize+1))); err == nil {
		t.Error("a file beyond the limit was taken")
	}
}

func TestWrite_gives_back_what_was_read(t *testing.T) {
	f, err := Parse(camera(t))
	if err != nil {
		t.Fatal(err)
	}
	b, err := Write(f)
	if err != nil {
		t.Fatal(err)
	}
	again, err := Parse(b)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(f, again, cmpopts.EquateComparable(f.ACLs[0].ACEs[0].Dst)); d != "" {
		t.Errorf("it changed on the way (-before +after):\n%s", d)
	}
	f.URL = "gopher://x"
	if _, err := Write(f); ringwall.CodeOf(err) != ringwall.Invalid {
		t.Errorf("a broken description was written: %v", err)
	}
}

func FuzzParse(f *testing.F) {
	text := string(camera(f))
	f.Add([]byte(text))
	f.Add([]byte(strings.ReplaceAll(text, "list:acls", "list:access-lists")))
	f.Add([]byte(strings.ReplaceAll(text, "ipv4", "ipv6")))
	f.Add([]byte(`{"ietf-mud:mud":{"mud-version":1,"mud-url":"https://a/b","last-update":"2026-01-01T00:00:00Z","is-supported":false}}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := Parse(b)
		if err != nil {
			return
		}
		m.Services()
		out, err := Write(m)
		if err != nil {
			t.Fatalf("parsed, but cannot be written: %v", err)
		}
		again, err := Parse(out)
		if err != nil {
			t.Fatal(err)
		}
		m.Notes, again.Notes, m.Remarks, again.Remarks = nil, nil, nil, nil
		for _, f := range []*File{m, again} {
			for _, a := range f.ACLs {
				for i := range a.ACEs {
					for j := range a.ACEs[i].TLS {
						a.ACEs[i].TLS[j].Partial = false
						slices.Sort(a.ACEs[i].TLS[j].Versions)
					}
				}
			}
		}
		if d := cmp.Diff(m, again, cmpopts.EquateComparable(ACE{}.Dst), cmpopts.EquateEmpty()); d != "" {
			t.Fatalf("it changed on the way:\n%s", d)
		}
	})
}

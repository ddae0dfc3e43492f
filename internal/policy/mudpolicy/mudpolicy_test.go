package mudpolicy_test

import (
	"math/rand/v2"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ringwall/ringwall/api"
	"github.com/ringwall/ringwall/internal/policy"
	"github.com/ringwall/ringwall/internal/policy/mudpolicy"
	"github.com/ringwall/ringwall/internal/policy/policytest"
	"github.com/ringwall/ringwall/mud"
)

var about = mudpolicy.About{URL: "https://mud.lantern-cams.example/draft.json", SystemInfo: "Lantern LC-2", Manufacturer: "Lantern Cams", Model: "LC-2", Updated: time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)}

func texts(terms []api.Term) []string {
	var out []string
	for i := range terms {
		out = append(out, policy.TermText(&terms[i]))
	}
	return out
}

func TestTerms(t *testing.T) {
	b, err := os.ReadFile(filepath.Join("..", "..", "..", "mud", "testdata", "camera.json"))
	if err != nil {
		t.Fatal(err)
	}
	f, err := mud.Parse(b)
	if err != nil {
		t.Fatal(err)
	}
	terms, notes := mudpolicy.Terms(f)
	want := []string{
		"allow tcp to name api.lantern-cams.example on port 443, inside tls with TLS 1.3 or later",
		"allow udp to controller urn:ietf:params:mud:ntp on port 123",
		"deny tcp to 0.0.0.0/0 on port 25-26",
		"allow tcp from local on port 554",
		"allow udp from local on port 3702",
	}
	if got := texts(terms); !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
	// A cipher suite, groups and a pin are named; each is told as what is not enforced.
	if len(notes) != 3 || !strings.Contains(notes[2].Text, "pins of certificates are not enforced") {
		t.Errorf("notes %q", notes)
	}
	for _, term := range terms {
		if !strings.HasPrefix(term.ID, "mud:lc2-") || term.Why != "mud:https://mud.lantern-cams.example/lc2.json" {
			t.Errorf("%+v", term)
		}
	}
}

// entry returns a description of one entry.
func entry(list string, e mud.ACE, fam mud.Family) *mud.File {
	f := &mud.File{URL: about.URL, Supported: true, ACLs: []mud.ACL{{Name: "l", Family: fam, ACEs: []mud.ACE{e}}}}
	if list == "from" {
		f.From = []string{"l"}
	} else {
		f.To = []string{"l"}
	}
	return f
}

func TestTerms_entries(t *testing.T) {
	net := netip.MustParsePrefix("198.51.100.0/24")
	p443, hi := mud.Ports{Low: 443, High: 443}, mud.Ports{Low: 1024, High: 65535}
	for _, c := range []struct {
		name, list string
		e          mud.ACE
		want, note string
	}{
		{"anybody", "from", mud.ACE{Protocol: 6, DstPorts: p443}, "allow tcp to 0.0.0.0/0 on port 443", ""},
		{"every protocol", "from", mud.ACE{Dst: net}, "allow any to 198.51.100.0/24", ""},
		{"answers of a server", "from", mud.ACE{Protocol: 6, SrcPorts: p443}, "", ""},
		{"answers to the device", "to", mud.ACE{Protocol: 6, SrcPorts: p443}, "", ""},
		{"opened by the other end, what the device sends", "from", mud.ACE{Protocol: 6, Direction: mud.ToDevice, Dst: net}, "", ""},
		{"opened by the device, what it is sent", "to", mud.ACE{Protocol: 6, Direction: mud.FromDevice, Src: net, SrcPorts: p443}, "", ""},
		{"opened by the other end", "to", mud.ACE{Protocol: 6, Direction: mud.ToDevice, Src: net, DstPorts: p443}, "allow tcp from 198.51.100.0/24 on port 443", ""},
		{"my controller", "to", mud.ACE{Protocol: 17, Peer: mud.Peer{MyController: true}, DstPorts: p443}, "allow udp from controller my-controller on port 443", ""},
		{"same maker", "from", mud.ACE{Peer: mud.Peer{SameManufacturer: true}}, "allow any to same maker", ""},
		{"model", "from", mud.ACE{Peer: mud.Peer{Model: "https://a.example/m"}}, "allow any to controller mud-model:https://a.example/m", ""},
		{"maker", "from", mud.ACE{Peer: mud.Peer{Manufacturer: "a.example"}}, "allow any to controller mud-maker:a.example", ""},
		{"high source ports", "from", mud.ACE{Protocol: 6, SrcPorts: hi, DstPorts: p443}, "allow tcp to 0.0.0.0/0 on port 443", "below 1024"},
		{"answers to high ports", "to", mud.ACE{Protocol: 17, SrcPorts: p443, DstPorts: hi}, "", ""},
		{"a source port", "from", mud.ACE{Protocol: 6, SrcPorts: p443, DstPorts: p443}, "", "side that opens"},
		{"a source port denied", "from", mud.ACE{Protocol: 6, SrcPorts: p443, DstPorts: p443, Action: mud.Drop}, "deny tcp to 0.0.0.0/0 on port 443", "more is denied"},
		{"a type of ICMP", "from", mud.ACE{Protocol: 1, ICMP: &mud.ICMP{Type: 8, Code: -1}}, "", "type of ICMP"},
		{"ICMP", "from", mud.ACE{Protocol: 1, ICMP: &mud.ICMP{Type: -1, Code: -1}}, "allow icmp to 0.0.0.0/0", ""},
		{"a type of ICMP denied", "from", mud.ACE{Protocol: 1, ICMP: &mud.ICMP{Type: 8, Code: -1}, Action: mud.Reject}, "deny icmp to 0.0.0.0/0", "more is denied"},
		{"GRE", "from", mud.ACE{Protocol: 47}, "", "protocol 47"},
		{"a local network of a kind of peer", "from", mud.ACE{Peer: mud.Peer{LocalNetworks: true}, Dst: net}, "", "together with"},
		{"everybody of a kind of peer", "from", mud.ACE{Peer: mud.Peer{LocalNetworks: true}, Dst: netip.MustParsePrefix("0.0.0.0/0")}, "allow any to local", ""},
		{"a name opens", "to", mud.ACE{Protocol: 6, SrcName: "a.example", DstPorts: p443, Direction: mud.ToDevice}, "", "cannot say who opens"},
		{"a name opens and is denied", "to", mud.ACE{Protocol: 6, SrcName: "a.example", DstPorts: p443, Action: mud.Drop}, "deny tcp from 0.0.0.0/0 on port 443", "everybody is denied"},
		{"DTLS", "from", mud.ACE{Protocol: 17, DstName: "a.example", DstPorts: p443, TLS: []mud.TLSProfile{{Versions: []string{"dtls12"}}}}, "allow udp to name a.example on port 443", "DTLS"},
		{"TLS with ciphers", "from", mud.ACE{Protocol: 6, DstName: "a.example", DstPorts: p443, TLS: []mud.TLSProfile{{Versions: []string{"tls13"}, Ciphers: []uint16{0x1301}}}}, "allow tcp to name a.example on port 443, inside tls with TLS 1.3 or later", "cipher suites are not enforced"},
		{"TLS with a pin", "from", mud.ACE{Protocol: 6, DstName: "a.example", DstPorts: p443, TLS: []mud.TLSProfile{{Versions: []string{"tls13"}, Pins: []string{"x"}}}}, "allow tcp to name a.example on port 443, inside tls with TLS 1.3 or later", "pins of certificates are not enforced"},
		{"TLS of two versions", "from", mud.ACE{Protocol: 6, DstName: "a.example", DstPorts: p443, TLS: []mud.TLSProfile{{Versions: []string{"tls13"}}, {Versions: []string{"tls12"}}}}, "allow tcp to name a.example on port 443, inside tls with TLS 1.2 or later", ""},
	} {
		c.e.Name = "e"
		if c.e.Action == "" {
			c.e.Action = mud.Accept
		}
		terms, notes := mudpolicy.Terms(entry(c.list, c.e, mud.IPv4))
		if got := strings.Join(texts(terms), "; "); got != c.want {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
		if (c.note == "") != (len(notes) == 0) || c.note != "" && !strings.Contains(notes[0].Text, c.note) {
			t.Errorf("%s: notes %q, want %q", c.name, notes, c.note)
		}
		for _, n := range notes {
			if !slices.Contains(mudpolicy.NoteKeys(), n.Key) || n.Params["entry"] != "e" || n.Params["list"] != "l" {
				t.Errorf("%s: note %q has key %q and parameters %v", c.name, n, n.Key, n.Params)
			}
		}
	}
	if terms, _ := mudpolicy.Terms(entry("from", mud.ACE{Name: "e", Protocol: 58, Action: mud.Accept}, mud.IPv6)); len(terms) != 1 || policy.TermText(&terms[0]) != "allow icmp to ::/0" {
		t.Errorf("IPv6: %q", texts(terms))
	}
	f := entry("from", mud.ACE{Name: "e", Action: mud.Accept}, mud.IPv4)
	f.Supported = false
	if _, notes := mudpolicy.Terms(f); len(notes) != 1 || !strings.Contains(notes[0].Text, "is-supported") {
		t.Errorf("not supported: %q", notes)
	}
}

// What a description can say comes back out of it with the same meaning.
func TestDraft_roundTrip(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	w := policytest.World{R: rand.New(rand.NewPCG(seed, 3)), Features: policytest.IPv6 | policytest.Roles | policytest.NameDenies}
	said := 0
	for range 400 {
		var terms []api.Term
		for i := range 1 + w.R.IntN(8) {
			term := w.Term(i)
			zero := slices.ContainsFunc(term.Ports, func(r api.PortRange) bool { return r.First == 0 && r.Last != 0xffff })
			if zero || strings.HasPrefix(term.Domain, "*") || term.Device != "" || term.Private {
				continue
			}
			if w.R.IntN(6) == 0 && term.Proto == "tcp" && term.Action == api.Allow {
				term.Inside = &api.Inside{Proto: "tls", MinTLS: []string{"1.2", "1.3"}[w.R.IntN(2)]}
			}
			terms = append(terms, term)
		}
		f, notes, err := mudpolicy.Draft(terms, about)
		if err != nil || len(notes) != 0 {
			t.Fatalf("Draft of %q: %v, notes %q", texts(terms), err, notes)
		}
		b, err := mud.Write(f)
		if err != nil {
			t.Fatal(err)
		}
		g, err := mud.Parse(b)
		if err != nil {
			t.Fatal(err)
		}
		back, noted := mudpolicy.Terms(g)
		if len(noted) != 0 {
			t.Errorf("notes %q", noted)
		}
		ch, err := policy.Diff(terms, back)
		if err != nil || !ch.Empty() {
			t.Fatalf("%q came back as %q: %+v, %v\n%s", texts(terms), texts(back), ch, err, b)
		}
		said += len(terms)
	}
	if said < 500 {
		t.Errorf("%d terms were written: the test says little", said)
	}
}

func TestDraft_leavesOut(t *testing.T) {
	base := api.Term{ID: "x", Action: api.Allow, Direction: api.FromDevice, Domain: "a.example", Proto: "tcp", Ports: []api.PortRange{{First: 443, Last: 443}}}
	for _, c := range []struct {
		do   func(*api.Term)
		note string
		acls int
	}{
		{func(t *api.Term) { t.Domain = "*.a.example" }, "wildcards", 0},
		{func(t *api.Term) { t.Window = &api.Window{From: "08:00", To: "09:00"} }, "window", 0},
		{func(t *api.Term) { t.Limit = &api.Limit{Flows: 1} }, "limit", 0},
		{func(t *api.Term) { t.Inside = &api.Inside{Proto: "http"} }, "stands inside", 0},
		{func(t *api.Term) { t.Domain, t.Gateway = "", true }, "gateway", 0},
		{func(t *api.Term) { t.Domain, t.Device = "", "dev_nvr" }, "my-controller", 2},
	} {
		term := base
		c.do(&term)
		f, notes, err := mudpolicy.Draft([]api.Term{term}, about)
		if err != nil || len(notes) != 1 || !strings.Contains(notes[0], c.note) || len(f.ACLs) != c.acls {
			t.Errorf("%s: %d lists, notes %q, %v", policy.TermText(&term), len(f.ACLs), notes, err)
		}
	}
	if _, _, err := mudpolicy.Draft([]api.Term{base}, mudpolicy.About{URL: "no url"}); err == nil {
		t.Error("a draft without a URL")
	}
}

// Whatever parses becomes terms that hold, and allows nothing that is denied.
func FuzzTerms(f *testing.F) {
	b, err := os.ReadFile(filepath.Join("..", "..", "..", "mud", "testdata", "camera.json"))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	f.Fuzz(func(t *testing.T, b []byte) {
		file, err := mud.Parse(b)
		if err != nil {
			return
		}
		terms, _ := mudpolicy.Terms(file)
		ids := map[string]bool{}
		for _, term := range terms {
			if err := policy.Check(term); err != nil || ids[term.ID] {
				t.Errorf("term %+v: %v, twice: %v", term, err, ids[term.ID])
			}
			ids[term.ID] = true
		}
	})
}

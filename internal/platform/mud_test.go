package platform

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/smallstep/pkcs7"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/api"
	"github.com/ringwall/ringwall/internal/audit"
	"github.com/ringwall/ringwall/internal/mudfetch"
	"github.com/ringwall/ringwall/mud"
)

// maker is a manufacturer with an authority of its own.
type maker struct {
	t      *testing.T
	name   string
	rootK  *ecdsa.PrivateKey
	root   *x509.Certificate
	serial int64
}

func newMaker(t *testing.T, name string) *maker {
	t.Helper()
	m := &maker{t: t, name: name}
	m.rootK, m.root = m.cert("root", nil, time.Now().AddDate(-2, 0, 0), time.Now().AddDate(5, 0, 0))
	return m
}

func (m *maker) cert(cn string, under *maker, from, to time.Time) (*ecdsa.PrivateKey, *x509.Certificate) {
	m.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		m.t.Fatal(err)
	}
	m.serial++
	c := &x509.Certificate{
		SerialNumber: big.NewInt(m.serial), Subject: pkix.Name{CommonName: cn, Organization: []string{m.name}}, NotBefore: from, NotAfter: to,
		KeyUsage: x509.KeyUsageDigitalSignature, BasicConstraintsValid: true,
	}
	parent, by := c, key
	if under == nil {
		c.IsCA, c.KeyUsage = true, x509.KeyUsageCertSign
	} else {
		parent, by = under.root, under.rootK
	}
	der, err := x509.CreateCertificate(rand.Reader, c, parent, &key.PublicKey, by)
	if err != nil {
		m.t.Fatal(err)
	}
	out, err := x509.ParseCertificate(der)
	if err != nil {
		m.t.Fatal(err)
	}
	return key, out
}

func (m *maker) pem() string {
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: m.root.Raw}))
}

// signer makes a signer below the maker's authority and returns what it signs
// with.
func (m *maker) signer(cn string, from, to time.Time) func(body []byte) []byte {
	key, cert := m.cert(cn, m, from, to)
	return func(body []byte) []byte {
		m.t.Helper()
		sd, err := pkcs7.NewSignedData(body)
		if err != nil {
			m.t.Fatal(err)
		}
		sd.SetDigestAlgorithm(pkcs7.OIDDigestAlgorithmSHA256)
		if err := sd.SignWithoutAttr(cert, key, pkcs7.SignerInfoConfig{}); err != nil {
			m.t.Fatal(err)
		}
		sd.Detach()
		out, err := sd.Finish()
		if err != nil {
			m.t.Fatal(err)
		}
		return out
	}
}

func (m *maker) now(cn string) func([]byte) []byte {
	return m.signer(cn, time.Now().Add(-time.Hour), time.Now().AddDate(1, 0, 0))
}

// shelf is a maker's server: what it holds by URL.
type shelf map[string]shelved

type shelved struct{ body, cms []byte }

func (s shelf) Fetch(_ context.Context, at string) (*mudfetch.Fetched, error) {
	f, ok := s[at]
	if !ok {
		return nil, ringwall.Errorf(ringwall.NotFound, "mud: there is nothing at that URL")
	}
	file, err := mud.Parse(f.body)
	if err != nil {
		return nil, err
	}
	return &mudfetch.Fetched{URL: at, At: time.Now(), Body: f.body, File: file, Signature: f.cms}, nil
}

// description writes one of which each term is a name and a port.
func description(t *testing.T, at string, signed bool, names ...string) []byte {
	t.Helper()
	f := &mud.File{
		Version: 1, URL: at, LastUpdate: time.Now().UTC().Truncate(time.Second), CacheValidity: 48 * time.Hour, Supported: true, SystemInfo: "a camera", Manufacturer: "Lantern",
		From: []string{"from"}, ACLs: []mud.ACL{{Name: "from", Family: mud.IPv4}},
	}
	if signed {
		f.Signature = strings.TrimSuffix(at, ".json") + ".p7s"
	}
	for _, n := range names {
		f.ACLs[0].ACEs = append(f.ACLs[0].ACEs, mud.ACE{Name: strings.ReplaceAll(n, ".", "-"), Protocol: 6, DstName: n, DstPorts: mud.Ports{Low: 443, High: 443}, Direction: mud.FromDevice, Action: mud.Accept})
	}
	b, err := mud.Write(f)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// withDevice runs a platform with one enrolled device behind a gateway.
func withDevice(t *testing.T, cfg Config) (*running, *box, api.Device) {
	t.Helper()
	p, err := New(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	r := runPlatform(t, p)
	b := r.enrol()
	r.report(b, record(api.RecordPresence, sighting(1)))
	r.wait("device", func() bool { return len(r.devices()) == 1 })
	yes := true
	d, err := r.Service().PatchDevice(t.Context(), r.owner(), r.devices()[0].ID, 0, api.DevicePatch{Enrolled: &yes})
	if err != nil {
		t.Fatal(err)
	}
	return r, b, d
}

// TestMUD_signature_is_what_its_roots_make_it: one signature reads as what the
// roots of the moment make of it, and only an administrator says whose those are.
func TestMUD_signature_is_what_its_roots_make_it(t *testing.T) {
	t.Parallel()
	const at = "https://mud.lantern.example/cam.json"
	lantern, other, plat := newMaker(t, "Lantern"), newMaker(t, "Other"), newMaker(t, "Platform's maker")
	dir := t.TempDir()
	file := filepath.Join(t.TempDir(), "roots.pem")
	if err := os.WriteFile(file, []byte(plat.pem()), 0o600); err != nil {
		t.Fatal(err)
	}
	cfg := testConfig(dir, nopTerminal{})
	cfg.MUDRoots = file
	r, _, d := withDevice(t, cfg)
	svc, who := r.Service(), r.owner()
	body := description(t, at, true, "cloud.lantern.example")
	changed := slices.Concat(body, []byte("\n"))
	ended := lantern.signer("signer", time.Now().AddDate(-1, 0, 0), time.Now().Add(-time.Hour))
	put := func(body, cms []byte) api.MUDState {
		t.Helper()
		m, err := svc.PutMUD(t.Context(), who, d.ID, api.MUDPut{File: body, Signature: cms})
		if err != nil {
			t.Fatal(err)
		}
		return m
	}
	good := lantern.now("signer")(body)
	if m := put(body, good); m.Signature != "unknown-signer" || !strings.Contains(m.Signer, "CN=signer") || m.Root != "" || m.Reason == "" {
		t.Fatalf("with no root of its maker: %+v", m)
	}
	if m := put(body, plat.now("signer")(body)); m.Signature != "valid" || !strings.Contains(m.Root, "Platform's maker") {
		t.Errorf("below a root of the platform's file: %s, root %q, %s", m.Signature, m.Root, m.Reason)
	}
	put(body, good)

	// Who may write terms must not make himself a maker; a private key is refused.
	mine := audit.Actor{Kind: audit.KindUser, ID: "usr_integrator", Org: who.Org, Parts: []ringwall.Part{ringwall.PartIntegrator}}
	if _, err := svc.PutMUDSettings(t.Context(), mine, api.MUDSettings{Roots: lantern.pem()}); ringwall.CodeOf(err) != ringwall.Forbidden {
		t.Errorf("an integrator says whom to trust: %v", err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(lantern.rootK)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := svc.PutMUDSettings(t.Context(), who, api.MUDSettings{Roots: string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private}))}); ringwall.CodeOf(err) != ringwall.Invalid {
		t.Errorf("a private key is taken for a root: %v", err)
	}
	set, err := svc.PutMUDSettings(t.Context(), who, api.MUDSettings{Roots: lantern.pem()})
	if err != nil || len(set.Trusted) != 2 || set.Trusted[0].From != rootOfPlatform || set.Trusted[1].From != rootOfOrg || len(set.Trusted[1].Digest) != 64 {
		t.Fatalf("%+v, %v", set, err)
	}
	trail, err := svc.Audit(t.Context(), who, time.Time{}, 100)
	if err != nil {
		t.Fatal(err)
	}
	told := map[bool]bool{}
	for _, e := range trail {
		if e.Act == string(audit.OrgAdmin) {
			told[e.Allowed] = true
		}
	}
	if !told[true] || !told[false] {
		t.Errorf("the record has %v of changed and refused roots", told)
	}
	// Nothing is fetched again: the same signature reads otherwise now.
	if m, err := svc.MUD(t.Context(), who, d.ID); err != nil || m.Signature != "valid" || !strings.Contains(m.Root, "O=Lantern") || m.Reason != "" {
		t.Errorf("with a root of its maker: %+v, %v", m, err)
	}
	for _, c := range []struct {
		name      string
		body, cms []byte
		want, why string
		approved  ringwall.Code
	}{
		{"the file was changed", changed, good, "invalid", "does not hold", ringwall.Conflict},
		{"its signer has ended", body, ended(body), "invalid", "not in its time", ringwall.Conflict},
		{"of another authority", body, other.now("signer")(body), "unknown-signer", "no trusted root", ""},
		{"none is handed in", body, nil, "unchecked", "not at hand", ""},
		{"none is named", description(t, at, false, "cloud.lantern.example"), nil, "unsigned", "", ""},
		{"good", body, good, "valid", "", ""},
	} {
		m := put(c.body, c.cms)
		if m.Signature != c.want || !strings.Contains(m.Reason, c.why) || m.Status != mudProposed {
			t.Errorf("%s: %s (%s), state %s; want %s (%s)", c.name, m.Signature, m.Reason, m.Status, c.want, c.why)
		}
		_, err := svc.DecideMUD(t.Context(), who, d.ID, api.MUDDecision{Decision: "approve"})
		if (c.approved == "") != (err == nil) || err != nil && ringwall.CodeOf(err) != c.approved {
			t.Errorf("%s: approving it answers %v", c.name, err)
		}
		if _, err := svc.DecideMUD(t.Context(), who, d.ID, api.MUDDecision{Decision: "decline"}); err != nil {
			t.Error(err)
		}
	}
	// The device's certificate names who must sign (RFC 8520 section 11).
	_, dev := lantern.cert("camera", lantern, time.Now(), time.Now().AddDate(1, 0, 0))
	if _, err := svc.PutMUD(t.Context(), who, d.ID, api.MUDPut{Certificate: dev.Raw}); ringwall.CodeOf(err) != ringwall.Invalid {
		t.Errorf("a certificate that says nothing: %v", err)
	}
	// Another organisation trusts nobody by that.
	org, err := r.AddOrg(t.Context(), "Neighbour", "neighbour", "a long password for it", []ringwall.Part{ringwall.PartOwner})
	if err != nil {
		t.Fatal(err)
	}
	far := audit.Actor{Kind: audit.KindUser, ID: "usr_far", Org: org, Parts: []ringwall.Part{ringwall.PartOwner}}
	if set, err := svc.MUDSettings(t.Context(), far); err != nil || len(set.Trusted) != 1 || set.Trusted[0].From != rootOfPlatform {
		t.Errorf("another organisation has %+v, %v", set, err)
	}
}

func TestMUD_roots_that_cannot_be_read_refuse_the_start(t *testing.T) {
	t.Parallel()
	for name, text := range map[string]string{"empty": "", "none": "hello", "gone": "-"} {
		cfg := testConfig(t.TempDir(), nopTerminal{})
		cfg.MUDRoots = filepath.Join(t.TempDir(), "roots.pem")
		if text != "-" {
			if err := os.WriteFile(cfg.MUDRoots, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		if p, err := New(t.Context(), cfg); ringwall.CodeOf(err) != ringwall.Invalid {
			t.Errorf("%s: %v", name, err)
			if p != nil {
				_ = p.Close()
			}
		}
	}
}

// TestMUD_a_newer_file: what only takes away comes into force by itself, by the
// same signer alone; what adds never does, and waits with its diff.
func TestMUD_a_newer_file(t *testing.T) {
	t.Parallel()
	const at = "https://mud.lantern.example/cam.json"
	lantern := newMaker(t, "Lantern")
	r, b, d := withDevice(t, testConfig(t.TempDir(), nopTerminal{}))
	svc, who := r.Service(), r.owner()
	if _, err := svc.PutMUDSettings(t.Context(), who, api.MUDSettings{Roots: lantern.pem()}); err != nil {
		t.Fatal(err)
	}
	sign, another := lantern.now("signer"), lantern.now("another signer")
	held := shelf{}
	r.service.muds = held
	put := func(sign func([]byte) []byte, names ...string) {
		body := description(t, at, sign != nil, names...)
		held[at] = shelved{body: body}
		if sign != nil {
			held[at] = shelved{body, sign(body)}
		}
	}
	decide := func(what string) api.MUDState {
		t.Helper()
		m, err := svc.DecideMUD(t.Context(), who, d.ID, api.MUDDecision{Decision: what})
		if err != nil {
			t.Fatalf("%s: %v", what, err)
		}
		return m
	}
	refresh := func() api.MUDState { t.Helper(); return decide("refresh") }
	inForce := func() (names []string) {
		t.Helper()
		for _, dev := range r.desiredOf(b, 0).Devices {
			for _, term := range dev.Terms {
				if strings.HasSuffix(term.Domain, ".lantern.example") {
					names = append(names, strings.TrimSuffix(term.Domain, ".lantern.example"))
				}
			}
		}
		slices.Sort(names)
		return names
	}
	want := func(when string, names ...string) {
		t.Helper()
		if got := inForce(); !slices.Equal(got, names) {
			t.Errorf("%s, %q are in force, want %q", when, got, names)
		}
	}
	tasks := func() (why []string) {
		t.Helper()
		ts, err := svc.MUDTasks(t.Context(), who)
		if err != nil {
			t.Fatal(err)
		}
		for _, x := range ts {
			if x.Name != d.Name {
				t.Errorf("a task is about %q", x.Name)
			}
			why = append(why, x.State.Waits...)
		}
		return why
	}

	put(sign, "a.lantern.example", "b.lantern.example", "c.lantern.example")
	if _, err := svc.PutMUD(t.Context(), who, d.ID, api.MUDPut{URL: at}); err != nil {
		t.Fatal(err)
	}
	want("proposed")
	if got := tasks(); !slices.Equal(got, []string{api.MUDProposed}) {
		t.Errorf("proposed, the tasks are %q", got)
	}
	if m := decide("approve"); m.Signature != "valid" {
		t.Fatalf("%+v", m)
	}
	want("approved", "a", "b", "c")
	if got := tasks(); len(got) != 0 {
		t.Errorf("approved, the tasks are %q", got)
	}

	put(sign, "a.lantern.example", "b.lantern.example")
	if m := refresh(); m.Changed != nil || m.Narrowed.IsZero() {
		t.Errorf("a file that takes away waits: %+v", m.Changed)
	}
	want("narrowed by itself", "a", "b")

	put(sign, "a.lantern.example", "b.lantern.example", "evil.lantern.example")
	m := refresh()
	if m.Changed == nil || len(m.Changed.Lines) != 1 || !m.Changed.Lines[0].Allows || m.Changed.Lines[0].Kind != "name" || m.Changed.Lines[0].Value != "evil.lantern.example" ||
		!slices.Equal(m.Changed.Lines[0].Ports, []api.PortRange{{First: 443, Last: 443}}) || len(m.Changed.Allows) != 1 {
		t.Fatalf("a file that adds: %+v", m.Changed)
	}
	want("with a file that adds waiting", "a", "b")
	if got := tasks(); !slices.Equal(got, []string{api.MUDChanged}) {
		t.Errorf("the tasks are %q", got)
	}
	decide("decline")
	want("that file declined", "a", "b")
	if m := refresh(); m.Changed != nil || m.Status != mudApproved {
		t.Errorf("a file that was declined comes again: %+v", m)
	}

	// What adds and takes away at once waits as a whole.
	put(sign, "a.lantern.example", "new.lantern.example")
	if m := refresh(); m.Changed == nil || len(m.Changed.Allows) != 1 || len(m.Changed.Refuses) != 1 {
		t.Errorf("%+v", m.Changed)
	}
	want("with a mixed file waiting", "a", "b")
	// The maker takes it back: nothing waits any more.
	put(sign, "a.lantern.example", "b.lantern.example")
	if m := refresh(); m.Changed != nil || len(tasks()) != 0 {
		t.Errorf("the file of before is back and waits: %+v", m.Changed)
	}

	// Another signer, or none, takes nothing away by itself, though the file would.
	for name, s := range map[string]func([]byte) []byte{"another signer": another, "no signature": nil, "a broken signature": func([]byte) []byte { return sign([]byte("{}")) }} {
		put(s, "a.lantern.example")
		if m := refresh(); m.Changed == nil {
			t.Errorf("%s narrows by itself", name)
		}
		want(name+" waiting", "a", "b")
	}
	// An organisation may want to be asked every time.
	put(sign, "b.lantern.example")
	if _, err := svc.PutMUDSettings(t.Context(), who, api.MUDSettings{Roots: lantern.pem(), Ask: true}); err != nil {
		t.Fatal(err)
	}
	if m := refresh(); m.Changed == nil {
		t.Error("who wants to be asked is not")
	}
	want("asked for", "a", "b")
	if p, err := svc.ExplainMUD(t.Context(), who, d.ID, api.MUDPut{}); err != nil || len(p.Approve.Refuses) == 0 || len(p.Approve.Allows) != 0 || len(p.State.Terms) != 1 {
		t.Errorf("the preview of what waits: %+v, %v", p, err)
	}
	decide("approve")
	want("the newer approved", "b")

	// A file that a person hands in waits, though it only takes away: the person
	// is there to decide. Nothing is kept of one that is only tried.
	less := description(t, "https://mud.elsewhere.example/x.json", false)
	p, err := svc.ExplainMUD(t.Context(), who, d.ID, api.MUDPut{File: less})
	if err != nil || p.State.URL != "https://mud.elsewhere.example/x.json" || p.State.Signature != "unsigned" || !slices.ContainsFunc(p.Narrow.Lines, func(l api.ChangeLine) bool { return !l.Allows && l.Value == "b.lantern.example" }) {
		t.Errorf("the preview of a file: %+v, %v", p, err)
	}
	if m, err := svc.MUD(t.Context(), who, d.ID); err != nil || m.URL != at {
		t.Errorf("trying a file kept it: %s, %v", m.URL, err)
	}
	if m, err := svc.PutMUD(t.Context(), who, d.ID, api.MUDPut{File: less}); err != nil || m.Changed == nil || m.Status != mudApproved {
		t.Errorf("%+v, %v", m, err)
	}
	want("with a file of another URL waiting", "b")
	// So does what is found where a person sends us.
	next := "https://mud.lantern.example/next.json"
	held[next] = shelved{body: description(t, next, false, "b.lantern.example", "d.lantern.example")}
	if m, err := svc.PutMUD(t.Context(), who, d.ID, api.MUDPut{URL: next}); err != nil || m.Changed == nil || m.URL != next {
		t.Errorf("%+v, %v", m, err)
	}
	want("with another URL named", "b")

	// A device that tells another URL is asked about, once.
	for _, u := range []string{next, "https://mud.elsewhere.example/y.json"} {
		r.report(b, record(api.RecordNotice, api.Notice{Kind: api.NoticeMUD, Device: d.ID, Detail: map[string]string{"url": u}}))
	}
	if m := decide("narrow"); m.Status != mudNarrow {
		t.Errorf("%+v", m)
	}
	want("narrow only: of nothing that class and learning allow is it") // its allows add nothing
	decide("decline")
	want("declined")
}

// TestMUD_a_device_that_changes_its_mind is asked about, and nothing follows.
func TestMUD_a_device_that_changes_its_mind(t *testing.T) {
	t.Parallel()
	r, b, d := withDevice(t, testConfig(t.TempDir(), nopTerminal{}))
	svc, who := r.Service(), r.owner()
	one, two := "https://mud.lantern.example/one.json", "https://mud.lantern.example/two.json"
	r.service.muds = shelf{one: {body: description(t, one, false, "a.lantern.example")}, two: {body: description(t, two, false, "evil.lantern.example")}}
	tell := func(u string) {
		r.report(b, record(api.RecordNotice, api.Notice{Kind: api.NoticeMUD, Device: d.ID, Detail: map[string]string{"url": u}}))
	}
	state := func() api.MUDState {
		m, err := svc.MUD(t.Context(), who, d.ID)
		if err != nil && ringwall.CodeOf(err) != ringwall.NotFound {
			t.Fatal(err)
		}
		return m
	}
	tell(one)
	r.wait("the URL", func() bool { return state().URL == one })
	if _, err := svc.DecideMUD(t.Context(), who, d.ID, api.MUDDecision{Decision: "refresh"}); err != nil {
		t.Fatal(err)
	}
	if m, err := svc.DecideMUD(t.Context(), who, d.ID, api.MUDDecision{Decision: "narrow"}); err != nil || m.Status != mudNarrow {
		t.Fatal(m, err)
	}
	tell(two)
	r.wait("the other URL", func() bool { return state().Told == two })
	if m := state(); m.URL != one || m.Status != mudNarrow || !slices.Equal(m.Waits, []string{api.MUDTold}) {
		t.Errorf("%+v", m)
	}
	if m, err := svc.DecideMUD(t.Context(), who, d.ID, api.MUDDecision{Decision: "keep"}); err != nil || m.Told != "" || m.URL != one || len(m.Waits) != 0 {
		t.Errorf("%+v, %v", m, err)
	}
	tell(two)
	tell(one)
	r.report(b, record(api.RecordHealth, api.Health{Version: "after"}))
	r.wait("all of it", func() bool {
		g, err := svc.Gateway(t.Context(), who, b.answer.Gateway)
		return err == nil && g.Health != nil && g.Health.Version == "after"
	})
	if m := state(); m.Told != "" || m.URL != one || m.Status != mudNarrow {
		t.Errorf("what a person has decided is asked again: %+v", m)
	}
}

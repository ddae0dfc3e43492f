package platform

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/json"
	"encoding/pem"
	"net/netip"
	"testing"
	"time"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/api"
	onboard "github.com/ringwall/ringwall/internal/posture"
)

// state is what a device with telnet says of itself.
func state(made time.Time) api.Posture {
	return api.Posture{
		Made: made.UTC(), Kernel: "6.1.0", OS: "Test Linux",
		Listening: []api.Listener{
			{Proto: "tcp", Addr: netip.MustParseAddrPort("0.0.0.0:23"), Program: "telnetd"},
			{Proto: "tcp", Addr: netip.MustParseAddrPort("127.0.0.1:631"), Program: "cupsd"},
			{Proto: "udp", Addr: netip.MustParseAddrPort("0.0.0.0:41234"), Program: "resolver", UID: 100},
		},
		Accounts: []api.Account{{Name: "root", Shell: "/bin/sh", Scheme: "sha512"}},
		Mounts:   []api.Mount{{Path: "/", Type: "ext4"}},
		Versions: []api.Component{{Name: "busybox", Version: "1.30.0"}},
		Facts:    map[string]string{"identity-key": "file"},
	}
}

// says makes the record of a posture, as the agent with this key and this
// certificate signs it.
func says(t *testing.T, key crypto.Signer, certified *box, p api.Posture) api.Record {
	t.Helper()
	s, err := onboard.Sign(key, p)
	if err != nil {
		t.Fatal(err)
	}
	block, _ := pem.Decode([]byte(certified.answer.Certificate))
	s.Certificate = block.Bytes
	return record(api.RecordPosture, s)
}

// onDevice gives the house an agent that runs on its device.
func (h *house) onDevice() *box {
	h.Helper()
	b := h.enrol()
	h.link(b.answer.Gateway)
	return b
}

func (h *house) link(gw ringwall.GatewayID) {
	h.Helper()
	if _, err := h.Service().PatchDevice(h.Context(), h.owner(), h.dev.ID, 0, api.DevicePatch{Agent: &gw}); err != nil {
		h.Fatal(err)
	}
}

func (h *house) agent(b *box) api.Gateway {
	h.Helper()
	g, err := h.Service().Gateway(h.Context(), h.owner(), b.answer.Gateway)
	if err != nil {
		h.Fatal(err)
	}
	return g
}

// posture returns the agent's standing examination; nil when there is none.
func (h *house) posture(b *box) *api.Examination {
	h.Helper()
	xs, err := h.Service().Examinations(h.Context(), h.owner(), h.dev.ID)
	if err != nil {
		h.Fatal(err)
	}
	for _, x := range xs {
		if x.Kind == api.ExamAgent && x.Source == "agent/"+string(b.answer.Gateway) {
			return &x
		}
	}
	return nil
}

// told counts the entries of a subject's timeline with an English text.
func (h *house) told(s ringwall.Subject, text string) (n int) {
	h.Helper()
	es, err := h.Service().Timeline(h.Context(), h.owner(), s, time.Time{}, 100)
	if err != nil {
		h.Fatal(err)
	}
	for _, e := range es {
		if e.Text == text {
			n++
		}
	}
	return n
}

func TestPosture_isEvidenceOfTheDeviceItsAgentRunsOn(t *testing.T) {
	h := newHouse(t)
	b := h.onDevice()
	if d := h.devices()[0]; d.Agent != b.answer.Gateway || h.agent(b).On != d.ID {
		t.Fatalf("linked: device says %q, agent %q", d.Agent, h.agent(b).On)
	}
	made := time.Now().Add(-time.Minute)
	h.report(b, says(t, b.key, b, state(made)))
	h.wait("examination", func() bool { return h.posture(b) != nil })
	x := h.posture(b)
	if !x.Made.Equal(made.UTC().Truncate(0)) && x.Made.Sub(made).Abs() > time.Millisecond {
		t.Errorf("made %v, want %v", x.Made, made)
	}
	if len(x.Services) != 1 || x.Services[0].Port != 23 || len(x.Components) != 1 || x.Digest == "" || x.Until.Sub(x.Made) != 7*24*time.Hour {
		t.Errorf("examination %+v", x)
	}
	d := h.devices()[0]
	a, err := h.Service().Assessment(t.Context(), h.owner(), d.Assess)
	if err != nil {
		t.Fatal(err)
	}
	f := answered(t, a, "FS-03")
	if f.Outcome != ringwall.Fail || f.Source != "agent/"+string(b.answer.Gateway) {
		t.Errorf("telnet on the device: %+v", f)
	}
	// The same state again is fresher evidence, and no new assessment.
	h.report(b, says(t, b.key, b, state(made.Add(30*time.Second))))
	h.wait("fresher evidence", func() bool { return h.agent(b).Posture.Made.After(made.Add(time.Second)) })
	if got := h.devices()[0].Assess; got != d.Assess {
		t.Errorf("the same words made assessment %s of %s", got, d.Assess)
	}
	if x := h.posture(b); x.Made.Sub(made) < time.Second {
		t.Errorf("the examination still is of %v", x.Made)
	}
	// Telnet ends: that is told.
	better := state(made.Add(45 * time.Second))
	better.Listening = better.Listening[1:]
	h.report(b, says(t, b.key, b, better))
	h.wait("assessment", func() bool { return h.devices()[0].Assess != d.Assess })
	if a, err = h.Service().Assessment(t.Context(), h.owner(), h.devices()[0].Assess); err != nil || answered(t, a, "FS-03").Outcome != ringwall.Pass {
		t.Errorf("without telnet: %+v, %v", answered(t, a, "FS-03"), err)
	}
	// Taken off the device, what the agent said is no evidence any more.
	h.link("")
	if x := h.posture(b); x != nil || h.agent(b).On != "" {
		t.Errorf("the agent is on %q, and its examination still is %+v", h.agent(b).On, x)
	}
}

func TestPosture_thatDoesNotVerifyIsNoEvidence(t *testing.T) {
	h := newHouse(t)
	b, other := h.onDevice(), h.enrol()
	forger, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	elsewhere := state(now)
	elsewhere.Device = "dev_another"
	bare := says(t, b.key, b, state(now))
	var s api.SignedPosture
	if err := json.Unmarshal(bare.Data, &s); err != nil {
		t.Fatal(err)
	}
	s.Certificate = nil
	changed := s
	changed.Certificate = []byte("no certificate")
	touched := says(t, b.key, b, state(now))
	var u api.SignedPosture
	if err := json.Unmarshal(touched.Data, &u); err != nil {
		t.Fatal(err)
	}
	u.Body = append([]byte(" "), u.Body...)
	refused := uint64(0)
	for _, c := range []struct {
		name string
		r    api.Record
		why  string
	}{
		{"forged key", says(t, forger, b, state(now)), "signed with another key"},
		{"another agent's certificate and key", says(t, other.key, other, state(now)), "the certificate is another's"},
		{"another agent's certificate", says(t, b.key, other, state(now)), "the certificate is another's"},
		{"no certificate", record(api.RecordPosture, s), "no certificate comes with it"},
		{"nonsense for a certificate", record(api.RecordPosture, changed), "the certificate cannot be read"},
		{"changed after it was signed", record(api.RecordPosture, u), "the signature does not hold"},
		{"of another device", says(t, b.key, b, elsewhere), "it speaks of another device"},
		{"from tomorrow", says(t, b.key, b, state(now.Add(24*time.Hour))), ""},
		{"of another year", says(t, b.key, b, state(now.AddDate(-1, 0, 0))), ""},
		{"no posture", record(api.RecordPosture, "hello"), ""},
	} {
		h.report(b, c.r)
		refused++
		h.wait("refusal: "+c.name, func() bool { p := h.agent(b).Posture; return p != nil && p.Refused == refused })
		if why := h.agent(b).Posture.Reason; c.why != "" && why != c.why || why == "" {
			t.Errorf("%s: refused because %q, want %q", c.name, why, c.why)
		}
		if x := h.posture(b); x != nil {
			t.Fatalf("%s: became evidence: %+v", c.name, x)
		}
	}
	if n := h.told(gatewaySubject(b.answer.Gateway), "its word on the device it runs on was refused: signed with another key"); n != 1 {
		t.Errorf("told %d times, want once", n)
	}
	// What waited for hours in the agent's log is passed over: no evidence, and
	// nobody's fault. It stands before a good one, which counts.
	good := says(t, b.key, b, state(now))
	h.report(b, says(t, b.key, b, state(now.Add(-7*time.Hour))), good)
	h.wait("examination", func() bool { return h.posture(b) != nil })
	if p := h.agent(b).Posture; p.Refused != refused || p.Reason != "" {
		t.Errorf("after a good one: %+v", p)
	}
	// Sent again, or one from before it, is refused.
	stands := h.posture(b)
	for _, r := range []api.Record{good, says(t, b.key, b, state(now.Add(-time.Minute)))} {
		h.report(b, r)
		refused++
		h.wait("refusal of a replay", func() bool { return h.agent(b).Posture.Refused == refused })
	}
	if x := h.posture(b); x.ID != stands.ID || !x.Made.Equal(stands.Made) {
		t.Errorf("a replay replaced %+v by %+v", stands, x)
	}
}

func TestPosture_ofAnAgentOnNoDeviceIsCountedAndToldOnce(t *testing.T) {
	h := newHouse(t)
	b := h.enrol()
	for i := range 3 {
		h.report(b, says(t, b.key, b, state(time.Now().Add(time.Duration(i-3)*time.Second))))
	}
	h.wait("three of nobody's", func() bool { p := h.agent(b).Posture; return p != nil && p.Nobody == 3 })
	if n := h.told(gatewaySubject(b.answer.Gateway), "it speaks of the device it runs on, and nobody has said which that is"); n != 1 {
		t.Errorf("told %d times, want once", n)
	}
	if x := h.posture(b); x != nil {
		t.Errorf("it became evidence: %+v", x)
	}
	// Once it is on a device its next word counts, and none from before.
	h.link(b.answer.Gateway)
	h.report(b, says(t, b.key, b, state(time.Now().Add(-time.Minute))), says(t, b.key, b, state(time.Now())))
	h.wait("examination", func() bool { return h.posture(b) != nil })
	if p := h.agent(b).Posture; p.Nobody != 0 || p.Refused != 1 {
		t.Errorf("on a device: %+v", p)
	}
}

// What an agent listens on and no probe has seen brings an assessment once, not
// with every posture.
func TestPosture_openPortBringsOneAssessment(t *testing.T) {
	h := newHouse(t)
	b := h.onDevice()
	h.submit(probed("AP-01", ringwall.Pass))
	due := func() time.Time { return h.devices()[0].Due }
	before := due()
	h.report(b, says(t, b.key, b, state(time.Now().Add(-time.Minute))))
	h.wait("assessment that is due", func() bool { d := h.devices()[0]; return d.DueReason == dueOpened && time.Until(d.Due) < time.Minute })
	h.submit(probed("AP-01", ringwall.Pass)) // the probes ran, and still do not see the port
	if d := h.devices()[0]; time.Until(d.Due) < time.Hour {
		t.Fatalf("after it ran it is due %v (%s), at first %v", d.Due, d.DueReason, before)
	}
	other := state(time.Now())
	other.Accounts[0].Scheme = "md5" // other words, the same ports
	h.report(b, says(t, b.key, b, other))
	h.wait("evidence", func() bool { p := h.agent(b).Posture; return p != nil && p.Made.Equal(other.Made) })
	if d := h.devices()[0]; time.Until(d.Due) < time.Hour {
		t.Errorf("the same port makes it due again: %v (%s)", d.Due, d.DueReason)
	}
}

func TestAgent_isOnOneDeviceAndEnrolled(t *testing.T) {
	h := newHouse(t)
	b := h.onDevice()
	h.report(h.b, record(api.RecordPresence, sighting(2)))
	h.wait("second device", func() bool { return len(h.devices()) == 2 })
	var second ringwall.DeviceID
	for _, d := range h.devices() {
		if d.ID != h.dev.ID {
			second = d.ID
		}
	}
	gone := h.enrol()
	yes := true
	if _, err := h.Service().PatchGateway(t.Context(), h.owner(), gone.answer.Gateway, api.GatewayPatch{Revoked: &yes}); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name string
		gw   ringwall.GatewayID
		want ringwall.Code
	}{
		{"that of another device", b.answer.Gateway, ringwall.Conflict},
		{"revoked", gone.answer.Gateway, ringwall.Conflict},
		{"of nobody", "gw_01jzzzzzzzzzzzzzzzzzzzzzzz", ringwall.NotFound},
	} {
		if _, err := h.Service().PatchDevice(t.Context(), h.owner(), second, 0, api.DevicePatch{Agent: &c.gw}); ringwall.CodeOf(err) != c.want {
			t.Errorf("%s: %v, want %v", c.name, err, c.want)
		}
	}
	if g := h.agent(b); g.On != h.dev.ID {
		t.Errorf("the agent is on %q, want %q", g.On, h.dev.ID)
	}
}

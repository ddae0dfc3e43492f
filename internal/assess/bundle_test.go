package assess

import (
	"bytes"
	"crypto/ed25519"
	"encoding/json"
	"flag"
	"math/rand/v2"
	"os"
	"strings"
	"testing"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/api"
)

var update = flag.Bool("update", false, "write the golden files")

// testKey is the same in every run, so that sealed bundles are golden files.
func testKey() ed25519.PrivateKey { return ed25519.NewKeyFromSeed(bytes.Repeat([]byte{7}, 32)) }

// testExams are one examination of each kind.
func testExams(t testing.TB, labs bool) ([]api.Examination, []api.Laboratory) {
	t.Helper()
	f := func(source, id string, o ringwall.Outcome, c ringwall.Confidence) ringwall.Finding {
		return ringwall.Finding{Indicator: id, Outcome: o, Confidence: c, Source: source, Title: id + " by " + source, Time: noon, Evidence: []string{"<&> 'seen'"}}
	}
	xs := []api.Examination{
		{Kind: api.ExamNetwork, Source: "probe", Made: noon, Findings: []ringwall.Finding{
			f("probe/credential", "AP-01", ringwall.Pass, ringwall.Observed), f("probe/ports", "CO-02", ringwall.Fail, ringwall.Confirmed),
		}, Services: []api.Service{{Proto: "tcp", Port: 23, Name: "telnet"}}, Secrets: []api.SecretMark{{Kind: "host-key", Mark: "m1", Path: "tcp/22"}}},
		{Kind: api.ExamFirmware, Source: "firmware/0123456789ab", Made: noon, Findings: []ringwall.Finding{
			f("firmware/0123456789ab", "FS-09", ringwall.Partial, ringwall.Observed),
		}, Secrets: []api.SecretMark{{Kind: "private-key", Mark: "m1", Path: "etc/key"}}},
		{Kind: api.ExamDeclaration, Source: "declaration/maker", Made: noon, Findings: []ringwall.Finding{
			f("declaration/maker", "CO-02", ringwall.Pass, ringwall.Declared), f("declaration/maker", "HW-01", ringwall.Pass, ringwall.Declared),
		}},
		{Kind: api.ExamLaboratory, Source: "laboratory/bench", Made: noon, Findings: []ringwall.Finding{
			f("laboratory/bench", "HW-02", ringwall.Pass, ringwall.Confirmed),
		}},
	}
	key := testKey()
	body, err := xs[3].Signed()
	if err != nil {
		t.Fatal(err)
	}
	xs[3].Signature = ed25519.Sign(key, body)
	if !labs {
		return xs, nil
	}
	return xs, []api.Laboratory{{Name: "bench", Key: key.Public().(ed25519.PublicKey)}}
}

func bundle(t testing.TB) Bundle {
	t.Helper()
	xs, labs := testExams(t, true)
	b, _, err := NewBundle(Default(), api.Profile{Class: "camera", Use: UsePublic}, xs, labs, nil, noon)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestBundle_sealedOpenedRegraded(t *testing.T) {
	sealed, err := Seal(testKey(), bundle(t))
	if err != nil {
		t.Fatal(err)
	}
	pub := testKey().Public().(ed25519.PublicKey)
	b, err := Open(pub, sealed)
	if err != nil {
		t.Fatal(err)
	}
	res, same, err := Regrade(b)
	if err != nil || !same {
		t.Fatalf("regraded: same %v, %v", same, err)
	}
	if res.Grade != ringwall.HighRisk || len(res.Doubted) != 1 || res.Profile.Class != "camera" {
		t.Errorf("grade %v, doubted %v, profile %v", res.Grade, res.Doubted, res.Profile)
	}
	again, err := Seal(testKey(), b)
	if err != nil || !bytes.Equal(again, sealed) {
		t.Errorf("sealed again it differs (%v)", err)
	}
	// Any byte that is changed is seen.
	rng := rand.New(rand.NewPCG(9, 9))
	for range 300 {
		bad := bytes.Clone(sealed)
		i := rng.IntN(len(bad))
		bad[i] ^= byte(1 + rng.IntN(255))
		// What a changed byte may still open to is the hint of the key and nothing else.
		if got, err := Open(pub, bad); err == nil && !bytes.Contains(sealed[max(0, i-40):i], []byte("keyid")) {
			t.Fatalf("byte %d of %d was changed and it opens: %v", i, len(bad), got.Time)
		}
	}
	other := ed25519.NewKeyFromSeed(bytes.Repeat([]byte{8}, 32)).Public().(ed25519.PublicKey)
	if _, err := Open(other, sealed); ringwall.CodeOf(err) != ringwall.Unverified {
		t.Errorf("with another key: %v, want unverified", err)
	}
}

func TestBundle_refuses(t *testing.T) {
	pub := testKey().Public().(ed25519.PublicKey)
	seal := func(payload []byte) []byte {
		out, err := json.Marshal(envelope{bundleType, payload, []signature{{"", ed25519.Sign(testKey(), preAuth(payload))}}})
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	good, err := json.Marshal(bundle(t))
	if err != nil {
		t.Fatal(err)
	}
	many := bundle(t)
	for range maxBundleFindings + 1 {
		many.Incidents = append(many.Incidents, ringwall.Finding{})
	}
	tooMany, _ := json.Marshal(many)
	for name, sealed := range map[string][]byte{
		"nothing":            nil,
		"not JSON":           []byte("{"),
		"huge":               make([]byte, maxBundle+1),
		"another type":       []byte(`{"payloadType":"text/plain","payload":"","signatures":[]}`),
		"white space":        seal(append([]byte(" "), good...)),
		"a key twice":        seal(bytes.Replace(good, []byte(`{"format":1,`), []byte(`{"format":2,"format":1,`), 1)),
		"an unknown field":   seal(bytes.Replace(good, []byte(`{"format":1,`), []byte(`{"format":1,"x":1,`), 1)),
		"another format":     seal(bytes.Replace(good, []byte(`{"format":1,`), []byte(`{"format":9,`), 1)),
		"another rubric":     seal(bytes.Replace(good, []byte(`"weight":10`), []byte(`"weight":1`), 1)),
		"too many findings":  seal(tooMany),
		"something after it": append(seal(good), '{'),
	} {
		if _, err := Open(pub, sealed); ringwall.CodeOf(err) != ringwall.Invalid {
			t.Errorf("%s: %v, want invalid", name, err)
		}
	}
	if _, err := Open(pub, []byte(`{"payloadType":"`+bundleType+`","payload":"","signatures":[]}`)); ringwall.CodeOf(err) != ringwall.Unverified {
		t.Errorf("without a signature: %v, want unverified", err)
	}
	if _, err := Open(pub[:5], seal(good)); ringwall.CodeOf(err) != ringwall.Invalid {
		t.Errorf("a short key: %v", err)
	}
	lying := bundle(t)
	lying.Result = bytes.Replace(lying.Result, []byte(`"grade":"high"`), []byte(`"grade":"low"`), 1)
	if _, same, err := Regrade(lying); err != nil || same {
		t.Errorf("a bundle that lies of its grade: same %v, %v", same, err)
	}
}

// TestBundle_golden re-grades bundles that earlier programs sealed. Those files
// are never written again: a grade of then is a grade of now.
func TestBundle_golden(t *testing.T) {
	pub := testKey().Public().(ed25519.PublicKey)
	for name, grade := range map[string]ringwall.Grade{"bundle-2.0.0.json": ringwall.HighRisk, "bundle-1.0.0.json": ringwall.MediumRisk} {
		path := "testdata/" + name
		if _, err := os.Stat(path); *update && err != nil {
			b := bundle(t)
			if strings.Contains(name, "1.0.0") {
				b = firstBundle(t)
			}
			sealed, err := Seal(testKey(), b)
			if err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(path, sealed, 0o644); err != nil {
				t.Fatal(err)
			}
		}
		sealed, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		b, err := Open(pub, sealed)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		res, same, err := Regrade(b)
		if err != nil || !same || res.Grade != grade {
			t.Errorf("%s: %v (same %v, %v), want %v", name, res.Grade, same, err, grade)
		}
	}
}

// firstBundle is graded by rule 1: an agent outweighs a proof, no supplier is
// doubted, no profile says anything.
func firstBundle(t testing.TB) Bundle {
	t.Helper()
	first, err := os.ReadFile("testdata/rubric-1.0.0.json")
	if err != nil {
		t.Fatal(err)
	}
	r, err := ParseRubric(first)
	if err != nil {
		t.Fatal(err)
	}
	xs, _ := testExams(t, false)
	xs = append(xs, api.Examination{Kind: api.ExamAgent, Source: "agent/dev", Made: noon, Findings: []ringwall.Finding{
		{Indicator: "CO-02", Outcome: ringwall.Pass, Confidence: ringwall.Confirmed, Source: "agent/dev", Time: noon},
	}})
	for i := range xs {
		xs[i].Secrets = nil
	}
	b, _, err := NewBundle(r, api.Profile{}, xs, nil, nil, noon)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func FuzzOpen(f *testing.F) {
	sealed, err := Seal(testKey(), bundle(f))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(sealed)
	f.Add([]byte(`{"payloadType":"application/vnd.ringwall.evidence+json","payload":"e30=","signatures":[{"keyid":"","sig":""}]}`))
	pub := testKey().Public().(ed25519.PublicKey)
	f.Fuzz(func(t *testing.T, b []byte) {
		got, err := Open(pub, b)
		if err != nil {
			return
		}
		if _, _, err := Regrade(got); err != nil && ringwall.CodeOf(err) != ringwall.Invalid {
			t.Errorf("regrading: %v", err)
		}
	})
}

// FuzzBundle reads what a seal would hold, as if anyone could sign it.
func FuzzBundle(f *testing.F) {
	payload, err := json.Marshal(bundle(f))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(payload)
	f.Add([]byte(`{"format":1}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		got, err := parseBundle(b)
		if err != nil {
			return
		}
		if _, _, err := Regrade(got); err == nil {
			if again, err := json.Marshal(got); err != nil || !bytes.Equal(again, b) {
				t.Errorf("written again it differs: %v", err)
			}
		}
	})
}

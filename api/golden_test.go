package api_test

import (
	"bytes"
	"crypto/ed25519"
	"encoding/json"
	"flag"
	"net/netip"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/api"
)

var update = flag.Bool("update", false, "write the golden messages anew")

// goldenKey signs the golden desired state; it is known to everybody and good
// for nothing else.
func goldenKey() ed25519.PrivateKey {
	return ed25519.NewKeyFromSeed([]byte("golden messages, no real secret."))
}

func golden(t *testing.T) map[string]any {
	at := time.Date(2026, 11, 21, 14, 2, 7, 0, time.UTC)
	desired := api.Desired{
		Version: 1, Org: "org_golden", Gateway: "gw_golden", Generation: 7, Issued: at, Arrival: ringwall.Enforce,
		Resolver: netip.MustParseAddrPort("198.51.100.53:53"), LocalNets: []netip.Prefix{netip.MustParsePrefix("10.77.0.0/24")},
		Remediation: []api.Term{{ID: "repair", Action: api.Allow, Direction: api.FromDevice, Domain: "update.vendor.example", Proto: "tcp", Ports: []api.PortRange{{First: 443, Last: 443}}}},
		Devices: []api.DevicePolicy{{
			Device: "dev_golden", Mark: 3, Binding: api.Binding{Port: "p1", MAC: "02:77:0a:4d:00:0a", IP: netip.MustParseAddr("10.77.0.10")}, Mode: ringwall.Shadow, Trust: ringwall.T2,
			Terms:   []api.Term{{ID: "t1", Action: api.Deny, Direction: api.ToDevice, CIDR: netip.MustParsePrefix("0.0.0.0/0"), Proto: "any", Why: "class:camera"}},
			Learned: []api.Peer{{Direction: api.FromDevice, Domain: "cloud.vendor.example", Proto: "tcp", Port: 443, First: at, Count: 9}}, Assessor: true,
		}},
		Reflexes: []api.Reflex{{Rule: "mirai-scan", Severity: ringwall.High, Do: ringwall.Quarantine, Limit: 5, Expiry: api.Duration(24 * time.Hour)}},
		Holds:    []api.Hold{{ID: "hld_golden", Device: "dev_golden", Do: ringwall.Cutoff, By: "usr_golden", Reason: "on a person's word", Made: at, Expires: at.Add(time.Hour)}},
		Releases: []api.Release{{Hold: "hld_other", By: "usr_golden", At: at}},
	}
	signed, err := api.Sign(desired, "key_golden", goldenKey())
	if err != nil {
		t.Fatal(err)
	}
	alert, err := json.Marshal(ringwall.Alert{
		ID: "alt_golden", Org: "org_golden", Time: at, Rule: "mirai-scan", Nature: ringwall.NatureAttack, Severity: ringwall.Critical,
		Subject: ringwall.Subject{Kind: ringwall.SubjectDevice, ID: "dev_golden"}, Stage: ringwall.Propagation, Title: "The device scans for victims as Mirai does",
		Evidence: ringwall.Evidence{Packets: []uint64{12}, Count: 1, First: at, Last: at, Facts: map[string]string{"role": "source"}}, Attack: "T1046", Gateway: "gw_golden", Peer: netip.MustParseAddr("198.18.20.34"),
	})
	if err != nil {
		t.Fatal(err)
	}
	said, err := json.Marshal(api.Posture{
		Made: at, Kernel: "6.12.1", OS: "Golden OS 1", Booted: at.Add(-time.Hour),
		Listening: []api.Listener{{Proto: "tcp", Addr: netip.MustParseAddrPort("0.0.0.0:554"), Program: "rtspd", UID: 33}},
		Accounts:  []api.Account{{Name: "root", Shell: "/bin/sh", Scheme: "locked"}},
		Mounts:    []api.Mount{{Path: "/", Type: "squashfs", ReadOnly: true}},
		Facts:     map[string]string{"identity-key": "file"}, Unread: []string{"proc/consoles: not permitted"},
	})
	if err != nil {
		t.Fatal(err)
	}
	posture, err := json.Marshal(api.SignedPosture{Body: said, Algorithm: "ed25519", Key: "5f7e", Signature: []byte{1, 2, 3}, Certificate: []byte{48, 130}})
	if err != nil {
		t.Fatal(err)
	}
	return map[string]any{
		"posture.json": api.Record{Seq: 3, Time: at, Kind: api.RecordPosture, Data: posture},
		"signed.json":  signed,
		"batch.json":   api.Batch{Version: 1, Epoch: 5, Records: []api.Record{{Seq: 1, Time: at, Kind: api.RecordAlert, Data: alert}, {Seq: 2, Time: at, Kind: api.RecordFlow, Bin: []byte{1, 2, 3}}}},
		"ack.json":     api.BatchAck{Epoch: 5, Seq: 2},
	}
}

// Messages of protocol 1 are written down: whoever changes a wire type sees
// here what an agent in the field would no longer read.
func TestGolden_messagesOfProtocol1(t *testing.T) {
	for name, v := range golden(t) {
		want, err := json.MarshalIndent(v, "", "  ")
		if err != nil {
			t.Fatal(err)
		}
		path := filepath.Join("testdata", "golden", "v1", name)
		if *update {
			if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(path, append(want, '\n'), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		got, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(bytes.TrimSpace(got), want) {
			t.Errorf("%s is no longer written as it was:\n got %s\nwant %s", name, want, got)
		}
	}
}

// What was written then is read now, and its signature holds.
func TestGolden_oldMessagesAreRead(t *testing.T) {
	b, err := os.ReadFile(filepath.Join("testdata", "golden", "v1", "signed.json"))
	if err != nil {
		t.Fatal(err)
	}
	var s api.Signed
	if err := json.Unmarshal(b, &s); err != nil {
		t.Fatal(err)
	}
	d, err := s.Open(map[string]ed25519.PublicKey{"key_golden": goldenKey().Public().(ed25519.PublicKey)})
	if err != nil {
		t.Fatal(err)
	}
	if d.Generation != 7 || len(d.Devices) != 1 || d.Devices[0].Mode != ringwall.Shadow || d.Devices[0].Trust != ringwall.T2 || d.Holds[0].Do != ringwall.Cutoff ||
		time.Duration(d.Reflexes[0].Expiry) != 24*time.Hour || d.Devices[0].Binding.IP != netip.MustParseAddr("10.77.0.10") {
		t.Errorf("read as %+v", d)
	}
	if b, err = os.ReadFile(filepath.Join("testdata", "golden", "v1", "batch.json")); err != nil {
		t.Fatal(err)
	}
	var batch api.Batch
	if err := json.Unmarshal(b, &batch); err != nil || len(batch.Records) != 2 || batch.Records[1].Kind != api.RecordFlow || len(batch.Records[1].Bin) != 3 {
		t.Errorf("batch read as %+v, %v", batch, err)
	}
	var r api.Record
	var s2 api.SignedPosture
	var p api.Posture
	if b, err = os.ReadFile(filepath.Join("testdata", "golden", "v1", "posture.json")); err != nil {
		t.Fatal(err)
	}
	if json.Unmarshal(b, &r) != nil || json.Unmarshal(r.Data, &s2) != nil || json.Unmarshal(s2.Body, &p) != nil || r.Kind != api.RecordPosture || len(s2.Certificate) != 2 ||
		len(p.Listening) != 1 || p.Listening[0].Addr.Port() != 554 || p.Accounts[0].Scheme != "locked" || !p.Mounts[0].ReadOnly {
		t.Errorf("posture read as %+v", p)
	}
	var a ringwall.Alert
	if err := json.Unmarshal(batch.Records[0].Data, &a); err != nil || a.Severity != ringwall.Critical || a.Stage != ringwall.Propagation || a.Peer.String() != "198.18.20.34" {
		t.Errorf("alert read as %+v, %v", a, err)
	}
}

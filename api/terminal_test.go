package api

import (
	"bytes"
	"crypto/ed25519"
	"flag"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"testing"
	"time"

	"github.com/ringwall/ringwall"
)

var updateTerminal = flag.Bool("update-terminal", false, "write the golden messages of constrained terminals")

const (
	terminalOrg  = ringwall.OrgID("org_06e0g7z1qk2m3n4p5q6r7s8t9v")
	terminalGW   = ringwall.GatewayID("gw_06e0g7z1qk2m3n4p5q6r7s8t9v")
	terminalDev  = ringwall.DeviceID("dev_06e0g7z1qk2m3n4p5q6r7s8t9v")
	terminalDev2 = ringwall.DeviceID("dev_06e0g7z1qk2m3n4p5q6r7s8t9w")
)

func terminalDesired() Desired {
	web := []PortRange{{First: 443, Last: 443}, {First: 8000, Last: 8080}}
	return Desired{
		Version: Version, Org: terminalOrg, Gateway: terminalGW, Generation: 42, Issued: time.Unix(1_790_000_000, 0).UTC(),
		Remediation: []Term{{ID: "repair", Action: Allow, Direction: FromDevice, Domain: "update.example", Proto: "tcp"}},
		Controllers: []Controller{{Role: "my-controller", Nets: []netip.Prefix{netip.MustParsePrefix("198.51.100.0/28")}, Domains: []string{"Ctl.Example."}}},
		Devices: []DevicePolicy{
			{
				Device: terminalDev, Mark: 1, Binding: Binding{MAC: OwnMAC(terminalGW), IP: netip.MustParseAddr("192.0.2.7")}, Mode: ringwall.Enforce, Trust: ringwall.T3,
				Terms: []Term{
					{ID: "net", Action: Allow, Direction: FromDevice, CIDR: netip.MustParsePrefix("203.0.113.0/24"), Proto: "tcp", Ports: web},
					{ID: "name", Action: Allow, Direction: FromDevice, Domain: "*.cloud.example", Proto: "udp"},
					{ID: "bad", Action: Deny, Direction: FromDevice, Domain: "c2.cloud.example", Proto: "any"},
					{ID: "in", Action: Allow, Direction: ToDevice, CIDR: netip.MustParsePrefix("192.0.2.0/24"), Proto: "tcp", Ports: web[:1]},
					{ID: "ctl", Action: Allow, Direction: FromDevice, Controller: "my-controller", Proto: "tcp"},
					{ID: "dev", Action: Allow, Direction: FromDevice, Device: terminalDev2, Proto: "icmp"},
					{ID: "inside", Action: Allow, Direction: FromDevice, Domain: "api.example", Proto: "tcp", Inside: &Inside{Proto: "http"}},
					{ID: "night", Action: Deny, Direction: FromDevice, CIDR: netip.MustParsePrefix("203.0.113.9/32"), Proto: "any", Window: &Window{From: "22:00", To: "06:00"}},
				},
			},
			{Device: terminalDev2, Mark: 2, Binding: Binding{MAC: "02:00:00:00:00:02", IP: netip.MustParseAddr("192.0.2.8")}},
		},
		Holds: []Hold{
			{ID: "hld_06e0g7z1qk2m3n4p5q6r7s8t9v", Device: terminalDev, Do: ringwall.Quarantine, Expires: time.Unix(1_790_003_600, 0)},
			{ID: "hld_06e0g7z1qk2m3n4p5q6r7s8t9w", Device: terminalDev2, Do: ringwall.Cutoff},
			{ID: "hld_06e0g7z1qk2m3n4p5q6r7s8t9x", Device: terminalDev, Do: ringwall.Cutoff},
		},
		Releases: []Release{{Hold: "hld_06e0g7z1qk2m3n4p5q6r7s8t9x"}},
	}
}

func TestTerminal_isNeverWider(t *testing.T) {
	d := terminalDesired()
	p, err := d.Terminal(terminalDev, d.Issued)
	if err != nil {
		t.Fatal(err)
	}
	var ids []string
	for _, one := range p.Terms {
		ids = append(ids, one.ID)
	}
	// "inside" opens nothing that a terminal cannot look into; "night" denies
	// always; the role is filled by a network and a name.
	if want := []string{"net", "name", "bad", "in", "ctl", "ctl", "dev", "night"}; !reflect.DeepEqual(ids, want) {
		t.Errorf("terms %v, want %v", ids, want)
	}
	if p.Terms[5].Name != "ctl.example" {
		t.Errorf("name of the controller is %q", p.Terms[5].Name)
	}
	if len(p.Holds) != 1 || p.Holds[0].Do != ringwall.Quarantine {
		t.Errorf("holds %+v, want the one that is this device's and not released", p.Holds)
	}
	if late, _ := d.Terminal(terminalDev, d.Issued.Add(2*time.Hour)); len(late.Holds) != 0 {
		t.Errorf("holds %+v after their end", late.Holds)
	}
	d.Devices[0].Trust = ringwall.T1
	if p, _ := d.Terminal(terminalDev, d.Issued.Add(2*time.Hour)); len(p.Holds) != 1 || p.Holds[0].Do != ringwall.Quarantine {
		t.Errorf("holds %+v of a device at T1", p.Holds)
	}
	d.Devices[0].Limit = &Limit{ByteRate: 1}
	p, _ = d.Terminal(terminalDev, d.Issued)
	for _, one := range p.Terms {
		if !one.Deny {
			t.Errorf("term %q is open to a terminal that cannot keep its limit", one.ID)
		}
	}
}

// TestTerminal_golden writes what the C client's test reads too.
func TestTerminal_golden(t *testing.T) {
	d := terminalDesired()
	p, err := d.Terminal(terminalDev, d.Issued)
	if err != nil {
		t.Fatal(err)
	}
	key := ed25519.NewKeyFromSeed(bytes.Repeat([]byte{7}, ed25519.SeedSize))
	signed, err := SignTerminal(p, "key1", key)
	if err != nil {
		t.Fatal(err)
	}
	batch, err := AppendTerminalBatch(nil, Batch{Epoch: 5, Lost: 1, Records: []Record{{Seq: 9, Time: time.Unix(1_790_000_001, 5).UTC(), Kind: RecordHealth, Data: []byte(`{"version":"c"}`)}}})
	if err != nil {
		t.Fatal(err)
	}
	for name, b := range map[string][]byte{
		"policy.bin": signed.Payload, "answer.bin": TerminalAnswer{Signed: &signed}.Append(nil), "answer-none.bin": TerminalAnswer{}.Append(nil),
		"status.bin": TerminalStatus{Have: 41}.Append(nil), "batch.bin": batch, "ack.bin": AppendTerminalAck(nil, BatchAck{Epoch: 5, Seq: 9, Error: "why not"}),
		"key.bin": key.Public().(ed25519.PublicKey),
	} {
		path := filepath.Join("testdata", "terminal", name)
		if *updateTerminal {
			if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(path, b, 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(b, want) {
			t.Errorf("%s has changed: terminals in the field speak this form", name)
		}
	}
	keys := map[string]ed25519.PublicKey{"key1": key.Public().(ed25519.PublicKey)}
	a, err := ReadTerminalAnswer(TerminalAnswer{Signed: &signed}.Append(nil))
	if err != nil {
		t.Fatal(err)
	}
	back, err := a.Signed.Open(keys)
	if err != nil || !reflect.DeepEqual(back, p) {
		t.Errorf("read back %+v, %v\nwant %+v", back, err, p)
	}
	a.Signed.Payload = append([]byte(nil), a.Signed.Payload...)
	a.Signed.Payload[10] ^= 1
	if _, err := a.Signed.Open(keys); ringwall.CodeOf(err) != ringwall.Unverified {
		t.Errorf("a forged policy: %v", err)
	}
	// Signed as another kind of document with the same key, it is not a policy.
	a.Signed.Payload, a.Signed.Sig = signed.Payload, ed25519.Sign(key, append([]byte(desiredContext), signed.Payload...))
	if _, err := a.Signed.Open(keys); ringwall.CodeOf(err) != ringwall.Unverified {
		t.Errorf("a policy signed as a desired state: %v", err)
	}
}

func TestDesired_Own(t *testing.T) {
	d := terminalDesired()
	if p, ok := d.Own(); !ok || p.Device != terminalDev {
		t.Errorf("Own() = %v, %v", p.Device, ok)
	}
	d.Devices = d.Devices[1:]
	if p, ok := d.Own(); !ok || p.Device != terminalDev2 {
		t.Errorf("the only device: %v, %v", p.Device, ok)
	}
	d.Devices[0].Binding = Binding{MAC: LeafMAC(terminalGW, "ble:1"), IP: LeafIP(terminalGW, "ble:1")}
	if p, ok := d.Own(); ok {
		t.Errorf("a leaf %v is taken for its hub", p.Device)
	}
}

func FuzzTerminal(f *testing.F) {
	d := terminalDesired()
	p, err := d.Terminal(terminalDev, d.Issued)
	if err != nil {
		f.Fatal(err)
	}
	b, err := p.AppendBinary(nil)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	f.Add(TerminalAnswer{Signed: &SignedTerminal{KeyID: "k", Sig: make([]byte, 64), Payload: b}}.Append(nil))
	f.Add(AppendTerminalAck(nil, BatchAck{Epoch: 1}))
	f.Add(TerminalStatus{Have: 1}.Append(nil))
	f.Fuzz(func(t *testing.T, b []byte) {
		var p TerminalPolicy
		if p.UnmarshalBinary(b) == nil {
			if again, err := p.AppendBinary(nil); err != nil || !bytes.Equal(again, b) {
				t.Fatalf("read %x, written %x, %v", b, again, err)
			}
		}
		if a, err := ReadTerminalAnswer(b); err == nil && !bytes.Equal(a.Append(nil), b) {
			t.Fatalf("answer %x is written as %x", b, a.Append(nil))
		}
		if a, err := ReadTerminalAck(b); err == nil && !bytes.Equal(AppendTerminalAck(nil, a), b) {
			t.Fatalf("acknowledgement %x", b)
		}
		_, _ = ReadTerminalStatus(b)
		_, _ = ReadTerminalBatch(b)
	})
}

package lab_test

import (
	"maps"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/api"
	"github.com/ringwall/ringwall/cdr"
	"github.com/ringwall/ringwall/internal/detect"
	"github.com/ringwall/ringwall/internal/lab"
	"github.com/ringwall/ringwall/internal/packet"
	"github.com/ringwall/ringwall/internal/usage"
)

// needs is what the devices of the range were seen to need.
func needs(t *testing.T, d lab.RecordedDevice) (out []api.Peer) {
	t.Helper()
	add := func(dir api.Direction, actor, domain, proto string, ports ...uint16) {
		p := api.Peer{Direction: dir, Domain: domain, Proto: proto}
		if domain == "" {
			a, ok := lab.Addr(actor)
			if !ok {
				t.Fatalf("no actor %q", actor)
			}
			p.Addr = a
		}
		for _, p.Port = range ports {
			out = append(out, p)
		}
	}
	add(api.FromDevice, lab.Gateway, "", "udp", 53)
	add(api.FromDevice, lab.DNS, "", "udp", 53)
	add(api.FromDevice, "", lab.ClockName, "udp", 123)
	add(api.FromDevice, "", lab.CloudName, "tcp", 80, 443)
	switch d.Type {
	case "camera":
		add(api.ToDevice, lab.Phone, "", "tcp", 554)
	case "phone":
		add(api.FromDevice, lab.BadCam, "", "tcp", 554)
		add(api.FromDevice, lab.GoodCam, "", "tcp", 554)
	}
	return out
}

// judge judges a recording with the detectors of packets and of usage records.
type judge struct {
	engine *detect.Engine
	cards  *usage.Engine
	number uint64
	got    map[ringwall.Subject]map[string]time.Time
}

func newJudge(t *testing.T, s lab.Script) *judge {
	t.Helper()
	j := &judge{got: map[ringwall.Subject]map[string]time.Time{}}
	j.engine = detect.New(detect.Config{Alert: j.alert, Local: []netip.Prefix{netip.MustParsePrefix("10.77.0.0/24")}, Seed: 1})
	var devices []detect.Device
	for _, d := range s.Devices {
		devices = append(devices, detect.Device{ID: ringwall.DeviceID(d.Name), MAC: d.MAC, IP: d.IP, Learned: needs(t, d)})
	}
	j.engine.SetDevices(devices)
	j.cards = usage.New(usage.Config{Key: []byte("0123456789abcdef")})
	peers, err := usage.ParsePeers(s.SIM.Peers)
	if err != nil {
		t.Fatal(err)
	}
	services, err := usage.ParseServices([]string{"data"})
	if err != nil {
		t.Fatal(err)
	}
	err = j.cards.SetCard(usage.Card{
		SIM: "sim_1", Org: "org_1", IMSI: ringwall.IMSI(s.SIM.IMSI), IMEI: ringwall.IMEI(s.SIM.IMEI), Services: services, Peers: peers,
	})
	if err != nil {
		t.Fatal(err)
	}
	return j
}

func (j *judge) alert(a ringwall.Alert) {
	if j.got[a.Subject] == nil {
		j.got[a.Subject] = map[string]time.Time{}
	}
	if _, again := j.got[a.Subject][a.Rule]; !again {
		j.got[a.Subject][a.Rule] = a.Time
	}
}

func (j *judge) frame(data []byte, at time.Time, origLen int, _ string) error {
	j.number++
	p := packet.Packet{Time: at, Number: j.number, OrigLen: origLen}
	// What cannot be decoded whole is judged as far as it goes.
	_ = packet.Decode(packet.LinkEthernet, data, &p)
	j.engine.Packet(&p)
	return nil
}

func (j *judge) record(r *cdr.Record) error {
	for _, a := range j.cards.Record(r).Alerts {
		j.alert(a)
	}
	return nil
}

// Every attack of the recording is found by the rules that it names, on the
// device or card that it is for, and the quiet home before gives no alert.
func TestRecorded_everyAttackIsFound(t *testing.T) {
	info := map[string]lab.AttackInfo{}
	for _, a := range lab.Attacks() {
		info[a.Name] = a
	}
	var j *judge
	var script lab.Script
	name, on := "", "" // of the attack under way
	check := func() {
		all := map[string]bool{}
		for s, rules := range j.got {
			if s.ID == on || s.Kind == ringwall.SubjectSIM {
				for r := range rules {
					all[r] = true
				}
			}
		}
		if name == "" {
			if len(j.got) != 0 {
				t.Errorf("the quiet home gives alerts: %v", j.got)
			}
			return
		}
		for _, r := range info[name].Rules {
			if !all[r] {
				t.Errorf("%s on %s is not found by %q, only by %v", name, on, r, slices.Sorted(maps.Keys(all)))
			}
		}
	}
	pl, err := lab.NewPlayer(lab.PlayerConfig{
		Speed: -1,
		Frame: func(data []byte, at time.Time, n int, label string) error { return j.frame(data, at, n, label) },
		Usage: func(r *cdr.Record) error { return j.record(r) },
		Attack: func(r lab.Report) error {
			check()
			name, on = r.Name, r.On
			// Each attack is judged as if it were the first: what one alert says
			// is not said again of the next.
			j = newJudge(t, script)
			return nil
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	script = pl.Script()
	j = newJudge(t, script)
	if err := pl.Play(t.Context()); err != nil {
		t.Fatal(err)
	}
	check()
	if name != lab.SIMSwap {
		t.Errorf("the last attack was %q", name)
	}
}

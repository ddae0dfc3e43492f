package sdk_test

import (
	"encoding/json"
	"net"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"log/slog"

	"github.com/eclipse/paho.golang/paho"
	mqtt "github.com/mochi-mqtt/server/v2"
	"github.com/mochi-mqtt/server/v2/hooks/auth"
	"github.com/mochi-mqtt/server/v2/listeners"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/api"
	"github.com/ringwall/ringwall/flow"
	"github.com/ringwall/ringwall/sdk"
	"github.com/ringwall/ringwall/sdk/hub"
)

// broker is the hub's own broker, with the access control that package hub asks
// for: applications are kept to their own prefix.
func broker(t *testing.T) string {
	t.Helper()
	srv := mqtt.New(&mqtt.Options{Logger: slog.New(slog.DiscardHandler)})
	app := func(name string) auth.ACLRule {
		return auth.ACLRule{Username: auth.RString(name), Filters: auth.Filters{auth.RString("rw/app/" + name + "/#"): auth.ReadWrite}}
	}
	if err := srv.AddHook(new(auth.Hook), &auth.Options{Ledger: &auth.Ledger{
		Auth: auth.AuthRules{{Allow: true}},
		ACL:  auth.ACLRules{{Username: "hub", Filters: auth.Filters{"#": auth.ReadWrite}}, app("home"), app("spy"), app("stranger")},
	}}); err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	if err := srv.AddListener(listeners.NewNet("t", l)); err != nil {
		t.Fatal(err)
	}
	if err := srv.Serve(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { srv.Close() })
	return l.Addr().String()
}

// party is somebody on the broker, who notes what comes.
type party struct {
	t    *testing.T
	c    *paho.Client
	mu   sync.Mutex
	seen []string
}

func join(t *testing.T, addr, user string, filters ...string) *party {
	t.Helper()
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	p := &party{t: t}
	p.c = paho.NewClient(paho.ClientConfig{ClientID: "test-" + user, Conn: conn, OnPublishReceived: []func(paho.PublishReceived) (bool, error){
		func(m paho.PublishReceived) (bool, error) {
			p.mu.Lock()
			defer p.mu.Unlock()
			p.seen = append(p.seen, m.Packet.Topic+" "+string(m.Packet.Payload))
			return true, nil
		},
	}})
	if _, err := p.c.Connect(t.Context(), &paho.Connect{ClientID: "test-" + user, KeepAlive: 30, CleanStart: true, Username: user, UsernameFlag: true}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = p.c.Disconnect(&paho.Disconnect{}) })
	for _, f := range filters {
		if _, err := p.c.Subscribe(t.Context(), &paho.Subscribe{Subscriptions: []paho.SubscribeOptions{{Topic: f, QoS: 1, NoLocal: true}}}); err != nil {
			t.Fatal(err)
		}
	}
	return p
}

func (p *party) say(topic, payload string) {
	p.t.Helper()
	if _, err := p.c.Publish(p.t.Context(), &paho.Publish{QoS: 1, Topic: topic, Payload: []byte(payload)}); err != nil {
		p.t.Fatalf("publishing on %s: %v", topic, err)
	}
}

func (p *party) heard(text string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, s := range p.seen {
		if strings.Contains(s, text) {
			return true
		}
	}
	return false
}

func TestHub_leavesUnderPolicy(t *testing.T) {
	addr := broker(t)
	s := newSite(t, loopback)
	s.doc.Arrival = ringwall.Enforce
	c := s.open(t.TempDir(), nil)
	lock := "zigbee:00124b0001020304"
	gw := c.Identity().Gateway
	leafID := ringwall.DeviceID(ringwall.NewID(ringwall.PrefixDevice, time.Now()))
	term := func(id, app, method string, paths ...string) api.Term {
		t := allowNet(id, api.ToDevice, app+"/32", "tcp")
		t.Inside = &api.Inside{Proto: "mqtt", Methods: []string{method}, Paths: paths}
		return t
	}
	// "home" (192.0.2.1) may command "set" and read; "spy" (192.0.2.2) neither.
	policyOf := func(terms ...api.Term) func(*api.Desired) {
		return func(d *api.Desired) {
			d.Devices = append(d.Devices[:1:1], api.DevicePolicy{
				Device: leafID, Mark: 2, Binding: api.Binding{MAC: api.LeafMAC(gw, lock), IP: api.LeafIP(gw, lock), Port: "zigbee"},
				Mode: ringwall.Enforce, Trust: ringwall.T3, Terms: terms,
			})
		}
	}
	s.change(policyOf(term("cmd", "192.0.2.1", "PUBLISH", "set", "set/#"), term("read", "192.0.2.1", "SUBSCRIBE", "report")))
	s.inForce(c)
	z2m := join(t, addr, "hub", "zigbee2mqtt/#")
	h, err := hub.Open(t.Context(), hub.Config{
		Client: c, Broker: "tcp://" + addr, Username: "hub", Dialects: []hub.Dialect{&hub.Zigbee2MQTT{}, &hub.ChirpStack{}, &hub.BLE{}},
		Apps: []hub.App{{Name: "home", Addr: netip.MustParseAddr("192.0.2.1")}, {Name: "spy", Addr: netip.MustParseAddr("192.0.2.2")}},
	})
	if err != nil {
		t.Fatal(err)
	}
	defer h.Close()
	<-h.Ready()
	home, spy := join(t, addr, "home", "rw/app/home/#"), join(t, addr, "spy", "rw/app/spy/#")

	z2m.say("zigbee2mqtt/bridge/devices", `[{"ieee_address":"0x00124b0001020304","friendly_name":"door","type":"EndDevice"}]`)
	z2m.say("zigbee2mqtt/door", `{"state":"LOCKED","n":1}`)
	await(t, "the application reads the lock", func() bool { return home.heard(`data/zigbee2mqtt/door {"state":"LOCKED","n":1}`) })
	home.say("rw/app/home/cmd/zigbee2mqtt/door/set", `{"state":"UNLOCK"}`)
	await(t, "the command arrives", func() bool { return z2m.heard(`zigbee2mqtt/door/set {"state":"UNLOCK"}`) })

	// Another application, another command, another way.
	for _, bad := range []struct {
		who    *party
		app    string
		topic  string
		reason string
	}{
		{spy, "spy", "zigbee2mqtt/door/set", `"reason":"inbound"`}, {home, "home", "zigbee2mqtt/door/get", `"reason":"inbound"`},
		{home, "home", "zigbee2mqtt/bridge/request/permit_join", `"reason":"unknown"`}, {home, "home", "zigbee2mqtt/window/set", `"reason":"unknown"`},
		{home, "home", "zigbee2mqtt/bridge/devices", `"reason":"unknown"`}, {home, "home", "zigbee2mqtt/door", `"reason":"unknown"`},
		{home, "home", "application/1/device/0004a30b001c0530/command/down", `"reason":"unknown"`},
		{home, "home", "ble/aabbccddeeff/write/2a06", `"reason":"no-policy"`}, // a leaf that nobody has admitted
	} {
		bad.who.say("rw/app/"+bad.app+"/cmd/"+bad.topic, `{"from":"`+bad.app+`"}`)
		await(t, bad.topic+" is refused to "+bad.app, func() bool {
			return bad.who.heard(`rw/app/` + bad.app + `/refused {"topic":"` + bad.topic + `",` + bad.reason)
		})
	}
	if z2m.heard(`"from"`) {
		t.Error("a refused command reached the device's topic")
	}
	if spy.heard("LOCKED") {
		t.Error("the spy reads the lock")
	}

	// The lock is quarantined: nobody commands it, nobody reads it.
	id := ringwall.HoldID(ringwall.NewID(ringwall.PrefixHold, time.Now()))
	s.change(func(d *api.Desired) {
		d.Holds = []api.Hold{{ID: id, Device: leafID, Do: ringwall.Quarantine, By: "usr_test", Made: time.Now()}}
	})
	s.inForce(c)
	home.say("rw/app/home/cmd/zigbee2mqtt/door/set", `{"late":1}`)
	await(t, "quarantine refuses", func() bool { return home.heard(`"reason":"quarantine"`) })
	z2m.say("zigbee2mqtt/door", `{"state":"OPEN"}`)
	// The control of the negative: the one that may is told of what comes after.
	s.change(func(d *api.Desired) {
		d.Releases = []api.Release{{Hold: id, By: "usr_test", At: time.Now()}}
	})
	s.inForce(c)
	await(t, "released, the application reads again", func() bool {
		z2m.say("zigbee2mqtt/door", `{"state":"AGAIN"}`)
		return home.heard("AGAIN")
	})
	if home.heard(`"OPEN"`) || z2m.heard(`"late"`) {
		t.Error("quarantine leaked")
	}

	// Somebody goes round the policy on the broker: it cannot be stopped, and is told.
	z2m.say("zigbee2mqtt/door/set", `{"state":"BYPASS"}`)
	await(t, "the bypass is reported", func() bool {
		for _, r := range s.records(api.RecordNotice) {
			var n api.Notice
			if json.Unmarshal(r.Data, &n) == nil && n.Device == leafID && n.Detail["leaf"] == lock {
				return true
			}
		}
		return false
	})
	h.Close()
	s.sent(c)
	var sighted bool
	for _, r := range s.records(api.RecordPresence) {
		var p api.Sighting
		sighted = sighted || json.Unmarshal(r.Data, &p) == nil && p.MAC == api.LeafMAC(gw, lock) && p.Hostname == "door" && p.Port == "zigbee"
	}
	if !sighted {
		t.Error("the lock was not reported as a device")
	}
	var passed, denied int
	for _, f := range s.flows() {
		switch {
		case f.Device == leafID && f.Name == "home" && f.Inside.Path == "set" && f.Inside.Method == "PUBLISH" && f.Verdict == flow.Allowed && f.Term == "cmd":
			passed++
		case f.Device == leafID && f.Name == "spy" && f.Inside.Path == "set" && f.Verdict == flow.Refused:
			denied++
		}
	}
	if passed == 0 || denied == 0 {
		t.Errorf("%d passed and %d refused commands are reported on the lock", passed, denied)
	}
}

func TestLeaf_limitsAndArrival(t *testing.T) {
	s := newSite(t)
	s.doc.Arrival = ringwall.Learn
	c := s.open(t.TempDir(), nil)
	leaf := c.Leaf("LORA:0004A30B001C0530")
	cmd := sdk.Access{App: "a", Addr: netip.MustParseAddr("192.0.2.1"), Command: true, What: "down/10", Size: 10}
	if err := leaf.Allow(cmd); err != nil {
		t.Errorf("a leaf that is new where arrivals are learned: %v", err)
	}
	id := ringwall.DeviceID(ringwall.NewID(ringwall.PrefixDevice, time.Now()))
	term := allowNet("one", api.ToDevice, "192.0.2.0/24", "tcp")
	term.Limit = &api.Limit{Quota: 25, Per: "month"}
	s.change(func(d *api.Desired) {
		d.Devices[0].Leaves = []api.Leaf{{Device: id, Address: "lora:0004a30b001c0530"}} // listed, not by its stand-in
		d.Devices = append(d.Devices, api.DevicePolicy{Device: id, Mark: 2, Mode: ringwall.Enforce, Trust: ringwall.T3, Terms: []api.Term{term},
			Binding: api.Binding{MAC: "02:00:00:00:00:99", IP: netip.MustParseAddr("240.0.0.9")}})
	})
	s.inForce(c)
	if leaf.Device() != id {
		t.Fatalf("Device() = %q", leaf.Device())
	}
	var last error
	for range 3 {
		last = leaf.Allow(cmd)
	}
	if r, ok := sdk.AsRefusal(last); !ok || r.Reason != "limited" || r.Limit != "quota" {
		t.Errorf("over the quota of downlinks: %v", last)
	}
	cmd.Addr = netip.MustParseAddr("198.51.100.1")
	if r, ok := sdk.AsRefusal(leaf.Allow(cmd)); !ok || r.Reason != "inbound" {
		t.Errorf("a stranger's downlink: %v", r)
	}
}

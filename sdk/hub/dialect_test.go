package hub

import (
	"reflect"
	"strings"
	"testing"
)

const devices = `[{"ieee_address":"0x00124b0000000000","friendly_name":"Coordinator","type":"Coordinator"},
{"ieee_address":"0x00124b0001020304","friendly_name":"hall/lock","type":"EndDevice","definition":{"model":"X"}},
{"ieee_address":"0x00124b0001020305","friendly_name":"hall","type":"Router"}]`

func TestDialects(t *testing.T) {
	z := &Zigbee2MQTT{}
	lock, hall := "zigbee:00124b0001020304", "zigbee:00124b0001020305"
	for _, tc := range []struct {
		d              Dialect
		topic, payload string
		want           []Event
		bad            bool
	}{
		{z, "zigbee2mqtt/hall", `{}`, nil, false}, // before the list of devices
		{z, "zigbee2mqtt/bridge/devices", devices, []Event{{Joined, lock, "hall/lock", ""}, {Joined, hall, "hall", ""}}, false},
		{z, "zigbee2mqtt/bridge/groups", `[{"friendly_name":"all","members":[{"ieee_address":"0x00124b0001020304","endpoint":1},{"ieee_address":"0x00124b0001020305"}]}]`, nil, false},
		{z, "zigbee2mqtt/hall/lock", `{"state":"LOCK"}`, []Event{{Report, lock, "", ""}}, false},
		{z, "zigbee2mqtt/hall/lock/set", `{"state":"UNLOCK"}`, []Event{{Command, lock, "", "set"}}, false},
		{z, "zigbee2mqtt/hall/set/state", `ON`, []Event{{Command, hall, "", "set/state"}}, false},
		{z, "zigbee2mqtt/hall/left/set", `ON`, []Event{{Command, hall, "", "left/set"}}, false},
		{z, "zigbee2mqtt/0x00124b0001020304/get", ``, []Event{{Command, lock, "", "get"}}, false},
		{z, "zigbee2mqtt/all/set", `ON`, []Event{{Command, lock, "", "set"}, {Command, hall, "", "set"}}, false},
		{z, "zigbee2mqtt/hall/availability", `{"state":"offline"}`, []Event{{Left, hall, "", ""}}, false},
		{z, "zigbee2mqtt/hall/availability", `online`, []Event{{Joined, hall, "", ""}}, false},
		{z, "zigbee2mqtt/bridge/event", `{"type":"device_leave","data":{"ieee_address":"0x00124b0001020305","friendly_name":"hall"}}`, []Event{{Left, hall, "hall", ""}}, false},
		{z, "zigbee2mqtt/bridge/devices", `{`, nil, true},
		{z, "other/hall/set", `ON`, nil, false},
		{&ChirpStack{}, "application/1/device/0004A30B001C0530/event/up", `{"deviceInfo":{"devEui":"0004a30b001c0530","deviceName":"meter"},"fPort":2,"data":"AQ=="}`, []Event{{Report, "lora:0004a30b001c0530", "meter", ""}}, false},
		{&ChirpStack{}, "application/1/device/0004a30b001c0530/command/down", `{"devEui":"0004a30b001c0530","confirmed":false,"fPort":10,"data":"AQ=="}`, []Event{{Command, "lora:0004a30b001c0530", "", "down/10"}}, false},
		{&ChirpStack{}, "application/1/device/0004a30b001c0530/command/down", `{"devEui":"0004a30b001c0531","fPort":10}`, nil, true}, // says another than its topic
		{&ChirpStack{}, "application/1/device/0004a30b001c0530/command/down", `{}`, nil, true},
		{&ChirpStack{Prefix: "eu868"}, "eu868/application/1/device/0004a30b001c0530/event/join", `{}`, []Event{{Joined, "lora:0004a30b001c0530", "", ""}}, false},
		{&ChirpStack{}, "application/1/device/x/event/up", `{}`, nil, true},
		{&BLE{}, "ble/AA:BB:CC:DD:EE:FF/adv", `{"name":"tag","rssi":-60}`, []Event{{Report, "ble:aa:bb:cc:dd:ee:ff", "tag", ""}}, false},
		{&BLE{}, "ble/aabbccddeeff/write/2A06", "\x02", []Event{{Command, "ble:aa:bb:cc:dd:ee:ff", "", "write/2a06"}}, false},
		{&BLE{}, "ble/aabbccddeeff/notify/2a37", "\x02", []Event{{Report, "ble:aa:bb:cc:dd:ee:ff", "", ""}}, false},
		{&BLE{OMG: "home/OMG"}, "home/OMG/BTtoMQTT/AABBCCDDEEFF", `{"id":"AA:BB:CC:DD:EE:FF"}`, []Event{{Report, "ble:aa:bb:cc:dd:ee:ff", "", ""}}, false},
		{&BLE{}, "ble/aabbccddeeff/adv", `{"id":"11:22:33:44:55:66"}`, nil, true},
		{&BLE{}, "ble/aabbccddeeff/write/", "", nil, true},
		{&BLE{}, "ble/nonsense/adv", "{}", nil, true},
	} {
		got, err := tc.d.Read(tc.topic, []byte(tc.payload))
		if (err != nil) != tc.bad || !reflect.DeepEqual(got, tc.want) {
			t.Errorf("Read(%q, %q) = %+v, %v; want %+v", tc.topic, tc.payload, got, err, tc.want)
		}
	}
	// What an application asks for teaches nothing.
	forged := strings.ReplaceAll(devices, "0x00124b0001020304", "0x00124b0001020309")
	if got, err := z.Asked("zigbee2mqtt/bridge/devices", []byte(forged)); err != nil || got != nil {
		t.Errorf("asking for another list of devices: %+v, %v", got, err)
	}
	if got, _ := z.Asked("zigbee2mqtt/hall/lock/set", nil); len(got) != 1 || got[0].Leaf != lock {
		t.Errorf("the name means another device now: %+v", got)
	}
}

func FuzzDialects(f *testing.F) {
	for _, s := range [][2]string{
		{"zigbee2mqtt/bridge/devices", devices}, {"zigbee2mqtt/hall/lock/set", "ON"}, {"zigbee2mqtt/bridge/event", `{"type":"device_joined","data":{"ieee_address":"0x1"}}`},
		{"application/1/device/0004A30B001C0530/event/up", `{"fPort":255}`}, {"ble/AA:BB:CC:DD:EE:FF/adv", `{}`}, {"zigbee2mqtt/bridge/groups", `[{"friendly_name":"a","members":[]}]`},
	} {
		f.Add(s[0], []byte(s[1]))
	}
	f.Fuzz(func(t *testing.T, topic string, payload []byte) {
		z := &Zigbee2MQTT{}
		if _, err := z.Read("zigbee2mqtt/bridge/devices", []byte(devices)); err != nil {
			t.Fatal(err)
		}
		for _, d := range []Dialect{z, &ChirpStack{}, &BLE{OMG: "home/OMG"}} {
			for _, read := range []func(string, []byte) ([]Event, error){d.Read, d.Asked} {
				events, err := read(topic, payload)
				if err != nil && events != nil {
					t.Fatalf("events beside an error: %+v", events)
				}
				for _, e := range events {
					tech, address, _ := strings.Cut(e.Leaf, ":")
					if address == "" || tech != "zigbee" && tech != "lora" && tech != "ble" || len(e.Name) > maxLabel || (e.Kind == Command) == (e.What == "") {
						t.Fatalf("event %+v of %q", e, topic)
					}
				}
			}
		}
	})
}

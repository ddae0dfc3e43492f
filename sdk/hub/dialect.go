package hub

import (
	"encoding/hex"
	"encoding/json"
	"strings"
	"sync"

	"github.com/ringwall/ringwall"
)

// Kind says what an Event is.
type Kind string

// Kinds of events.
const (
	Joined  Kind = "joined"  // the hub knows the leaf
	Left    Kind = "left"    // it was removed, or is not reached any more
	Report  Kind = "report"  // the leaf says something
	Command Kind = "command" // somebody wants the leaf to do something
)

// Event is one thing that a message says of one leaf.
type Event struct {
	Kind Kind
	Leaf string // address, such as "zigbee:00124b0001020304"
	Name string // by which people call it, "" = not said
	What string // of a command: "set", "write/2a06", "down/10"
}

// Dialect reads the messages of one hub software.
type Dialect interface {
	// Filters are the topics to listen to.
	Filters() []string
	// Read says what a message on the hub's own topics means; none for what means
	// nothing here. The error is of a message that is not as the software writes it.
	Read(topic string, payload []byte) ([]Event, error)
	// Asked says what an application asks for that would publish this. It learns
	// nothing from it: applications do not say who is who.
	Asked(topic string, payload []byte) ([]Event, error)
}

// Bounds of what one message may say.
const (
	maxMessage = 4 << 20 // a list of all devices of a large network
	maxLeaves  = 4096
	maxLabel   = 120 // bytes of a name
)

func bad(format string, args ...any) error { return ringwall.Errorf(ringwall.Invalid, format, args...) }

func decode(payload []byte, v any) error {
	if len(payload) > maxMessage {
		return bad("message of %d bytes is over the limit of %d", len(payload), maxMessage)
	}
	if err := json.Unmarshal(payload, v); err != nil {
		return bad("reading a message: %w", err)
	}
	return nil
}

func label(s string) string {
	s = strings.ToValidUTF8(s, "")
	if len(s) > maxLabel {
		s = strings.ToValidUTF8(s[:maxLabel], "")
	}
	return s
}

// hexAddress returns the lower-case hexadecimal digits of an address of n bytes,
// written with or without colons and 0x; "" if it is none.
func hexAddress(s string, n int) string {
	s = strings.ToLower(strings.NewReplacer(":", "", "-", "").Replace(strings.TrimPrefix(strings.TrimPrefix(s, "0x"), "0X")))
	if b, err := hex.DecodeString(s); err != nil || len(b) != n {
		return ""
	}
	return s
}

func macAddress(s string) string {
	h := hexAddress(s, 6)
	if h == "" {
		return ""
	}
	return h[0:2] + ":" + h[2:4] + ":" + h[4:6] + ":" + h[6:8] + ":" + h[8:10] + ":" + h[10:12]
}

// Zigbee2MQTT is the dialect of Zigbee2MQTT. It has to hear the list of devices,
// which the software publishes retained, before it knows names.
type Zigbee2MQTT struct {
	Base string // "" = "zigbee2mqtt"

	mu     sync.Mutex
	byName map[string]string   // friendly name -> address
	groups map[string][]string // friendly name -> addresses
}

func (z *Zigbee2MQTT) base() string {
	if z.Base == "" {
		return "zigbee2mqtt"
	}
	return z.Base
}

// Filters implements Dialect.
func (z *Zigbee2MQTT) Filters() []string { return []string{z.base() + "/#"} }

type zigbeeDevice struct {
	Address  string `json:"ieee_address"`
	Friendly string `json:"friendly_name"`
	Type     string `json:"type"`
}

func (d zigbeeDevice) leaf() string {
	h := hexAddress(d.Address, 8)
	if h == "" || d.Type == "Coordinator" {
		return ""
	}
	return "zigbee:" + h
}

// Read implements Dialect.
func (z *Zigbee2MQTT) Read(topic string, payload []byte) ([]Event, error) {
	rest, ok := strings.CutPrefix(topic, z.base()+"/")
	if !ok {
		return nil, nil
	}
	z.mu.Lock()
	defer z.mu.Unlock()
	switch rest {
	case "bridge/devices":
		return z.devices(payload)
	case "bridge/groups":
		return nil, z.readGroups(payload)
	case "bridge/event":
		return z.event(payload)
	}
	if strings.HasPrefix(rest, "bridge/") {
		return nil, nil
	}
	return z.about(rest, payload)
}

// Asked implements Dialect.
func (z *Zigbee2MQTT) Asked(topic string, payload []byte) ([]Event, error) {
	rest, ok := strings.CutPrefix(topic, z.base()+"/")
	if !ok || rest == "bridge" || strings.HasPrefix(rest, "bridge/") {
		return nil, nil
	}
	z.mu.Lock()
	defer z.mu.Unlock()
	return z.about(rest, payload)
}

// about says what is published on the topic of a leaf or a group. The caller
// holds z.mu.
func (z *Zigbee2MQTT) about(rest string, payload []byte) ([]Event, error) {
	leaves, what := z.find(rest)
	if leaves == nil {
		return nil, nil
	}
	last := what[strings.LastIndexByte(what, '/')+1:]
	first, _, _ := strings.Cut(what, "/")
	var out []Event
	for _, leaf := range leaves {
		e := Event{Kind: Report, Leaf: leaf}
		switch {
		case what == "":
		case what == "availability":
			var state struct {
				State string `json:"state"`
			}
			if err := decode(payload, &state); err != nil {
				if string(payload) != "online" && string(payload) != "offline" { // as older versions write it
					return nil, err
				}
				state.State = string(payload)
			}
			if e.Kind = Joined; state.State == "offline" {
				e.Kind = Left
			}
		case first == "set" || first == "get" || last == "set" || last == "get":
			e.Kind, e.What = Command, what
		case strings.Contains(what, "/set/"), strings.Contains(what, "/get/"):
			e.Kind, e.What = Command, what
		}
		out = append(out, e)
	}
	return out, nil
}

// find returns whom a topic speaks of, and what follows the name: names may have
// slashes of their own, so the longest that is known counts.
func (z *Zigbee2MQTT) find(rest string) (leaves []string, what string) {
	for name := rest; name != ""; {
		_, what, _ = strings.Cut(rest[len(name):], "/")
		if a, ok := z.byName[name]; ok {
			return []string{a}, what
		}
		if g, ok := z.groups[name]; ok {
			return g, what
		}
		if h := hexAddress(name, 8); h != "" && strings.HasPrefix(name, "0x") {
			return []string{"zigbee:" + h}, what
		}
		i := strings.LastIndexByte(name, '/')
		if i < 0 {
			break
		}
		name = name[:i]
	}
	return nil, ""
}

func (z *Zigbee2MQTT) devices(payload []byte) ([]Event, error) {
	var all []zigbeeDevice
	if err := decode(payload, &all); err != nil {
		return nil, err
	}
	z.byName = map[string]string{}
	var out []Event
	for _, d := range all[:min(len(all), maxLeaves)] {
		if leaf := d.leaf(); leaf != "" {
			z.byName[d.Friendly] = leaf
			out = append(out, Event{Kind: Joined, Leaf: leaf, Name: label(d.Friendly)})
		}
	}
	delete(z.byName, "")
	return out, nil
}

func (z *Zigbee2MQTT) readGroups(payload []byte) error {
	var all []struct {
		Friendly string         `json:"friendly_name"`
		Members  []zigbeeDevice `json:"members"`
	}
	if err := decode(payload, &all); err != nil {
		return err
	}
	z.groups = map[string][]string{}
	for _, g := range all[:min(len(all), maxLeaves)] {
		members := []string{}
		for _, d := range g.Members[:min(len(g.Members), maxLeaves)] {
			if leaf := d.leaf(); leaf != "" {
				members = append(members, leaf)
			}
		}
		if g.Friendly != "" {
			z.groups[g.Friendly] = members
		}
	}
	return nil
}

func (z *Zigbee2MQTT) event(payload []byte) ([]Event, error) {
	var e struct {
		Type string       `json:"type"`
		Data zigbeeDevice `json:"data"`
	}
	if err := decode(payload, &e); err != nil {
		return nil, err
	}
	leaf := e.Data.leaf()
	switch {
	case leaf == "":
	case e.Type == "device_joined" || e.Type == "device_announce" || e.Type == "device_interview":
		return []Event{{Kind: Joined, Leaf: leaf, Name: label(e.Data.Friendly)}}, nil
	case e.Type == "device_leave":
		return []Event{{Kind: Left, Leaf: leaf, Name: label(e.Data.Friendly)}}, nil
	}
	return nil, nil
}

// ChirpStack is the dialect of ChirpStack's MQTT integration with JSON.
type ChirpStack struct {
	Prefix string // of all topics, "" = none
}

// Filters implements Dialect.
func (c *ChirpStack) Filters() []string {
	p := c.Prefix
	if p != "" {
		p += "/"
	}
	return []string{p + "application/+/device/+/event/+", p + "application/+/device/+/command/+"}
}

// Asked implements Dialect.
func (c *ChirpStack) Asked(topic string, payload []byte) ([]Event, error) {
	return c.Read(topic, payload)
}

// Read implements Dialect.
func (c *ChirpStack) Read(topic string, payload []byte) ([]Event, error) {
	if c.Prefix != "" {
		var ok bool
		if topic, ok = strings.CutPrefix(topic, c.Prefix+"/"); !ok {
			return nil, nil
		}
	}
	part := strings.Split(topic, "/") // application/ID/device/EUI/event|command/WHAT
	if len(part) != 6 || part[0] != "application" || part[2] != "device" {
		return nil, nil
	}
	eui := hexAddress(part[3], 8)
	if eui == "" {
		return nil, bad("topic names device %.40q, which is no EUI-64", part[3])
	}
	var m struct {
		Info struct {
			EUI  string `json:"devEui"`
			Name string `json:"deviceName"`
		} `json:"deviceInfo"`
		EUI  string `json:"devEui"` // of a command
		Port *uint8 `json:"fPort"`
	}
	if err := decode(payload, &m); err != nil {
		return nil, err
	}
	for _, said := range []string{m.Info.EUI, m.EUI} {
		if said != "" && hexAddress(said, 8) != eui {
			return nil, bad("message on the topic of device %s is of device %.40q", eui, said)
		}
	}
	e := Event{Leaf: "lora:" + eui, Name: label(m.Info.Name)}
	switch {
	case part[4] == "event" && part[5] == "up":
		e.Kind = Report
	case part[4] == "event" && part[5] == "join":
		e.Kind = Joined
	case part[4] == "command" && part[5] == "down":
		if m.Port == nil {
			return nil, bad("a downlink to device %s names no port", eui)
		}
		e.Kind, e.What = Command, "down/"+itoa(*m.Port)
	default:
		return nil, nil
	}
	return []Event{e}, nil
}

func itoa(v uint8) string {
	b := [3]byte{'0' + v/100, '0' + v/10%10, '0' + v%10}
	return strings.TrimLeft(string(b[:2]), "0") + string(b[2:])
}

// BLE is the dialect of a BLE gateway: <base>/<address>/adv (an advertisement,
// JSON), <base>/<address>/notify/<uuid> (what a characteristic says),
// <base>/<address>/write/<uuid> and /read/<uuid> (what is asked of one); and of
// OpenMQTTGateway, whose advertisements come on <anything>/BTtoMQTT/<address>.
type BLE struct {
	Base string // "" = "ble"
	// OMG is the prefix of OpenMQTTGateway's topics, "" = none, usually "home/OMG".
	OMG string
}

func (b *BLE) base() string {
	if b.Base == "" {
		return "ble"
	}
	return b.Base
}

// Filters implements Dialect.
func (b *BLE) Filters() []string {
	out := []string{b.base() + "/#"}
	if b.OMG != "" {
		out = append(out, b.OMG+"/BTtoMQTT/+")
	}
	return out
}

// Asked implements Dialect.
func (b *BLE) Asked(topic string, payload []byte) ([]Event, error) { return b.Read(topic, payload) }

// Read implements Dialect.
func (b *BLE) Read(topic string, payload []byte) ([]Event, error) {
	address, what := "", "adv"
	if rest, ok := strings.CutPrefix(topic, b.OMG+"/BTtoMQTT/"); ok && b.OMG != "" {
		address = rest
	} else if rest, ok := strings.CutPrefix(topic, b.base()+"/"); ok {
		address, what, _ = strings.Cut(rest, "/")
	} else {
		return nil, nil
	}
	mac := macAddress(address)
	if mac == "" {
		return nil, bad("topic names device %.40q, which is no Bluetooth address", address)
	}
	e := Event{Kind: Report, Leaf: "ble:" + mac}
	verb, uuid, _ := strings.Cut(what, "/")
	switch verb {
	case "adv":
		var adv struct {
			ID   string `json:"id"`
			Name string `json:"name"`
		}
		if err := decode(payload, &adv); err != nil {
			return nil, err
		}
		if adv.ID != "" && macAddress(adv.ID) != mac {
			return nil, bad("advertisement on the topic of %s is of %.40q", mac, adv.ID)
		}
		e.Name = label(adv.Name)
	case "notify", "value":
	case "write", "read":
		if uuid == "" || strings.ContainsAny(uuid, "+#") {
			return nil, bad("a command to %s names no characteristic", mac)
		}
		e.Kind, e.What = Command, verb+"/"+strings.ToLower(uuid)
	default:
		return nil, nil
	}
	return []Event{e}, nil
}

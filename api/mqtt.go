package api

import (
	"crypto/sha256"
	"net"
	"net/netip"

	"github.com/ringwall/ringwall"
)

// Leaves of the topics on which a terminal and the platform speak over MQTT. A
// terminal publishes on the first two and reads the others, all of them its own:
// its certificate says which those are.
//
// A payload that begins with TerminalVersion is in the form of the constrained
// terminal, and so is its answer; a batch may be in the binary form of protocol
// 2; all else is JSON.
const (
	TopicReport  = "report"     // Batch, or a TerminalBatch; QoS 1
	TopicStatus  = "status"     // DesiredRequest, or a TerminalStatus: what it has; asks for what is newer
	TopicAck     = "report/ack" // BatchAck, where the batch named no response topic
	TopicDesired = "desired"    // DesiredAnswer, or a TerminalAnswer
	TopicPoke    = "poke"       // the newest generation in decimal
)

// Topic returns the topic of a terminal: rw/<org>/<terminal>/<leaf>.
func Topic(org ringwall.OrgID, gw ringwall.GatewayID, leaf string) string {
	return "rw/" + string(org) + "/" + string(gw) + "/" + leaf
}

// OwnMAC returns the locally administered address (IEEE 802-2014 section 8.4.4)
// by which an application that enrolled as gw, and has no cable of its own, is
// registered as a device.
func OwnMAC(gw ringwall.GatewayID) string { return standInMAC("ringwall sdk\x00" + string(gw)) }

// LeafMAC is OwnMAC for a device that does not speak IP: address is its name on
// the hub, as in Leaf.
func LeafMAC(gw ringwall.GatewayID, address string) string {
	return standInMAC("ringwall leaf\x00" + string(gw) + "\x00" + address)
}

// LeafIP returns an address for such a device, since policies are keyed on one.
// It is of the range that no network routes (RFC 1112 section 4, class E), and
// stands for nothing that can be reached.
func LeafIP(gw ringwall.GatewayID, address string) netip.Addr {
	sum := sha256.Sum256([]byte("ringwall leaf\x00" + string(gw) + "\x00" + address))
	return netip.AddrFrom4([4]byte{240 | sum[6]&7, sum[7], sum[8], sum[9]})
}

// IsLeaf reports whether p is of a device that does not speak IP.
func IsLeaf(p DevicePolicy) bool {
	a := p.Binding.IP.Unmap()
	return a.Is4() && a.As4()[0]&0xf8 == 240
}

func standInMAC(text string) string {
	sum := sha256.Sum256([]byte(text))
	mac := sum[:6]
	mac[0] = mac[0]&^1 | 2
	return net.HardwareAddr(mac).String()
}

// Own returns the policy of the application or terminal that enrolled as the
// document's gateway: the device with its OwnMAC, or the only one there is.
func (d Desired) Own() (DevicePolicy, bool) {
	mac := OwnMAC(d.Gateway)
	for _, p := range d.Devices {
		if p.Binding.MAC == mac {
			return p, true
		}
	}
	if len(d.Devices) == 1 && !IsLeaf(d.Devices[0]) {
		return d.Devices[0], true
	}
	return DevicePolicy{}, false
}

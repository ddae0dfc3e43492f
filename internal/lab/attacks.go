package lab

import (
	"net/netip"
	"time"

	"github.com/ringwall/ringwall/internal/detect"
	"github.com/ringwall/ringwall/internal/lab/attack"
	"github.com/ringwall/ringwall/internal/packet"
	"github.com/ringwall/ringwall/internal/usage"
)

// AttackInfo describes one attack of the range.
type AttackInfo struct {
	Name     string        `json:"name"`
	Title    string        `json:"title"`
	On       string        `json:"on"` // the device it is for, unless told otherwise
	Duration time.Duration `json:"durationNs"`
	// Rules are those that should alert, of detectors and of usage records.
	Rules []string `json:"rules"`
}

// AttackOptions say how to attack. Zero values are those of the attack.
type AttackOptions struct {
	On         string        // a device
	Seed       uint64        // 0 = drawn from the range's
	Duration   time.Duration // at most
	MaxPackets int           // of a scan
	Pictures   int           // of a video, after which a stranger has seen enough; 0 = 40
	// NoCapture leaves out the recording; times and numbers are told all the same.
	NoCapture bool
}

// Step is one part of an attack.
type Step struct {
	Name   string    `json:"name"`
	Start  time.Time `json:"start"`
	End    time.Time `json:"end"`
	Did    bool      `json:"did"` // what it is meant to do
	Detail any       `json:"detail,omitempty"`
}

// Report tells what an attack did.
type Report struct {
	Name string    `json:"name"`
	On   string    `json:"on"`
	Seed uint64    `json:"seed"`
	From time.Time `json:"from"`
	To   time.Time `json:"to"`
	// First and Last are when the gateway's kernel had the first and the last
	// packet of the attack, on whichever side it came in, ahead of its packet
	// filter; zero when there was none.
	First time.Time `json:"first,omitzero"`
	Last  time.Time `json:"last,omitzero"`
	// Packets is how many packets of the attack came in at the gateway.
	Packets uint64 `json:"packets"`
	// Arrived is how many of them got through to whom they were for.
	Arrived []Arrival `json:"arrived"`
	Did     bool      `json:"did"` // every step did what it is meant to
	Steps   []Step    `json:"steps"`
	// Capture is the labelled recording (pcapng, a comment a packet:
	// "label=NAME" of the attack or "label=benign").
	Capture string `json:"capture,omitempty"`
	// Dropped is how many packets the recording lost, Unrecorded how many came
	// after it had its full size.
	Dropped    uint64 `json:"dropped"`
	Unrecorded uint64 `json:"unrecorded"`
}

// Reached returns how many packets of the attack arrived in all.
func (r Report) Reached() (n uint64) {
	for _, a := range r.Arrived {
		n += a.Packets
	}
	return n
}

// definition is an attack with its program.
type definition struct {
	AttackInfo
	// match tells the attack's packets from others.
	match func(on netip.Addr) func(*packet.Packet) bool
	// victims are the actors at which its packets are counted.
	victims func(on string) []string
	// orders are the parts it is made of; one that is not told by name is
	// itself.
	parts []string
}

// between matches packets between two addresses, with one of these TCP ports
// at the second; no ports = all packets.
func between(a, b netip.Addr, ports ...uint16) func(*packet.Packet) bool {
	return func(p *packet.Packet) bool {
		var port uint16
		switch {
		case p.Src == a && p.Dst == b:
			port = p.DstPort
		case p.Src == b && p.Dst == a:
			port = p.SrcPort
		default:
			return false
		}
		for _, w := range ports {
			if port == w && p.Has(packet.TCP) {
				return true
			}
		}
		return len(ports) == 0
	}
}

func either(fs ...func(*packet.Packet) bool) func(*packet.Packet) bool {
	return func(p *packet.Packet) bool {
		for _, f := range fs {
			if f(p) {
				return true
			}
		}
		return false
	}
}

// scanning matches what a device sends into the scanned range, and answers.
func scanning(on netip.Addr) func(*packet.Packet) bool {
	return func(p *packet.Packet) bool {
		return p.Src == on && scanRange.Contains(p.Dst) || p.Dst == on && scanRange.Contains(p.Src)
	}
}

// flooding matches what a device sends to the host that is flooded.
func flooding(on netip.Addr) func(*packet.Packet) bool {
	return func(p *packet.Packet) bool { return p.Src == on && p.Dst == flooded }
}

// asking matches what a device asks of its router.
func asking(on netip.Addr) func(*packet.Packet) bool {
	router := netip.AddrFrom4([4]byte{10, 77, 0, 1})
	return func(p *packet.Packet) bool {
		return p.Src == on && p.Dst == router && (p.DstPort == 5351 || p.DstPort == 1900 || p.DstPort == 5000)
	}
}

// Names of the attacks.
const (
	TelnetGuess     = "telnet-guess"
	Infect          = "infect"
	Beacon          = "beacon"
	FailingBeacon   = "failing-beacon"
	MiraiScan       = "mirai-scan"
	UnknownScan     = "unknown-scan"
	StrangerVideo   = "stranger-video"
	SIMSwap         = "sim-swap"
	MeterCompromise = "meter-compromise"
	Exploit         = "exploit"
	Lateral         = "lateral"
	SlowScan        = "slow-scan"
	UDPFlood        = "udp-flood"
	SYNFlood        = "syn-flood"
	HTTPFlood       = "http-flood"
	MapPort         = "map-port"
	Mine            = "mine"
	Outbreak        = "outbreak"
	Full            = "full"
)

// Ports of the command server: where it answers, and where nobody does.
const (
	commandPort = 48101
	closedPort  = 48102
	poolPort    = 3333
)

// flooded is whom the range's floods are for: nobody's address, which the sink has.
var flooded = netip.MustParseAddr("198.18.9.9")

func definitions() []definition {
	self := func(on string) []string { return []string{on} }
	only := func(names ...string) func(string) []string { return func(string) []string { return names } }
	guessing := func(on netip.Addr) func(*packet.Packet) bool { return between(addrOf(Attacker), on, 23) }
	return []definition{
		{
			AttackInfo: AttackInfo{TelnetGuess, "guess factory passwords over telnet", BadCam, 40 * time.Second, []string{detect.CredentialGuessing}},
			match:      guessing, victims: self,
		},
		{
			AttackInfo: AttackInfo{Infect, "guess in over telnet and fetch a program from a bare address", BadCam, 60 * time.Second, []string{detect.CredentialGuessing, detect.BinaryDownload}},
			match: func(on netip.Addr) func(*packet.Packet) bool {
				return either(guessing(on), between(on, addrOf(Loader), 80))
			},
			victims: func(on string) []string { return []string{on, Loader} },
		},
		{
			AttackInfo: AttackInfo{Beacon, "call the command server again and again", BadCam, 20 * time.Second, []string{detect.NewPeer, detect.Beacon}},
			match:      func(on netip.Addr) func(*packet.Packet) bool { return between(on, addrOf(C2)) }, victims: only(C2),
		},
		{
			AttackInfo: AttackInfo{FailingBeacon, "call a command server that has gone", BadCam, 20 * time.Second, []string{detect.NewPeer, detect.FailingBeacon}},
			match:      func(on netip.Addr) func(*packet.Packet) bool { return between(on, addrOf(C2)) }, victims: only(C2),
		},
		{
			AttackInfo: AttackInfo{MiraiScan, "scan for telnet as Mirai does", BadCam, 5 * time.Second, []string{detect.MiraiScan, detect.AdminFanout}},
			match:      scanning, victims: only(Sink),
		},
		{
			AttackInfo: AttackInfo{UnknownScan, "scan as an unknown family would", BadCam, 5 * time.Second, []string{detect.AnyFanout}},
			match:      scanning, victims: only(Sink),
		},
		{
			AttackInfo: AttackInfo{StrangerVideo, "read the video with the factory password", BadCam, 10 * time.Second, []string{detect.StrangerVideo}},
			match:      func(on netip.Addr) func(*packet.Packet) bool { return between(addrOf(Attacker), on, 554) }, victims: self,
		},
		{
			AttackInfo: AttackInfo{SIMSwap, "put the meter's SIM into another equipment and send a message", Meter, 20 * time.Second, []string{usage.Separation, usage.SIMService}},
			match:      func(netip.Addr) func(*packet.Packet) bool { return func(*packet.Packet) bool { return false } }, victims: only(),
		},
		{
			AttackInfo: AttackInfo{MeterCompromise, "the meter calls the command server, over the home and over its SIM", Meter, 20 * time.Second, []string{detect.NewPeer, detect.Beacon, usage.SIMPeer}},
			match:      func(on netip.Addr) func(*packet.Packet) bool { return between(on, addrOf(C2)) }, victims: only(C2),
		},
		{
			AttackInfo: AttackInfo{Exploit, "send a command hidden in a request; the device fetches a program", BadCam, 20 * time.Second, []string{detect.ExploitAttempt, detect.BinaryDownload}},
			match: func(on netip.Addr) func(*packet.Packet) bool {
				return either(between(addrOf(Attacker), on, 80), between(on, addrOf(Loader), 80))
			},
			victims: func(on string) []string { return []string{on, Loader} },
		},
		{
			AttackInfo: AttackInfo{Lateral, "knock at the doors of the camera beside it and try factory passwords", BadCam, 20 * time.Second, []string{detect.CredentialGuessing}},
			match:      func(on netip.Addr) func(*packet.Packet) bool { return between(on, addrOf(GoodCam)) }, victims: only(GoodCam),
		},
		{
			AttackInfo: AttackInfo{SlowScan, "scan for telnet so slowly that nobody should notice", BadCam, 6 * time.Minute, []string{detect.AdminFanout}},
			match:      scanning, victims: only(Sink),
		},
		{
			AttackInfo: AttackInfo{UDPFlood, "flood a host with datagrams", BadCam, 6 * time.Second, []string{detect.Flood}},
			match:      flooding, victims: only(Sink),
		},
		{
			AttackInfo: AttackInfo{SYNFlood, "flood a host with openings", BadCam, 6 * time.Second, []string{detect.Flood}},
			match:      flooding, victims: only(Sink),
		},
		{
			AttackInfo: AttackInfo{HTTPFlood, "flood a web server with requests", BadCam, 10 * time.Second, []string{detect.RequestFlood}},
			match:      func(on netip.Addr) func(*packet.Packet) bool { return between(on, addrOf(Update), 80) }, victims: only(Update),
		},
		{
			AttackInfo: AttackInfo{MapPort, "ask the router to let the Internet reach the device", BadCam, 10 * time.Second, []string{detect.PortMapping}},
			match:      func(on netip.Addr) func(*packet.Packet) bool { return asking(on) }, victims: only(),
		},
		{
			AttackInfo: AttackInfo{Mine, "mine for somebody", BadCam, 15 * time.Second, []string{detect.NewPeer, detect.Mining}},
			match:      func(on netip.Addr) func(*packet.Packet) bool { return between(on, addrOf(C2), poolPort) }, victims: only(C2),
		},
		{
			AttackInfo: AttackInfo{Outbreak, "one camera is taken, knocks at the other; the meter is taken too, and both scan", BadCam, 2 * time.Minute,
				[]string{detect.ExploitAttempt, detect.BinaryDownload, detect.CredentialGuessing, detect.MiraiScan}},
			parts: []string{Exploit, Beacon, Lateral, Beacon + "@" + Meter, MiraiScan, MiraiScan + "@" + Meter},
		},
		{
			AttackInfo: AttackInfo{Full, "the whole story: infected, commanded, scanning, watched; then the meter and its SIM", BadCam, 3 * time.Minute,
				[]string{detect.CredentialGuessing, detect.BinaryDownload, detect.NewPeer, detect.Beacon, detect.MiraiScan, detect.AdminFanout, detect.StrangerVideo, usage.Separation, usage.SIMPeer}},
			parts: []string{Infect, Beacon, MiraiScan, StrangerVideo, MeterCompromise, SIMSwap},
		},
	}
}

// Attacks lists what Attack can do.
func Attacks() (out []AttackInfo) {
	for _, d := range definitions() {
		out = append(out, d.AttackInfo)
	}
	return out
}

func definitionOf(name string) (definition, bool) {
	for _, d := range definitions() {
		if d.Name == name {
			return d, true
		}
	}
	return definition{}, false
}

// scanOf is the kind of scan of an attack.
func scanOf(name string) string {
	if name == MiraiScan {
		return attack.Mirai
	}
	return attack.Unknown
}

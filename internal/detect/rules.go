package detect

import "github.com/ringwall/ringwall"

// Names of the rules; they are stable.
const (
	MiraiScan          = "mirai-scan"
	AdminFanout        = "admin-fanout"
	AnyFanout          = "any-fanout"
	VerticalScan       = "vertical-scan"
	NewPeer            = "new-peer"
	FailingBeacon      = "failing-beacon"
	Beacon             = "beacon"
	CredentialGuessing = "credential-guessing"
	BinaryDownload     = "binary-download"
	ARPSweep           = "arp-sweep"
	ICMPSweep          = "icmp-sweep"
	StrangerVideo      = "stranger-video"
	AddressSpoof       = "address-spoof"
	Flood              = "flood"
	RequestFlood       = "request-flood"
	ExploitAttempt     = "exploit-attempt"
	Mining             = "mining"
	PortMapping        = "port-mapping"
)

// ruleID indexes the state that the engine keeps per rule.
type ruleID uint8

const (
	ruleMirai ruleID = iota
	ruleAdmin
	ruleAny
	ruleVertical
	rulePeer
	ruleFailing
	ruleBeacon
	ruleGuess
	ruleDownload
	ruleARP
	ruleICMP
	ruleVideo
	ruleSpoof
	ruleFlood
	ruleRequests
	ruleExploit
	ruleMining
	rulePortMap
	ruleCount
)

// RuleInfo describes one rule.
type RuleInfo struct {
	Name   string
	Nature ringwall.Nature // the strongest that it claims
	Stage  ringwall.Stage
	Attack string // ATT&CK technique
	Title  string
	Why    string // what its threshold stands on
}

var rules = [ruleCount]RuleInfo{
	ruleMirai: {MiraiScan, ringwall.NatureAttack, ringwall.Propagation, "T1046",
		"Scan with the fingerprint of Mirai",
		"The scanner of Mirai and its offspring writes the address it tries into the TCP sequence number. By chance that happens once in 4 thousand million connections, so the first packet is proof."},
	ruleAdmin: {AdminFanout, ringwall.NatureAttack, ringwall.Propagation, "T1046",
		"Scan for administration services",
		"6 different targets without a name on ports for administration within a minute, or 20 within a day: no camera, meter or lock does that; a person at a keyboard does not reach 6 in a minute."},
	ruleAny: {AnyFanout, ringwall.NatureAttack, ringwall.Propagation, "T1046",
		"Scan of many targets",
		"12 different targets without a name that do not answer, within 10 seconds and on few ports, or 24 within a minute, or 64 whether they answer or not (of UDP twice as many). Honest programs call names; of those that do not, most are answered."},
	ruleVertical: {VerticalScan, ringwall.NatureAttack, ringwall.Propagation, "T1046",
		"Scan of the ports of one host",
		"12 different ports of one host, none of which was open, within a minute. Honest programs know the port they want."},
	rulePeer: {NewPeer, ringwall.NatureDeviation, ringwall.Command, "T1071",
		"Contact with a peer that the device never needed",
		"Measured against what the device was seen to need while it was learned; 5 new ones within a minute weigh more than one."},
	ruleFailing: {FailingBeacon, ringwall.NatureAttack, ringwall.Command, "T1071",
		"Keeps calling an address that does not answer",
		"6 calls in vain to the same bare Internet address and port, spread over 15 seconds or more, and none answered though the line works: a bot whose command server is gone. Honest devices call a name and look it up again."},
	ruleBeacon: {Beacon, ringwall.NatureDeviation, ringwall.Command, "T1071",
		"Calls a bare address at regular intervals",
		"8 calls to a bare, never learned Internet address whose intervals differ by less than a sixth."},
	ruleGuess: {CredentialGuessing, ringwall.NatureAttack, ringwall.Infection, "T1110.001",
		"Guessing of passwords",
		"8 short connections to one login service within 2 minutes, none of which went on to a session (SSH answers a session with more than 5,500 bytes); 5 for telnet, which no program uses by itself; or 5 refusals that were read in clear (telnet, FTP, HTTP and RTSP requests that carried another password than the last). A person gives up after three. Slow guessing by hand, 11 connections in 66 seconds, is found at the eighth."},
	ruleDownload: {BinaryDownload, ringwall.NatureAttack, ringwall.Infection, "T1105",
		"Program fetched from a bare address",
		"A small request to an address that no name led to, answered with an ELF or Windows program or a shell script. Vendors serve updates from names."},
	ruleARP: {ARPSweep, ringwall.NatureAttack, ringwall.Propagation, "T1018",
		"Sweep of the local network by address resolution",
		"16 different addresses asked for within a minute; a host that sends on packets of others (a gateway) is allowed six times as many."},
	ruleICMP: {ICMPSweep, ringwall.NatureAttack, ringwall.Propagation, "T1018",
		"Sweep by echo requests",
		"10 different hosts pinged within a minute; devices ping their gateway and a few public hosts."},
	ruleVideo: {StrangerVideo, ringwall.NatureAttack, ringwall.Action, "T1125",
		"Video opened by a stranger",
		"A host that the device was never seen to serve, or any host on the Internet, starts a video stream."},
	ruleSpoof: {AddressSpoof, ringwall.NatureNotice, ringwall.NoStage, "T1557",
		"Address used by another device",
		"The address of a known device with another MAC, or a known MAC with an address of the local network that is another's."},
	ruleFlood: {Flood, ringwall.NatureAttack, ringwall.Action, "T1498",
		"Flood of one target",
		"2,000 packets a second to one Internet target for two seconds, with hardly an answer. A camera sends video at less than 1,000, and its viewer answers."},
	ruleRequests: {RequestFlood, ringwall.NatureAttack, ringwall.Action, "T1499.002",
		"Flood of requests",
		"40 new connections a second to one Internet host that the device was not learned to need, for four seconds: a browser opens six and keeps them, a device one."},
	ruleExploit: {ExploitAttempt, ringwall.NatureAttack, ringwall.Infection, "T1190",
		"Command hidden in a request",
		"A request in clear whose target or body breaks out into a shell and calls a downloader, an interpreter or telnetd at once, or whose fields define a function (CVE-2014-6271). No form or program of a device says that."},
	ruleMining: {Mining, ringwall.NatureAttack, ringwall.Action, "T1496",
		"Mining for somebody",
		"The first words of a connection are those of a miner to its pool (Stratum, XMRig, Ethereum proxies). No camera says them; a miner inside TLS is not seen by this."},
	rulePortMap: {PortMapping, ringwall.NatureDeviation, ringwall.Infection, "T1133",
		"A port of the router is to be opened",
		"A request by UPnP, NAT-PMP or PCP to let the Internet reach the device. Cameras did so by factory setting for years, so it says what the device does, not who made it."},
}

// Rules describes all rules.
func Rules() []RuleInfo { return append([]RuleInfo(nil), rules[:]...) }

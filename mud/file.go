package mud

import (
	"net/netip"
	"time"
)

// File is one description.
type File struct {
	Version    int       // of the format; 1
	URL        string    // of this file: the device's MUD URL
	Signature  string    // URL of the detached CMS signature; "" = none named
	LastUpdate time.Time // UTC
	// CacheValidity is how long the file may be kept before its URL is asked
	// again: 1 to 168 hours, 48 when the file does not say (RFC 8520 section 3.5).
	CacheValidity time.Duration
	// Supported says that the manufacturer still cares for the device (section 3.6).
	Supported     bool
	SystemInfo    string
	Manufacturer  string // mfg-name
	Model         string // model-name
	Firmware      string // firmware-rev
	Software      string // software-rev
	Documentation string // URL
	Extensions    []string
	TLSProfiles   bool // RFC 9761: the description holds TLS profiles

	From []string // names of the access lists for what the device sends
	To   []string // … for what is sent to it
	ACLs []ACL

	// Notes say where the file departs from the standard and what was not
	// understood and left out without changing its meaning.
	Notes []string
	// Remarks are the same, for other languages.
	Remarks []Remark
}

// Remark is a note by a key (NoteKeys) and its parameters.
type Remark struct {
	Key    string
	Params map[string]string
	Text   string // in English
}

// Signed reports whether the file names a signature. Nothing is verified.
func (f *File) Signed() bool { return f.Signature != "" }

// Stale reports whether the file, fetched then, has to be fetched again.
func (f *File) Stale(fetched, now time.Time) bool { return now.Sub(fetched) >= f.CacheValidity }

// Family is the address family of an access list.
type Family uint8

// The families.
const (
	IPv4 Family = 4
	IPv6 Family = 6
)

// ACL is one access list.
type ACL struct {
	Name   string
	Family Family
	ACEs   []ACE
}

// Direction says which side begins a TCP connection.
type Direction string

// The directions (RFC 8520 section 8.2).
const (
	AnyDirection Direction = ""
	FromDevice   Direction = "from-device"
	ToDevice     Direction = "to-device"
)

// Action is what happens to a packet that matches.
type Action string

// The actions (RFC 8519 section 4.1).
const (
	Accept Action = "accept"
	Drop   Action = "drop"
	Reject Action = "reject"
)

// Ports is a range of ports, both ends in it. The zero value matches any.
type Ports struct{ Low, High uint16 }

// Any reports whether every port matches.
func (p Ports) Any() bool { return p == Ports{} || p == Ports{0, 65535} }

// Contains reports whether port matches.
func (p Ports) Contains(port uint16) bool { return p.Any() || p.Low <= port && port <= p.High }

// ICMP is a type and code of ICMP; -1 matches any.
type ICMP struct{ Type, Code int }

// Peer says with whom, in the words of RFC 8520 section 8.1. At most one of
// its kinds is set in a valid entry besides Net and Name; none means anybody.
type Peer struct {
	Manufacturer     string // hosts whose MUD URL has this authority
	SameManufacturer bool
	Model            string // devices with this MUD URL
	LocalNetworks    bool
	Controller       string // URI of a class of controllers that the site maps to hosts
	MyController     bool
}

// Anybody reports whether nothing is asked of the peer.
func (p Peer) Anybody() bool { return p == Peer{} }

// ACE is one entry of an access list. Source and destination are those of the
// packet, not of the device; Rules turns them round.
type ACE struct {
	Name      string
	Protocol  uint8 // IP protocol number; 0 = any
	Src, Dst  netip.Prefix
	SrcName   string // DNS name (RFC 8520 section 8.1, ietf-acldns)
	DstName   string
	SrcPorts  Ports
	DstPorts  Ports
	Direction Direction
	ICMP      *ICMP
	Peer      Peer
	TLS       []TLSProfile // the client profiles of RFC 9761
	Action    Action
}

// TLSProfile says how the device's TLS looks, so that another TLS can be told
// from it (RFC 9761 section 5). Numbers are IANA's.
type TLSProfile struct {
	Name       string
	Versions   []string // "tls12", "tls13", "dtls12", "dtls13"
	Ciphers    []uint16
	Extensions []uint16
	Groups     []uint16
	Signatures []uint16 // signature algorithms
	ALPN       []string
	PSK        []uint16 // pre-shared key exchange modes
	Pins       []string // SHA-256 of trusted subject public keys, base64
	Partial    bool     // holds members that are not kept here
}

// ACL returns the list of this name.
func (f *File) ACL(name string) (ACL, bool) {
	for _, a := range f.ACLs {
		if a.Name == name {
			return a, true
		}
	}
	return ACL{}, false
}

// Rule is one entry, seen from the device.
type Rule struct {
	List, Entry string
	Outbound    bool // the device sends; else somebody sends to it
	// Opens reports that the device begins: its connection, or a datagram of
	// a from-device list. A rule that does not open lets only answers pass.
	Opens    bool
	Family   Family
	Protocol uint8
	Net      netip.Prefix // of the other side; invalid = any
	Name     string       // DNS name of the other side
	Peer     Peer
	// Remote and Local are the ports of the other side and of the device.
	Remote, Local Ports
	ICMP          *ICMP
	TLS           []TLSProfile
	Action        Action
}

// Rules turns the lists that the policies name into rules seen from the
// device, in order, what the device sends first. Lists that no policy names
// do not count.
func (f *File) Rules() []Rule {
	var out []Rule
	add := func(names []string, outbound bool) {
		for _, name := range names {
			a, _ := f.ACL(name)
			for _, e := range a.ACEs {
				out = append(out, e.rule(a, outbound))
			}
		}
	}
	add(f.From, true)
	add(f.To, false)
	return out
}

func (e ACE) rule(a ACL, outbound bool) Rule {
	r := Rule{
		List: a.Name, Entry: e.Name, Outbound: outbound, Family: a.Family, Protocol: e.Protocol,
		Peer: e.Peer, ICMP: e.ICMP, TLS: e.TLS, Action: e.Action,
		Net: e.Src, Name: e.SrcName, Remote: e.SrcPorts, Local: e.DstPorts, Opens: e.Direction == FromDevice,
	}
	if outbound {
		r.Net, r.Name, r.Remote, r.Local = e.Dst, e.DstName, e.DstPorts, e.SrcPorts
		r.Opens = e.Direction != ToDevice
	}
	return r
}

// Service is one port on which the device says it answers.
type Service struct {
	Protocol uint8
	Ports    Ports
	Entry    string
}

// Services lists the ports of the device to which others may begin a
// connection, from entries of the to-device policy that allow it. A TCP entry
// without a direction allows both; a UDP entry has none, and counts only when it
// names the device's port and leaves the other side's open, since an answer to
// the device's own question looks the other way round.
func (f *File) Services() []Service {
	var out []Service
	seen := map[Service]bool{}
	for _, name := range f.To {
		a, _ := f.ACL(name)
		for _, e := range a.ACEs {
			if e.Action != Accept || e.DstPorts.Any() || e.Direction == FromDevice {
				continue
			}
			if e.Protocol != tcp && e.Protocol != udp || e.Protocol == udp && !e.SrcPorts.Any() {
				continue
			}
			s := Service{Protocol: e.Protocol, Ports: e.DstPorts}
			if !seen[s] {
				seen[s] = true
				s.Entry = e.Name
				out = append(out, s)
			}
		}
	}
	return out
}

const (
	tcp = 6
	udp = 17
)

package mudpolicy

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/api"
	"github.com/ringwall/ringwall/internal/policy"
	"github.com/ringwall/ringwall/mud"
)

// About is what a draft says of the device itself.
type About struct {
	URL          string // under which the description will be found; https
	Signature    string // of its signature; "" = it is not signed
	SystemInfo   string
	Manufacturer string
	Model        string
	Firmware     string
	Updated      time.Time
}

// Draft returns the description that says what the terms say, and notes on what
// it cannot say: a description knows no single device, no times, no limits, no
// programs, and nothing inside flows but TLS. What allows under such a condition
// is left out, as are names with wildcards. For terms about one device it names
// my-controller, which the site fills.
//
// A manufacturer, or whoever answers for the device, reads and signs it; terms
// that were learned from one site are where it begins, not what is true of every
// device.
func Draft(terms []api.Term, a About) (*mud.File, []string, error) {
	f := &mud.File{
		Version: 1, URL: a.URL, Signature: a.Signature, LastUpdate: a.Updated.UTC().Truncate(time.Second), CacheValidity: 48 * time.Hour, Supported: true,
		SystemInfo: a.SystemInfo, Manufacturer: a.Manufacturer, Model: a.Model, Firmware: a.Firmware,
	}
	d := drafter{lists: map[string]*mud.ACL{}}
	terms = slices.Clone(terms)
	// The first entry that matches decides: what is denied stands first.
	slices.SortStableFunc(terms, func(a, b api.Term) int { return cmp.Compare(rank(a), rank(b)) })
	for i := range terms {
		if err := policy.Check(terms[i]); err != nil {
			return nil, nil, err
		}
		d.term(&terms[i])
	}
	for _, name := range []string{"from-ipv4", "from-ipv6", "to-ipv4", "to-ipv6"} {
		l := d.lists[name]
		if l == nil {
			continue
		}
		f.ACLs = append(f.ACLs, *l)
		if strings.HasPrefix(name, "from") {
			f.From = append(f.From, name)
		} else {
			f.To = append(f.To, name)
		}
	}
	f.TLSProfiles = d.tls
	if _, err := mud.Write(f); err != nil {
		return nil, nil, ringwall.Errorf(ringwall.Invalid, "the terms make no description: %w", err)
	}
	return f, d.notes, nil
}

func rank(t api.Term) int {
	if t.Action == api.Deny {
		return 0
	}
	return 1
}

type drafter struct {
	lists map[string]*mud.ACL
	names map[string]bool
	notes []string
	tls   bool
}

func (d *drafter) note(t *api.Term, format string, args ...any) {
	if len(d.notes) < 256 {
		d.notes = append(d.notes, fmt.Sprintf("term %q: ", t.ID)+fmt.Sprintf(format, args...))
	}
}

// term adds the entries that say one term: one for each range of ports and
// protocol, in both directions.
func (d *drafter) term(t *api.Term) {
	deny := t.Action == api.Deny
	e := mud.ACE{Action: mud.Accept}
	if deny {
		e.Action = mud.Drop
	}
	switch {
	case t.Window != nil || t.Who != nil || t.Limit != nil || t.Private:
		d.note(t, "a description has no window, limit, program or private names; it is left out")
		return
	case t.Inside != nil && (deny || t.Inside.Proto != "tls" || t.Proto != "tcp" || len(t.Inside.Hosts) > 0 || t.Inside.NameOptional || t.Inside.MinTLS == ""):
		d.note(t, "a description says nothing of what stands inside but the versions of TLS; it is left out")
		return
	case t.Gateway:
		d.note(t, "a description knows no gateway; it is left out")
		return
	case strings.HasPrefix(t.Domain, "*."):
		d.note(t, "a description has no wildcards; it is left out")
		return
	case t.Local:
		e.Peer.LocalNetworks = true
	case t.SameMaker:
		e.Peer.SameManufacturer = true
	case t.Controller == MyController:
		e.Peer.MyController = true
	case t.Device != "":
		e.Peer.MyController = true
		d.note(t, "it is about one device, which a description calls my-controller")
	case strings.HasPrefix(t.Controller, "mud-model:"):
		e.Peer.Model = strings.TrimPrefix(t.Controller, "mud-model:")
	case strings.HasPrefix(t.Controller, "mud-maker:"):
		e.Peer.Manufacturer = strings.TrimPrefix(t.Controller, "mud-maker:")
	case t.Controller != "":
		e.Peer.Controller = t.Controller
	}
	if t.Inside != nil {
		p := mud.TLSProfile{Name: "tls", Versions: []string{"tls13"}}
		if t.Inside.MinTLS == "1.2" {
			p.Versions = []string{"tls12", "tls13"}
		}
		e.TLS, d.tls = []mud.TLSProfile{p}, true
	}
	protos := map[string][]uint8{"tcp": {6}, "udp": {17}, "icmp": {1}, "any": {0}}[t.Proto]
	if t.Proto == "any" && len(t.Ports) > 0 {
		protos = []uint8{6, 17}
	}
	ports := t.Ports
	if len(ports) == 0 {
		ports = []api.PortRange{{}}
	}
	families := []mud.Family{mud.IPv4}
	if t.CIDR.IsValid() && t.CIDR.Addr().Is6() {
		families = []mud.Family{mud.IPv6}
	}
	for _, fam := range families {
		for _, proto := range protos {
			for _, r := range ports {
				d.entries(t, e, fam, proto, mud.Ports{Low: r.First, High: r.Last})
			}
		}
	}
}

// entries adds the entry for what opens a flow and, where it allows, that for
// the answers.
func (d *drafter) entries(t *api.Term, e mud.ACE, fam mud.Family, proto uint8, ports mud.Ports) {
	if e.Protocol = proto; fam == mud.IPv6 && proto == 1 {
		e.Protocol = 58
	}
	if proto == 6 || proto == 17 {
		if ports == (mud.Ports{}) && len(t.Ports) > 0 {
			d.note(t, "port 0 cannot be said; it is left out")
			return
		}
		if ports.Low == 0 && ports.High != 0 && ports.High != 0xffff {
			ports.Low = 1
		}
	}
	there, back := e, e
	back.TLS = nil
	there.Dst, there.DstName, there.DstPorts = t.CIDR, t.Domain, ports
	back.Src, back.SrcName, back.SrcPorts = t.CIDR, t.Domain, ports
	first, second := "from", "to"
	direction := mud.FromDevice
	if t.Direction == api.ToDevice {
		there, back = back, there
		there.TLS, back.TLS = e.TLS, nil
		// Seen from the device the ports are its own.
		there.SrcPorts, there.DstPorts, back.SrcPorts, back.DstPorts = mud.Ports{}, ports, ports, mud.Ports{}
		first, second, direction = "to", "from", mud.ToDevice
	}
	if proto == 6 {
		there.Direction, back.Direction = direction, direction
	}
	d.add(first, fam, t.ID, there)
	if e.Action == mud.Accept && (proto == 6 || proto == 17) && !ports.Any() {
		d.add(second, fam, t.ID+"/answers", back)
	}
}

func (d *drafter) add(way string, fam mud.Family, name string, e mud.ACE) {
	list := way + "-ipv4"
	if fam == mud.IPv6 {
		list = way + "-ipv6"
	}
	l := d.lists[list]
	if l == nil {
		l = &mud.ACL{Name: list, Family: fam}
		d.lists[list] = l
	}
	if d.names == nil {
		d.names = map[string]bool{}
	}
	if len(name) > 200 {
		name = name[:200]
	}
	e.Name = name
	for n := 2; d.names[list+"\x00"+e.Name]; n++ {
		e.Name = name + "/" + strconv.Itoa(n)
	}
	d.names[list+"\x00"+e.Name] = true
	l.ACEs = append(l.ACEs, e)
}

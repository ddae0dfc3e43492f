package mud

import (
	"encoding/json"
	"maps"
	"strings"
	"time"

	"github.com/ringwall/ringwall"
)

// Write returns the description as a JSON file, in the form of the standards,
// with two spaces of indent and a line break at the end. The same description
// gives the same bytes. What Parse would refuse, Write refuses too; Notes are
// not written.
func Write(f *File) ([]byte, error) {
	m := object{
		"mud-version": 1, "mud-url": f.URL, "last-update": f.LastUpdate.UTC().Format(time.RFC3339),
		"cache-validity": int(f.CacheValidity / time.Hour), "is-supported": f.Supported,
	}
	m.text("mud-signature", f.Signature)
	m.text("systeminfo", f.SystemInfo)
	m.text("mfg-name", f.Manufacturer)
	m.text("model-name", f.Model)
	m.text("firmware-rev", f.Firmware)
	m.text("software-rev", f.Software)
	m.text("documentation", f.Documentation)
	if len(f.Extensions) > 0 {
		m["extensions"] = f.Extensions
	}
	if f.TLSProfiles {
		m["ietf-mud-tls:is-tls-dtls-profile-supported"] = true
	}
	for name, lists := range map[string][]string{"from-device-policy": f.From, "to-device-policy": f.To} {
		if len(lists) > 0 {
			var refs []object
			for _, l := range lists {
				refs = append(refs, object{"name": l})
			}
			m[name] = object{"access-lists": object{"access-list": refs}}
		}
	}
	doc := object{"ietf-mud:mud": m}
	if len(f.ACLs) > 0 {
		var lists []object
		for _, a := range f.ACLs {
			lists = append(lists, a.object())
		}
		doc["ietf-access-control-list:acls"] = object{"acl": lists}
	}
	b, err := json.MarshalIndent(doc, "", "  ")
	if err != nil {
		return nil, ringwall.Errorf(ringwall.Internal, "mud: writing: %w", err)
	}
	b = append(b, '\n')
	if _, err := Parse(b); err != nil {
		return nil, ringwall.Errorf(ringwall.Invalid, "the description cannot be written: %v", err)
	}
	return b, nil
}

// object is a JSON object; encoding/json sorts its names.
type object map[string]any

func (o object) text(name, s string) {
	if s != "" {
		o[name] = s
	}
}

// put adds a member that is not empty itself.
func (o object) put(name string, inner object) {
	if len(inner) > 0 {
		o[name] = inner
	}
}

func (a ACL) object() object {
	kind, version := "ipv4-acl-type", "ipv4"
	if a.Family == IPv6 {
		kind, version = "ipv6-acl-type", "ipv6"
	}
	var aces []object
	for _, e := range a.ACEs {
		aces = append(aces, object{"name": e.Name, "matches": e.object(version), "actions": object{"forwarding": string(e.Action)}})
	}
	o := object{"name": a.Name, "type": kind}
	if len(aces) > 0 {
		o["aces"] = object{"ace": aces}
	}
	return o
}

func (e ACE) object(version string) object {
	ip := object{}
	if e.Protocol != 0 {
		ip["protocol"] = int(e.Protocol)
	}
	if e.Dst.IsValid() {
		ip["destination-"+version+"-network"] = e.Dst.String()
	}
	if e.Src.IsValid() {
		ip["source-"+version+"-network"] = e.Src.String()
	}
	ip.text("ietf-acldns:dst-dnsname", e.DstName)
	ip.text("ietf-acldns:src-dnsname", e.SrcName)
	m := object{}
	m.put(version, ip)

	ports := object{}
	ports.put("source-port", e.SrcPorts.object())
	ports.put("destination-port", e.DstPorts.object())
	switch e.Protocol {
	case tcp:
		ports.text("ietf-mud:direction-initiated", string(e.Direction))
		m.put("tcp", ports)
	case udp:
		m.put("udp", ports)
	}
	if e.ICMP != nil {
		icmp := object{}
		if e.ICMP.Type >= 0 {
			icmp["type"] = e.ICMP.Type
		}
		if e.ICMP.Code >= 0 {
			icmp["code"] = e.ICMP.Code
		}
		m["icmp"] = icmp
	}
	m.put("ietf-mud:mud", e.Peer.object())
	if len(e.TLS) > 0 {
		var all []object
		for _, t := range e.TLS {
			all = append(all, t.object())
		}
		m["ietf-acl-tls:client-profiles"] = object{"tls-dtls-profile": all}
	}
	return m
}

func (p Ports) object() object {
	switch {
	case p.Any():
		return nil
	case p.Low == p.High:
		return object{"operator": "eq", "port": int(p.Low)}
	}
	return object{"lower-port": int(p.Low), "upper-port": int(p.High)}
}

func (p Peer) object() object {
	o := object{}
	for name, set := range map[string]bool{"same-manufacturer": p.SameManufacturer, "local-networks": p.LocalNetworks, "my-controller": p.MyController} {
		if set {
			o[name] = []any{nil}
		}
	}
	o.text("manufacturer", p.Manufacturer)
	o.text("model", p.Model)
	o.text("controller", p.Controller)
	return o
}

func (t TLSProfile) object() object {
	o := object{}
	for _, kind := range []string{"tls", "dtls"} {
		var versions []string
		for _, v := range t.Versions {
			if strings.HasPrefix(v, kind) {
				versions = append(versions, v)
			}
		}
		if len(versions) > 0 {
			o["supported-"+kind+"-version"] = versions
		}
	}
	o.text("name", t.Name)
	lists := map[string][]uint16{
		"cipher-suite": t.Ciphers, "extension-type": t.Extensions, "supported-group": t.Groups,
		"signature-algorithm": t.Signatures, "psk-key-exchange-mode": t.PSK,
	}
	maps.DeleteFunc(lists, func(_ string, l []uint16) bool { return len(l) == 0 })
	for name, l := range lists {
		o[name] = l
	}
	if len(t.ALPN) > 0 {
		o["application-protocol"] = t.ALPN
	}
	if len(t.Pins) > 0 {
		o["spki"] = object{"spki-pin-set": t.Pins}
	}
	return o
}

package declare

import (
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/api"
	"github.com/ringwall/ringwall/mud"
)

// maxServices bounds the services that a range of ports stands for.
const maxServices = 256

// FromMUD returns what a usage description says: the services that the device
// offers, the peers it needs, and that it is still supported. Its signature is
// not checked here.
func FromMUD(f *mud.File, digest, who string, at time.Time) (api.Examination, error) {
	x, err := newExaminer(who, digest, f.LastUpdate, time.Time{}, at)
	if err != nil {
		return api.Examination{}, err
	}
	x.exam.Identity = api.Identity{Vendor: f.Manufacturer, Model: f.Model, Firmware: f.Firmware}
	if x.exam.Identity.Model == "" {
		x.exam.Identity.Model = f.SystemInfo
	}
	x.exam.Notes = append(x.exam.Notes, f.Notes...)
	if f.Signed() {
		x.exam.Notes = append(x.exam.Notes, "the description names a signature at "+f.Signature+", which was not checked")
	} else {
		x.exam.Notes = append(x.exam.Notes, "the description names no signature")
	}
	x.services(f)
	if len(f.From) > 0 {
		x.peers(f)
	}
	if !f.Supported {
		x.say("FS-12", ringwall.Fail, nil, "is-supported = false: the manufacturer no longer cares for the device")
	}
	return x.done(), nil
}

func (x *examiner) services(f *mud.File) {
	if len(f.To) == 0 {
		return
	}
	for _, s := range f.Services() {
		proto := "tcp"
		if s.Protocol == 17 {
			proto = "udp"
		}
		for p := int(s.Ports.Low); p <= int(s.Ports.High); p++ {
			if len(x.exam.Services) == maxServices {
				x.exam.Notes = append(x.exam.Notes, "more than "+strconv.Itoa(maxServices)+" ports are declared; the rest was left out")
				break
			}
			x.exam.Services = append(x.exam.Services, api.Service{Proto: proto, Port: uint16(p), Info: s.Entry})
		}
	}
	sortServices(x.exam.Services)
	o := ringwall.Pass
	if len(x.exam.Services) == maxServices {
		o = ringwall.Partial
	}
	x.say("CO-01", o, map[string]string{FactServices: "true"}, strconv.Itoa(len(x.exam.Services))+" ports are declared in to-device-policy")
}

// peers judges how well the description says whom the device talks to.
func (x *examiner) peers(f *mud.File) {
	var named, open []string
	for _, r := range f.Rules() {
		if !r.Outbound || !r.Opens || r.Action != mud.Accept {
			continue
		}
		switch p := peer(r); {
		case p == "":
			open = append(open, "entry "+r.Entry+" allows any destination")
		case !slices.Contains(named, p):
			named = append(named, p)
		}
	}
	slices.Sort(named)
	facts := map[string]string{FactPeers: strings.Join(named[:min(len(named), 64)], ",")}
	switch {
	case len(open) == 0:
		x.say("CO-11", ringwall.Pass, facts, "from-device-policy names every destination: "+strconv.Itoa(len(named)))
	case len(named) == 0:
		x.say("CO-11", ringwall.Fail, facts, open[:min(len(open), 8)]...)
	default:
		x.say("CO-11", ringwall.Partial, facts, open[:min(len(open), 8)]...)
	}
}

func peer(r mud.Rule) string {
	switch p := r.Peer; {
	case r.Name != "":
		return r.Name
	case r.Net.IsValid() && r.Net.Bits() > 0:
		return r.Net.String()
	case p.Manufacturer != "":
		return "manufacturer:" + p.Manufacturer
	case p.SameManufacturer:
		return "same-manufacturer"
	case p.Model != "":
		return "model:" + p.Model
	case p.LocalNetworks:
		return "local-networks"
	case p.Controller != "":
		return "controller:" + p.Controller
	case p.MyController:
		return "my-controller"
	}
	return ""
}

package policy

import (
	"cmp"
	"slices"
	"strconv"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/api"
)

// Narrow returns the document as a gateway of an older protocol version may have
// it: it says nothing that such a gateway would read over, and allows no flow
// that d does not allow at every moment. What cannot be said is closed:
//
//   - terms that allow with inside, who, a window or a limit, and all that a
//     device with a limit of its own may do, are left out,
//   - terms that deny so deny always, to everybody and whatever stands inside,
//   - controllers and makers are written out as the ends that they are,
//   - services of the gateway, IPv6 and devices that are bound to a SIM alone
//     are left out.
//
// What such a gateway cannot do at all, it does not do: it enforces a document
// for as long as it has no other, and looks up as many names as it likes.
func Narrow(d api.Desired, version int) api.Desired {
	if version >= 2 {
		return d
	}
	site := SiteOf(&d)
	out := d
	out.Version = 1
	out.Controllers, out.Zones, out.SubscriberSalt, out.Tunnels, out.MaxAge, out.Confirm = nil, nil, nil, nil, 0, 0
	out.Remediation = narrowTerms(d.Remediation, &site, nil, "")
	out.Devices = nil
	for _, dev := range d.Devices {
		if dev.Binding.MAC == "" {
			continue
		}
		dev.Terms = narrowTerms(dev.Terms, &site, d.Devices, dev.Maker)
		if dev.Limit != nil {
			dev.Terms = slices.DeleteFunc(dev.Terms, func(t api.Term) bool { return t.Action != api.Deny })
		}
		if len(dev.Terms) > MaxTerms { // such a gateway would refuse all of the document
			dev.Terms = nil
		}
		dev.Binding.Subscriber = ""
		dev.Maker, dev.IP6, dev.Limit, dev.Fail, dev.Lookups, dev.Leaves = "", nil, nil, "", 0, nil
		out.Devices = append(out.Devices, dev)
	}
	return out
}

func narrowTerms(terms []api.Term, site *Site, devices []api.DevicePolicy, maker string) []api.Term {
	var out []api.Term
	for _, t := range terms {
		if t.Action != api.Deny && (t.Inside != nil || t.Who != nil || t.Window != nil || t.Limit != nil) || t.Gateway {
			continue
		}
		t.Inside, t.Who, t.Window, t.Limit, t.Private = nil, nil, nil, nil, false
		if t.Controller == "" && !t.SameMaker {
			out = append(out, t)
			continue
		}
		out = append(out, spellOut(t, site, devices, maker)...)
	}
	return out
}

// spellOut returns a term about a role or a maker as terms about the ends that
// it stands for, in a fixed order.
func spellOut(t api.Term, site *Site, devices []api.DevicePolicy, maker string) []api.Term {
	var out []api.Term
	role, same := t.Controller, t.SameMaker
	t.Controller, t.SameMaker = "", false
	add := func(u api.Term) {
		u.ID = t.ID + "/" + strconv.Itoa(len(out)+1)
		out = append(out, u)
	}
	device := func(id ringwall.DeviceID) {
		u := t
		u.Device = id
		add(u)
	}
	if same && maker != "" {
		var ids []ringwall.DeviceID
		for i := range devices {
			if devices[i].Maker == maker {
				ids = append(ids, devices[i].Device)
			}
		}
		slices.SortFunc(ids, func(a, b ringwall.DeviceID) int { return cmp.Compare(a, b) })
		for _, id := range ids {
			device(id)
		}
	}
	for i := range site.Controllers {
		c := &site.Controllers[i]
		if role == "" || c.Role != role {
			continue
		}
		for _, n := range c.Nets {
			u := t
			u.CIDR = n
			add(u)
		}
		for _, id := range c.Devices {
			if id != "" {
				device(id)
			}
		}
		for _, n := range c.Domains {
			u := t
			if u.Domain = n; t.Direction == api.FromDevice {
				add(u)
			}
		}
	}
	return out
}

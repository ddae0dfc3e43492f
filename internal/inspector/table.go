package inspector

import (
	"net/netip"
	"slices"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/internal/policy"
	"github.com/ringwall/ringwall/internal/resolved"
)

// table is a policy ready to be asked.
type table struct {
	generation uint64
	local      []netip.Prefix
	byIP       map[netip.Addr]*party
}

// party is one device.
type party struct {
	id       ringwall.DeviceID
	key      uint64
	mark     uint32
	restrict ringwall.Restriction
	judge    *policy.Judge // nil = nothing of it is to come here
}

func loadTable(data []byte) (*table, error) {
	p, err := parsePolicy(data)
	if err != nil {
		return nil, err
	}
	return newTable(*p), nil
}

func newTable(p Policy) *table {
	t := &table{generation: p.Generation, local: p.Local, byIP: make(map[netip.Addr]*party, len(p.Devices))}
	site := policy.Site{Remediation: p.Remediation, Controllers: p.Controllers, Zones: p.Zones, Stale: p.Stale, Makers: map[ringwall.DeviceID]string{}}
	for i := range p.Devices {
		if m := p.Devices[i].Policy.Maker; m != "" {
			site.Makers[p.Devices[i].Policy.Device] = m
		}
	}
	for i := range p.Devices {
		d := &p.Devices[i]
		x := &party{id: d.Policy.Device, key: resolved.KeyOf(d.Policy.Device), mark: d.Mark, restrict: d.Restrict}
		if d.Judged {
			x.judge = policy.NewJudge(d.Policy, site)
		}
		for _, ip := range append([]netip.Addr{d.IP}, d.Policy.IP6...) {
			if ip.IsValid() {
				t.byIP[ip.Unmap()] = x
			}
		}
	}
	return t
}

// inside reports whether an address is of the house.
func (t *table) inside(a netip.Addr) bool {
	return slices.ContainsFunc(t.local, func(n netip.Prefix) bool { return n.Contains(a) })
}

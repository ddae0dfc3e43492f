package dnsguard

import (
	"cmp"
	"net/netip"
	"slices"
	"sync"

	"github.com/ringwall/ringwall/api"
)

// maxReports bounds the decisions that are gathered before they are told. When
// there are more kinds than that, those that come last are told without name.
const maxReports = 1024

// reports gathers decisions and tells each kind once with its count.
type reports struct {
	tell func(api.DNSReport)

	mu   sync.Mutex
	kind map[reportKey]*api.DNSReport
}

type reportKey struct{ device, name, qtype, verdict, reason string }

func (r *reports) add(x api.DNSReport) {
	if r.tell == nil {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.kind == nil {
		r.kind = map[reportKey]*api.DNSReport{}
	}
	k := reportKey{string(x.Device), x.Name, x.Type, x.Verdict, x.Reason}
	if len(r.kind) >= maxReports && r.kind[k] == nil {
		x.Name, x.Addrs, x.Chain = "", nil, nil
		k.name = ""
	}
	have := r.kind[k]
	if have == nil {
		x.Count = 0
		have = &x
		have.Addrs, have.Chain = slices.Clone(x.Addrs), slices.Clone(x.Chain)
		r.kind[k] = have
	} else {
		for _, a := range x.Addrs {
			if len(have.Addrs) < MaxAddrs && !slices.Contains(have.Addrs, a) {
				have.Addrs = append(have.Addrs, a)
			}
		}
	}
	have.Count++
}

// flush tells what was gathered.
func (r *reports) flush() {
	r.mu.Lock()
	kinds := r.kind
	r.kind = nil
	r.mu.Unlock()
	list := make([]*api.DNSReport, 0, len(kinds))
	for _, x := range kinds {
		slices.SortFunc(x.Addrs, func(a, b netip.Addr) int { return a.Compare(b) })
		list = append(list, x)
	}
	slices.SortFunc(list, func(a, b *api.DNSReport) int {
		return cmp.Or(cmp.Compare(a.Device, b.Device), cmp.Compare(a.Name, b.Name), cmp.Compare(a.Type, b.Type), cmp.Compare(a.Verdict, b.Verdict), cmp.Compare(a.Reason, b.Reason))
	})
	for _, x := range list {
		r.tell(*x)
	}
}

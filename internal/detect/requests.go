package detect

import (
	"time"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/internal/packet"
)

const (
	// requestRate in connections a second to one host, for requestSeconds in a
	// row: a flood of requests, answered or not.
	requestRate    = 40
	requestSeconds = 4
)

// requestTry counts the connections that a device opens to one host of the
// Internet. It does not ask whether a name led there: who floods a web site
// looks it up like anybody.
func (e *Engine) requestTry(a *attempt) {
	if !a.src.local || !a.outside || a.proto != packet.ProtoTCP || a.needed {
		return
	}
	x := e.pairs.get(e.hash.ordered(a.src.key, a.dst.key, 4), rankOf(&a.src), a.now)
	if x == nil {
		return
	}
	second := a.now / int64(time.Second)
	if second != x.rateAt {
		if x.rate < requestRate || second-x.rateAt > 1 {
			x.hot = 0
		}
		x.rateAt, x.rate = second, 0
	}
	x.last = a.now
	if x.rate++; x.rate != requestRate {
		return
	}
	if x.hot++; x.hot < requestSeconds || !e.fresh(ruleRequests, &a.src, a.dst.key, hour, a.now) {
		return
	}
	e.tell(statement{
		rule: ruleRequests, nature: ringwall.NatureAttack, severity: ringwall.Critical, stage: ringwall.Action, role: roleSource,
		title: "The device floods a host with requests", subject: a.src, peer: a.dst.addr, at: a.now, first: a.now - int64(requestSeconds*time.Second),
		count: requestRate * requestSeconds, packets: []uint64{a.num},
		facts: map[string]string{"target": a.dst.addr.String(), "port": itoa(a.dport), "rate": itoa(requestRate) + "/s or more"},
	}, a.dst.addr.String(), hour)
}

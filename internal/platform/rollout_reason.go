package platform

import (
	"maps"
	"strconv"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/api"
	"github.com/ringwall/ringwall/internal/incident"
)

// rolloutReasons holds the English of why a rollout stopped; pages translate by
// key. It is never written to.
var rolloutReasons = map[string]string{
	"rolloutwhy.gone":    "what it was to change is not there any more",
	"rolloutwhy.hand":    "by hand",
	"rolloutwhy.refused": "gateway {gateway} refused the document: {reason}",
	"rolloutwhy.back":    "gateway {gateway} went back to the document before",
	"rolloutwhy.broken":  "{device} was refused {other} {service}, which {term} allowed before[, and {more} more]",
	"rolloutwhy.shadow":  "{device} was refused {other} {service}, of which mode shadow had not told[, and {more} more]",
}

// RolloutReasons returns the English text of every reason's key, for translation.
func RolloutReasons() map[string]string {
	return maps.Clone(rolloutReasons)
}

func rolloutReason(key string, params map[string]string) api.Said {
	return api.Said{Key: key, Params: params, Text: clip(incident.Render(rolloutReasons[key], params), maxSaid)}
}

// keyed is what a program in another language needs of a reason; nil for one that
// a person wrote.
func keyed(s api.Said) *api.Said {
	if s.Key == "" {
		return nil
	}
	return &s
}

func rolloutGone() api.Said { return rolloutReason("rolloutwhy.gone", nil) }

// gatewayTrouble tells of a gateway that refused the stage, or went back from it.
func gatewayTrouble(r api.Rollout, gateways map[ringwall.GatewayID]api.Gateway) api.Said {
	for _, id := range sortedKeys(gateways) {
		switch g := gateways[id]; {
		case g.LastError != "" && g.InForce < r.Wanted[id]:
			return rolloutReason("rolloutwhy.refused", map[string]string{"gateway": g.Name, "reason": g.LastError})
		case g.RolledBack.After(r.Begun):
			return rolloutReason("rolloutwhy.back", map[string]string{"gateway": g.Name})
		}
	}
	return api.Said{}
}

// brokenReason says in a line what broke.
func brokenReason(broken []api.RolloutBreak) api.Said {
	b := broken[0]
	other := b.Flow.Name
	if other == "" {
		other = b.Flow.Remote.Addr().String()
	}
	port := b.Flow.Remote.Port()
	if b.Flow.Direction == api.ToDevice {
		port = b.Flow.Local.Port()
	}
	p := map[string]string{"device": b.Name, "other": other, "service": b.Flow.Proto + "/" + strconv.Itoa(int(port)), "term": b.Was}
	if n := len(broken) - 1; n > 0 {
		p["more"] = strconv.Itoa(n)
	}
	if b.Was == "shadow" {
		return rolloutReason("rolloutwhy.shadow", p)
	}
	return rolloutReason("rolloutwhy.broken", p)
}

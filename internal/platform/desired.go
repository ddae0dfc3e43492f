package platform

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"net/netip"
	"reflect"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/api"
	"github.com/ringwall/ringwall/internal/audit"
	"github.com/ringwall/ringwall/internal/detect"
	"github.com/ringwall/ringwall/internal/incident"
	"github.com/ringwall/ringwall/internal/policy"
	"github.com/ringwall/ringwall/internal/trust"
)

// composeGateway makes and signs the next generation of a gateway's desired
// state, unless it would say what the newest one says.
func (t *turn) composeGateway(gw ringwall.GatewayID) error {
	scope, err := t.as(audit.SysPolicy, audit.SystemPolicy)
	if err != nil {
		return err
	}
	d, err := t.desired(scope, gw)
	if err != nil {
		return err
	}
	digest, err := contentDigest(d)
	if err != nil {
		return err
	}
	_, generation, newest, err := t.tx.Desired(scope, gw)
	if err != nil && !isCode(err, ringwall.NotFound) {
		return err
	}
	if err == nil && newest == digest {
		return nil
	}
	d.Generation, d.Issued = generation+1, t.at
	signed, err := t.signer.Sign(d)
	if err != nil {
		return err
	}
	if err := t.tx.PutDesired(scope, gw, d.Generation, digest, signed); err != nil {
		return err
	}
	t.pokes[gw] = d.Generation
	return t.showTerms(scope, d)
}

// contentDigest hashes what a desired state says, without its number and time.
func contentDigest(d api.Desired) (string, error) {
	b, err := json.Marshal(d)
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:]), err
}

// desired gathers what a gateway has to enforce.
func (t *turn) desired(scope audit.Scope, gw ringwall.GatewayID) (api.Desired, error) {
	g, err := t.tx.Gateway(scope, gw)
	if err != nil {
		return api.Desired{}, err
	}
	d := api.Desired{
		Version: api.Version, Org: t.org, Gateway: gw, Arrival: g.Arrival, LocalNets: g.LocalNets, Remediation: g.Remediate,
		Devices: []api.DevicePolicy{}, Reflexes: reflexes(t.incident.Rules),
	}
	if g.Resolver != "" {
		if d.Resolver, err = netip.ParseAddrPort(g.Resolver); err != nil {
			return d, ringwall.Errorf(ringwall.Internal, "resolver of gateway %q: %w", gw, err)
		}
	}
	devices, marks, err := t.tx.DevicesBehind(scope, gw)
	if err != nil {
		return d, err
	}
	for i, dev := range devices {
		// A device that turned up elsewhere is not behind this gateway any more;
		// whoever shows its MAC here now is a stranger. One that is held is named
		// all the same: a gateway can hold only whom it knows, and nobody leaves
		// quarantine by going to another gateway.
		if !dev.Binding.IP.IsValid() || dev.Presence == ringwall.Moved && len(dev.Holds) == 0 {
			continue
		}
		p, err := t.devicePolicy(scope, dev, marks[i], g)
		if err != nil {
			return d, err
		}
		d.Devices = append(d.Devices, p)
	}
	if d.Tunnels, err = t.tunnelsOf(scope, gw); err != nil {
		return d, err
	}
	d.Holds, d.Releases, err = t.tx.HoldsOf(scope, gw, t.at)
	return d, err
}

func (t *turn) devicePolicy(scope audit.Scope, dev api.Device, mark uint32, g api.Gateway) (api.DevicePolicy, error) {
	learned, err := t.tx.Peers(scope, dev.ID)
	if err != nil {
		return api.DevicePolicy{}, err
	}
	owner, err := t.tx.Terms(scope, dev.ID)
	if err != nil {
		return api.DevicePolicy{}, err
	}
	terms := policy.Compose(policy.Input{
		Type: dev.Type, Trust: dev.Trust, Mode: dev.Mode, Learned: learned, Owner: owner, LocalNets: g.LocalNets, Remediation: g.Remediate,
	})
	mode := dev.Mode
	gate, err := t.gate(scope, dev)
	if err != nil {
		return api.DevicePolicy{}, err
	}
	if gate == trust.GateClosed {
		mode = ringwall.Enforce // nobody passes a closed gate because he is still being learned
	}
	return api.DevicePolicy{
		Device: dev.ID, Mark: mark, Binding: dev.Binding, Mode: mode, Trust: dev.Trust, Terms: terms, Learned: learned,
		Assessor: dev.Assessor,
	}, nil
}

// showTerms keeps with each device the terms that the new generation has for
// it, for people to read.
func (t *turn) showTerms(scope audit.Scope, d api.Desired) error {
	for _, p := range d.Devices {
		dev, err := t.tx.Device(scope, p.Device)
		if err != nil {
			return err
		}
		if len(dev.Terms) == len(p.Terms) && (len(p.Terms) == 0 || reflect.DeepEqual(dev.Terms, p.Terms)) {
			continue
		}
		if _, err := t.tx.UpdateDevice(scope, p.Device, func(dev *api.Device) error { dev.Terms = p.Terms; return nil }); err != nil {
			return err
		}
	}
	return nil
}

// reflexes turns the response rules that act on a device by themselves into
// what a gateway may do alone: one reflex for each detector whose alert by
// itself fulfils the rule. What takes more than one alert is for the platform.
func reflexes(rules []incident.Rule) []api.Reflex {
	if rules == nil {
		rules = incident.DefaultRules()
	}
	out := []api.Reflex{}
	for _, det := range detect.Rules() {
		for _, r := range rules {
			if r.Do != incident.Act || !fulfils(det, r) {
				continue
			}
			do := ringwall.Quarantine
			if r.Kind == incident.Cutoff {
				do = ringwall.Cutoff
			}
			out = append(out, api.Reflex{Rule: det.Name, Severity: max(r.Severity, ringwall.High), Do: do, Limit: r.Limit, Expiry: api.Duration(r.Expiry)})
			break
		}
	}
	return out
}

// fulfils reports whether one alert of a detector meets the conditions of a
// rule that restricts a device; its severity is judged on the gateway.
func fulfils(det detect.RuleInfo, r incident.Rule) bool {
	return det.Nature == ringwall.NatureAttack && det.Stage >= r.Stage &&
		(r.Alert == "" || r.Alert == det.Name) && (r.Kind == incident.Quarantine || r.Kind == incident.Cutoff)
}

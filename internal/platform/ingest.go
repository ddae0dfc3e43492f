package platform

import (
	"context"
	"encoding/json"
	"errors"
	"maps"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/api"
	"github.com/ringwall/ringwall/internal/audit"
	"github.com/ringwall/ringwall/internal/broker"
	"github.com/ringwall/ringwall/internal/segment"
	"github.com/ringwall/ringwall/internal/spine"
	"github.com/ringwall/ringwall/internal/sqlstore"
)

// Subjects on which gateways speak; the broker lets each use its own alone, so
// that the subject proves who speaks.
const (
	reportSubjects  = "rw.*.gw.*.report"
	desiredSubjects = "rw.*.gw.*.desired"
)

// scopeLife is how long one authorisation covers a gateway's reports: they come
// every second, and each authorisation is an entry in the record.
const scopeLife = 10 * time.Minute

// gatewayDesk answers gateways on the spine.
type gatewayDesk struct {
	*core
	segments *segment.Store

	mu        sync.Mutex
	scopes    map[deskKey]audit.Scope
	protocols map[ringwall.GatewayID]int // that each was last heard to speak
	forgotten uint64                     // grows when scopes are taken back
}

// maxScopes bounds the scopes that are kept: two for each of 100,000 gateways.
const maxScopes = 200_000

// forget takes back what a gateway was let in for; its next word is judged anew.
func (d *gatewayDesk) forget(gw ringwall.GatewayID) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.forgotten++
	maps.DeleteFunc(d.scopes, func(k deskKey, _ audit.Scope) bool { return k.gw == gw })
}

type deskKey struct {
	org ringwall.OrgID
	gw  ringwall.GatewayID
	act audit.Act
}

// serve answers on conn until stop is called.
func (d *gatewayDesk) serve(conn *spine.Conn) (stop func(), err error) {
	var stops []func()
	var aside beside
	ctx, cancel := context.WithCancel(context.Background())
	stop = func() {
		for _, s := range stops {
			s()
		}
		cancel()
		aside.close()
	}
	desired, err := conn.Serve(desiredSubjects, d.desired)
	if err != nil {
		cancel()
		return nil, err
	}
	stops = append(stops, desired)
	reports, err := conn.Receive(reportSubjects, d.receiver(ctx, &aside))
	if err != nil {
		stop()
		return nil, err
	}
	stops = append(stops, reports)
	return stop, nil
}

// speaker reads who speaks from a subject rw.<org>.gw.<gateway>.<what>.
func speaker(subject string) (org ringwall.OrgID, gw ringwall.GatewayID, err error) {
	part := strings.Split(subject, ".")
	if len(part) != 5 || !ringwall.ValidID(ringwall.PrefixOrg, part[1]) || !ringwall.ValidID(ringwall.PrefixGateway, part[3]) {
		return "", "", ringwall.Errorf(ringwall.Invalid, "subject %.80q names no gateway", subject)
	}
	return ringwall.OrgID(part[1]), ringwall.GatewayID(part[3]), nil
}

// kept returns a scope that was given and still holds.
func (d *gatewayDesk) kept(key deskKey) (audit.Scope, bool) {
	d.mu.Lock()
	s, ok := d.scopes[key]
	d.mu.Unlock()
	old := d.now().Sub(s.At())
	return s, ok && old >= 0 && old < scopeLife
}

// scope returns a scope of the gateway itself, and that it is one of ours.
func (d *gatewayDesk) scope(ctx context.Context, org ringwall.OrgID, gw ringwall.GatewayID, act audit.Act) (audit.Scope, error) {
	key := deskKey{org, gw, act}
	if s, ok := d.kept(key); ok {
		return s, nil
	}
	s, err := d.auditor.Authorise(ctx, audit.Actor{Kind: audit.KindGateway, ID: string(gw), Org: org}, act, audit.Target{Kind: "gateway", ID: string(gw), Org: org})
	if err != nil {
		return s, err
	}
	d.mu.Lock()
	age := d.forgotten
	d.mu.Unlock()
	if err := d.store.View(ctx, func(tx *sqlstore.Tx) error {
		g, err := tx.Gateway(s, gw)
		if err == nil && !g.Revoked.IsZero() {
			return ringwall.Errorf(ringwall.Unverified, "gateway %q was revoked", gw)
		}
		return err
	}); err != nil {
		return audit.Scope{}, err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.forgotten != age {
		return s, nil // one was revoked meanwhile, maybe this: the next act asks again
	}
	if _, again := d.scopes[key]; !again && len(d.scopes) >= maxScopes { // those that have gone are forgotten with the rest
		clear(d.scopes)
	}
	d.scopes[key] = s
	return s, nil
}

// desired answers with a gateway's newest document, or that it has it.
func (d *gatewayDesk) desired(ctx context.Context, subject string, data []byte) []byte {
	a, err := d.newest(ctx, subject, data)
	if err != nil {
		d.log.Warn("desired state not given", "subject", subject, "cause", err)
		a = api.DesiredAnswer{Error: words(err)}
	}
	out := answer(a)
	if len(out) > broker.MaxPayload {
		d.log.Error("desired state is too large for the spine", "subject", subject, "bytes", len(out), "limit", broker.MaxPayload)
		return answer(api.DesiredAnswer{Error: "the desired state is too large for the spine"})
	}
	return out
}

func (d *gatewayDesk) newest(ctx context.Context, subject string, data []byte) (api.DesiredAnswer, error) {
	org, gw, err := speaker(subject)
	if err != nil {
		return api.DesiredAnswer{}, err
	}
	var req api.DesiredRequest
	if err := json.Unmarshal(data, &req); err != nil {
		return api.DesiredAnswer{}, ringwall.Errorf(ringwall.Invalid, "reading a request for the desired state: %w", err)
	}
	if req.Version < 1 || req.Version > api.Version {
		return api.DesiredAnswer{}, ringwall.Errorf(ringwall.Invalid, "protocol version %d is not spoken here, want 1 to %d", req.Version, api.Version)
	}
	scope, err := d.scope(ctx, org, gw, audit.GatewayDesired)
	if err != nil {
		return api.DesiredAnswer{}, err
	}
	if err := d.speaks(ctx, org, gw, req.Version); err != nil {
		return api.DesiredAnswer{}, err
	}
	out := api.DesiredAnswer{Time: d.now().UTC()}
	if req.CSR != "" {
		// A request that is refused does not keep the gateway from its document.
		if out.Renewed, err = d.renew(ctx, org, gw, req.CSR); err != nil {
			d.log.Warn("certificate not renewed", "gateway", gw, "cause", err)
		}
	}
	return out, d.store.View(ctx, func(tx *sqlstore.Tx) error {
		signed, generation, _, err := tx.Desired(scope, gw)
		switch {
		case isCode(err, ringwall.NotFound):
			return nil // none was made yet
		case err != nil:
			return err
		}
		// A gateway that claims a newer one than there is has been told by somebody
		// else, or our database was set back: it gets what is true, and refuses it.
		if generation != req.Have {
			out.Signed = &signed
		}
		return nil
	})
}

// speaks notes the protocol in which a gateway asks. When it is another than
// its document was made for, the document is made anew before it is given.
func (d *gatewayDesk) speaks(ctx context.Context, org ringwall.OrgID, gw ringwall.GatewayID, version int) error {
	d.hears.note(gw)
	d.mu.Lock()
	known := d.protocols[gw] == version
	d.mu.Unlock()
	if known {
		return nil
	}
	err := d.turn(ctx, org, func(t *turn) error {
		scope, err := t.as(audit.SysPolicy, audit.SystemPolicy)
		if err != nil {
			return err
		}
		g, err := t.tx.Gateway(scope, gw)
		if err != nil || g.Protocol == version {
			return err
		}
		if _, err := t.tx.UpdateGateway(scope, gw, func(g *api.Gateway) error { g.Protocol = version; return nil }); err != nil {
			return err
		}
		t.compose(gw)
		return nil
	})
	if err != nil {
		return err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if len(d.protocols) >= maxScopes {
		clear(d.protocols)
	}
	d.protocols[gw] = version
	return nil
}

// renew gives a gateway its next certificate, and what else it may have to know
// from then on. The old certificate stays good until it ends.
func (d *gatewayDesk) renew(ctx context.Context, org ringwall.OrgID, gw ringwall.GatewayID, csr string) (*api.EnrolAnswer, error) {
	// Each certificate is on record: no scope is kept for it.
	scope, err := d.auditor.Authorise(ctx, audit.Actor{Kind: audit.KindGateway, ID: string(gw), Org: org}, audit.GatewayRenew, audit.Target{Kind: "gateway", ID: string(gw), Org: org})
	if err != nil {
		return nil, err
	}
	cert, err := d.authority.SignGateway(org, gw, []byte(csr))
	if err != nil {
		return nil, err
	}
	if err := d.store.Update(ctx, func(tx *sqlstore.Tx) error { return tx.SetCertificate(scope, gw, cert.Serial, cert.Expires) }); err != nil {
		return nil, err
	}
	return &api.EnrolAnswer{
		Org: org, Gateway: gw, Certificate: string(cert.PEM), CA: string(d.authority.Certificate()), Spine: d.spineAddrs, SigningKeys: d.signer.Keys(), MQTT: d.mqtt.addrs,
	}, nil
}

// words returns what of an error may be told to a gateway.
func words(err error) string {
	if e, ok := errors.AsType[*ringwall.Error](err); ok {
		return e.Text
	}
	return "the platform failed"
}

func answer(v any) []byte {
	b, err := json.Marshal(v)
	if err != nil {
		panic("platform: an answer of plain values cannot be marshalled: " + err.Error())
	}
	return b
}

// poker returns what tells a gateway that there is a newer generation.
func poker(c *core, conn *spine.Conn) func(ringwall.OrgID, ringwall.GatewayID, uint64) {
	return func(org ringwall.OrgID, gw ringwall.GatewayID, generation uint64) {
		if err := conn.Publish(api.PokeSubject(org, gw), strconv.AppendUint(nil, generation, 10)); err != nil {
			c.log.Warn("gateway not poked; it asks by itself", "gateway", gw, "generation", generation, "cause", err)
		}
	}
}

package platform

import (
	"context"
	"crypto/ed25519"
	"crypto/x509"
	"errors"
	"log/slog"
	"maps"
	"slices"
	"sync/atomic"
	"time"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/internal/audit"
	"github.com/ringwall/ringwall/internal/identity"
	"github.com/ringwall/ringwall/internal/incident"
	"github.com/ringwall/ringwall/internal/registry"
	"github.com/ringwall/ringwall/internal/sqlstore"
	"github.com/ringwall/ringwall/internal/trust"
	"github.com/ringwall/ringwall/internal/vuln"
)

// core is what every part of the platform works with. Its fields do not change
// after New; its methods may be called concurrently.
type core struct {
	store   *sqlstore.Store
	auditor *audit.Auditor
	signer  *identity.Signer
	// evidenceKey seals what grades follow from.
	evidenceKey ed25519.PrivateKey
	// vulns is the vulnerability data in use; nil = what the program carries.
	vulns atomic.Pointer[vuln.Data]
	// authority signs gateways; spineAddrs is where they find the spine.
	authority  *identity.Authority
	spineAddrs []string
	mqtt       mqttDoor
	// mudRoots may vouch for signers of usage descriptions to every organisation.
	mudRoots []*x509.Certificate
	// tunnelDoor is what gateways are told of the platform's end of tunnels.
	tunnelDoor tunnelDoor
	log        *slog.Logger
	now        func() time.Time

	trust    trust.Config
	incident incident.Config
	registry registry.Config

	// poke tells a gateway that there is a newer generation. It may be lost:
	// gateways ask by themselves from time to time.
	poke func(org ringwall.OrgID, gw ringwall.GatewayID, generation uint64)
	// wakeOutbox and wakeResponder tell that there is something to do.
	wakeOutbox, wakeResponder func()
	later                     *later
	// hears knows which gateways speak now, whatever their clocks say.
	hears *hearing
}

// turn is one transaction, with what follows from it. Whatever changes a device
// says so by judge or compose; before the commit, trust is evaluated anew and
// desired states are composed anew, so that cause and consequence are one.
//
// A turn belongs to one goroutine and to one organisation.
type turn struct {
	*core
	ctx  context.Context
	tx   *sqlstore.Tx
	org  ringwall.OrgID
	at   time.Time
	keys map[scopeKey]audit.Scope

	judged   map[ringwall.DeviceID]string // device -> cause
	composed map[ringwall.GatewayID]bool

	pokes   map[ringwall.GatewayID]uint64
	respond bool
	placed  *placing // groups and rollouts, once read
}

type scopeKey struct {
	name audit.SystemName
	act  audit.Act
}

// turn runs f in a transaction, settles what follows from it, and once all is
// committed tells those who wait for it. When f fails nothing has happened.
func (c *core) turn(ctx context.Context, org ringwall.OrgID, f func(*turn) error) error {
	return c.turns(ctx, func(of func(ringwall.OrgID) *turn) error { return f(of(org)) })
}

// turns runs f in a transaction that concerns several organisations: of gives the
// turn of one, each settled by itself. When f fails nothing has happened to any.
func (c *core) turns(ctx context.Context, f func(of func(ringwall.OrgID) *turn) error) error {
	var all []*turn // in the order in which f asked for them
	err := c.store.Update(ctx, func(tx *sqlstore.Tx) error {
		all = nil
		at, by := c.now().UTC(), map[ringwall.OrgID]*turn{}
		if err := f(func(org ringwall.OrgID) *turn {
			if t := by[org]; t != nil {
				return t
			}
			t := &turn{
				core: c, ctx: ctx, tx: tx, org: org, at: at, keys: map[scopeKey]audit.Scope{},
				judged: map[ringwall.DeviceID]string{}, composed: map[ringwall.GatewayID]bool{}, pokes: map[ringwall.GatewayID]uint64{},
			}
			all, by[org] = append(all, t), t
			return t
		}); err != nil {
			return err
		}
		for _, t := range all {
			if err := t.settle(); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	c.wakeOutbox()
	respond := false
	for _, t := range all {
		for gw, generation := range t.pokes {
			c.poke(t.org, gw, generation)
		}
		respond = respond || t.respond
	}
	if respond {
		c.wakeResponder()
	}
	return nil
}

// as returns the scope in which a part of the platform does an act in this
// turn's organisation. It is authorised and recorded once a turn.
func (t *turn) as(name audit.SystemName, act audit.Act) (audit.Scope, error) {
	key := scopeKey{name, act}
	if s, ok := t.keys[key]; ok {
		return s, nil
	}
	s, err := t.auditor.Authorise(t.ctx, audit.System(name, t.org), act, audit.Target{Kind: "organisation", ID: string(t.org), Org: t.org})
	if err == nil {
		t.keys[key] = s
	}
	return s, err
}

// projector returns the scope of the part that turns reports into state.
func (t *turn) projector() (audit.Scope, error) { return t.as(audit.SysProject, audit.SystemProject) }

// tell keeps an event in this transaction, in the name of scope's actor.
func (t *turn) tell(scope audit.Scope, kind string, subject ringwall.Subject, cause string, n note) error {
	return t.tx.Emit(scope, event(kind, t.org, scope.Actor().String(), cause, subject, n, t.at))
}

// judge asks for the device's trust to be evaluated before the commit; cause is
// the id of what brought it about.
func (t *turn) judge(id ringwall.DeviceID, cause string) {
	if _, ok := t.judged[id]; !ok {
		t.judged[id] = cause
	}
}

// compose asks for the gateway's desired state to be composed anew.
func (t *turn) compose(gw ringwall.GatewayID) {
	if gw != "" {
		t.composed[gw] = true
	}
}

// settle evaluates trust, then composes. Neither asks for more of the other's
// kind, so one pass is enough. Order is fixed, for reproducible timelines.
func (t *turn) settle() error {
	for _, id := range slices.Sorted(maps.Keys(t.judged)) {
		if err := t.evaluate(id, t.judged[id]); err != nil {
			return err
		}
	}
	for _, gw := range slices.Sorted(maps.Keys(t.composed)) {
		if err := t.composeGateway(gw); err != nil {
			return err
		}
	}
	return nil
}

func deviceSubject(id ringwall.DeviceID) ringwall.Subject {
	return ringwall.Subject{Kind: ringwall.SubjectDevice, ID: string(id)}
}

// isCode reports whether err carries the code.
func isCode(err error, code ringwall.Code) bool {
	e, ok := errors.AsType[*ringwall.Error](err)
	return ok && e.Code == code
}

package platform

import (
	"context"
	"crypto/ed25519"
	"crypto/x509"
	"net"
	"time"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/api"
	"github.com/ringwall/ringwall/internal/audit"
	"github.com/ringwall/ringwall/internal/identity"
	"github.com/ringwall/ringwall/internal/mqttport"
	"github.com/ringwall/ringwall/internal/sqlstore"
)

// mqttDoor is the MQTT door, if there is one.
type mqttDoor struct {
	port  *mqttport.Port
	addrs []string // that terminals are given when they enrol
}

func (d *mqttDoor) close() {
	if d.port != nil {
		d.port.Close()
	}
}

// openMQTT opens the door at Config.MQTTListen. Terminals behind it are
// gateways before themselves: they enrol, report and are told what is desired
// as those on the spine are, by the same desk.
func (p *Platform) openMQTT() error {
	if p.cfg.MQTTListen == "" {
		return nil
	}
	l, err := net.Listen("tcp", p.cfg.MQTTListen)
	if err != nil {
		return ringwall.Errorf(ringwall.Unavailable, "listening on %q for MQTT: %w", p.cfg.MQTTListen, err)
	}
	port, err := mqttport.New(mqttport.Config{Listener: l, TLS: p.certs.server(p.authority.Pool()), Desk: mqttDesk{p.desk}, Log: p.core.log})
	if err != nil {
		_ = l.Close()
		return err
	}
	p.mqtt.port, p.mqtt.addrs = port, mqttAddresses(p.cfg.Names, l.Addr())
	poke, revoked := p.poke, p.gatewayRevoked
	p.poke = func(org ringwall.OrgID, gw ringwall.GatewayID, generation uint64) {
		poke(org, gw, generation)
		port.Poke(org, gw, generation)
	}
	p.gatewayRevoked = func(gw ringwall.GatewayID) {
		revoked(gw)
		port.Cut(gw)
	}
	return nil
}

// MQTTAddr returns where terminals connect, nil when there is no MQTT door.
func (p *Platform) MQTTAddr() net.Addr {
	if p.mqtt.port == nil {
		return nil
	}
	return p.mqtt.port.Addr()
}

// mqttAddresses lists the addresses that terminals are given: the platform's
// names, else what it listens on.
func mqttAddresses(names []string, addr net.Addr) []string {
	_, port, err := net.SplitHostPort(addr.String())
	if err != nil {
		return nil
	}
	if len(names) == 0 {
		names = hosts(addr.String())
	}
	var all []string
	for _, n := range names {
		all = append(all, "mqtts://"+net.JoinHostPort(n, port))
	}
	return all
}

// mqttDesk answers terminals as the gateways' desk does on the spine.
type mqttDesk struct{ desk *gatewayDesk }

// Admit says who the holder of a certificate is: a gateway that the database
// knows and that was not revoked.
func (d mqttDesk) Admit(ctx context.Context, cert *x509.Certificate) (ringwall.OrgID, ringwall.GatewayID, error) {
	org, gw, err := identity.GatewayOf(cert)
	if err != nil {
		return "", "", err
	}
	ctx, cancel := context.WithTimeout(ctx, admitTime)
	defer cancel()
	_, err = d.desk.scope(ctx, org, gw, audit.GatewayDesired)
	return org, gw, err
}

// Report stores a batch and returns when it is durable.
func (d mqttDesk) Report(ctx context.Context, org ringwall.OrgID, gw ringwall.GatewayID, b api.Batch) (api.BatchAck, error) {
	if _, err := d.desk.scope(ctx, org, gw, audit.GatewayReport); err != nil {
		return api.BatchAck{}, err
	}
	d.desk.hears.note(gw)
	ack, err := d.desk.segments.Ingest(ctx, org, gw, b)
	ack.Time = d.desk.now().UTC()
	return ack, err
}

// Desired answers with the newest document.
func (d mqttDesk) Desired(ctx context.Context, org ringwall.OrgID, gw ringwall.GatewayID, req api.DesiredRequest) (api.DesiredAnswer, error) {
	return d.desk.newest(ctx, api.DesiredSubject(org, gw), answer(req))
}

// Terminal makes the policy of a constrained terminal of the newest document.
func (d mqttDesk) Terminal(ctx context.Context, org ringwall.OrgID, gw ringwall.GatewayID, have uint64) (*api.SignedTerminal, error) {
	scope, err := d.desk.scope(ctx, org, gw, audit.GatewayDesired)
	if err != nil {
		return nil, err
	}
	keys := map[string]ed25519.PublicKey{}
	for id, k := range d.desk.signer.Keys() {
		keys[id] = k
	}
	var doc api.Desired
	err = d.desk.store.View(ctx, func(tx *sqlstore.Tx) error {
		signed, _, _, err := tx.Desired(scope, gw)
		if err != nil {
			return err
		}
		doc, err = signed.Open(keys)
		return err
	})
	switch {
	case isCode(err, ringwall.NotFound):
		return nil, nil // none was made yet
	case err != nil:
		return nil, err
	case doc.Generation == have:
		return nil, nil
	}
	own, ok := doc.Own()
	if !ok {
		return nil, nil // it has not said yet that it is there
	}
	policy, err := doc.Terminal(own.Device, d.desk.now().UTC().Truncate(time.Second))
	if err != nil {
		return nil, err
	}
	out, err := d.desk.signer.SignTerminal(policy)
	return &out, err
}

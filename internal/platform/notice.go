package platform

import (
	"cmp"
	"strings"
	"time"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/api"
	"github.com/ringwall/ringwall/internal/audit"
	"github.com/ringwall/ringwall/internal/incident"
)

// noticeQuiet is how long a notice of one kind about one thing has to have been
// absent to be told again; until then it is counted.
const noticeQuiet = time.Hour

// Rules of alerts that follow from notices.
const (
	ruleMapping    = "upstream-mapping"
	ruleMappingTry = "mapping-refused"
	ruleRogue      = "rogue-server"
	ruleRolledBack = "rolled-back"
)

// maxDetail bounds what of a notice's details is kept.
const maxDetail = 20

// notice takes what a gateway noticed: it is counted, told once on a timeline,
// and where it may be an attack it becomes an alert.
func (t *turn) notice(gw ringwall.GatewayID, n api.Notice) error {
	scope, err := t.projector()
	if err != nil {
		return err
	}
	n.Kind, n.Text, n.MAC = clip(n.Kind, 40), clip(n.Text, maxSaid), clip(n.MAC, 40)
	if n.Kind == "" {
		return ringwall.Errorf(ringwall.Invalid, "a notice has no kind")
	}
	short := map[string]string{}
	for k, v := range n.Detail {
		if len(short) < maxDetail {
			short[clip(k, 40)] = clip(v, maxSaid)
		}
	}
	n.Detail = short
	if n.Device == "" && n.MAC != "" {
		d, err := t.tx.DeviceByMAC(scope, gw, strings.ToLower(n.MAC))
		if err == nil {
			n.Device = d.ID
		} else if !isCode(err, ringwall.NotFound) {
			return err
		}
	}
	var dev *api.Device
	if n.Device != "" {
		d, err := t.behind(scope, gw, n.Device)
		if err != nil {
			return err
		}
		dev = &d
	}
	isNew, err := t.tx.PutNotice(scope, gw, n, t.at, noticeQuiet)
	if err != nil {
		return err
	}
	if n.Kind == api.NoticeRolledBack {
		if _, err := t.tx.UpdateGateway(scope, gw, func(g *api.Gateway) error { g.RolledBack = t.at; return nil }); err != nil {
			return err
		}
	}
	if dev != nil && n.Kind == api.NoticeMUD {
		if err := t.mudNoticed(scope, *dev, cmp.Or(n.Detail["url"], n.Text), "device"); err != nil {
			return err
		}
	}
	if dev != nil && n.Kind == api.NoticeSubscriber {
		if err := t.cardAddress(scope, *dev, n); err != nil {
			return err
		}
	}
	if !isNew {
		return nil
	}
	if err := t.tellNotice(scope, gw, n); err != nil {
		return err
	}
	return t.noticeAlert(scope, gw, dev, n)
}

// tellNotice writes a notice on the timeline of what it is about.
func (t *turn) tellNotice(scope audit.Scope, gw ringwall.GatewayID, n api.Notice) error {
	text := noticeText(n)
	onGateway := map[string]string{
		api.NoticeRolledBack: "timeline.gateway.rolledback", api.NoticeLostReports: "timeline.gateway.lost", api.NoticeExpired: "timeline.gateway.old",
		api.NoticeMapping: "timeline.gateway.mapping", api.NoticeRogue: "timeline.gateway.rogue",
	}
	onDevice := map[string]string{
		api.NoticeMapping: "timeline.device.mapped", api.NoticeMappingTry: "timeline.device.mapping", api.NoticeRogue: "timeline.device.rogue",
		api.NoticeInspect: "timeline.device.inspect", api.NoticeSubscriber: "timeline.device.subscriber",
	}
	params := map[string]string{"text": text, "reason": text}
	if key := onDevice[n.Kind]; key != "" && n.Device != "" {
		return t.tell(scope, ringwall.EventDeviceMode, deviceSubject(n.Device), "", note{Key: key, Params: params})
	}
	if key := onGateway[n.Kind]; key != "" {
		return t.tell(scope, ringwall.EventGatewayState, gatewaySubject(gw), "", note{Key: key, Params: params})
	}
	return nil
}

// noticeText says what a notice is about in a few words.
func noticeText(n api.Notice) string {
	var parts []string
	if d := n.Detail; d["protocol"] != "" || d["port"] != "" {
		parts = append(parts, strings.Trim(d["protocol"]+"/"+d["port"], "/"))
	}
	if n.Addr.IsValid() {
		parts = append(parts, n.Addr.String())
	}
	if n.Text != "" {
		parts = append(parts, n.Text)
	}
	return cmp.Or(strings.Join(parts, ", "), n.Kind)
}

// noticeAlert makes an alert of a notice. What is refused and told, such as a
// device that asks for a mapping, as many honest ones do, is worth knowing; a
// hole that stands open upstream is a deviation; a server that nobody asked for
// is an attack, though none that by itself restricts anybody.
func (t *turn) noticeAlert(scope audit.Scope, gw ringwall.GatewayID, dev *api.Device, n api.Notice) error {
	a := ringwall.Alert{
		Org: t.org, Time: t.at, Gateway: gw, Nature: ringwall.NatureNotice, Severity: ringwall.Low, Title: noticeText(n),
		ID: ringwall.AlertID(ringwall.DeriveID(ringwall.PrefixAlert, string(t.org), string(gw), n.Kind, string(n.Device), n.MAC, t.at.Format(time.DateOnly))),
	}
	switch n.Kind {
	case api.NoticeMapping:
		a.Rule, a.Nature, a.Severity, a.Title, a.Attack = ruleMapping, ringwall.NatureDeviation, ringwall.High, "a port is open to the world: "+a.Title, "T1133"
	case api.NoticeRogue:
		a.Rule, a.Nature, a.Severity, a.Stage, a.Title, a.Attack = ruleRogue, ringwall.NatureAttack, ringwall.Medium, ringwall.Infection, "it answers as a server of the network: "+a.Title, "T1557"
	case api.NoticeMappingTry:
		a.Rule, a.Title, a.Attack = ruleMappingTry, "it asked for a port to be opened to the world: "+a.Title, "T1133"
	case api.NoticeRolledBack:
		a.Rule, a.Severity, a.Title = ruleRolledBack, ringwall.Medium, "the gateway went back to the document before: "+a.Title
	default:
		return nil
	}
	about := incident.About{Subject: gatewaySubject(gw), Name: string(gw)}
	if dev != nil {
		about = aboutDevice(*dev)
	} else {
		g, err := t.tx.Gateway(scope, gw)
		if err != nil {
			return err
		}
		about.Name = g.Name
	}
	a.Subject, a.Title = about.Subject, clip(a.Title, maxSaid)
	return t.alert(scope, about, a)
}

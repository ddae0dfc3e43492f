package platform

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"math/big"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/api"
	"github.com/ringwall/ringwall/internal/assess"
	"github.com/ringwall/ringwall/internal/audit"
	"github.com/ringwall/ringwall/internal/onvif"
	"github.com/ringwall/ringwall/internal/probe/credential"
	"github.com/ringwall/ringwall/internal/sqlstore"
)

// changeTime bounds the changing of a password at a device.
const changeTime = 40 * time.Second

// DoRemedial does what a task asks for, where Ringwall can: it closes a port at
// the gateway, or gives a device a new password by ONVIF in the place of a known
// default. Then it looks whether that helped.
func (s *service) DoRemedial(ctx context.Context, a audit.Actor, id ringwall.RemedialID) (api.RemedialDone, error) {
	var r api.Remedial
	if err := s.view(ctx, a, audit.DeviceRead, on("task", string(id)), func(tx *sqlstore.Tx, scope audit.Scope) (err error) {
		r, err = tx.Remedial(scope, id)
		return err
	}); err != nil {
		return api.RemedialDone{}, err
	}
	if r.Status == remedialDone {
		return api.RemedialDone{}, ringwall.Errorf(ringwall.Conflict, "the task is done")
	}
	switch r.Do {
	case assess.DoClosePort:
		return s.closePort(ctx, a, r)
	case assess.DoChangePassword:
		return s.changePassword(ctx, a, r)
	}
	return api.RemedialDone{}, ringwall.Errorf(ringwall.Invalid, "nobody but a person can do this task")
}

// closePort refuses everybody a port of the device at its gateway.
func (s *service) closePort(ctx context.Context, a audit.Actor, r api.Remedial) (done api.RemedialDone, err error) {
	term, err := closing(r.Target)
	if err != nil {
		return done, err
	}
	err = s.change(ctx, a, audit.PolicyWrite, on("device", string(r.Device)), func(t *turn, scope audit.Scope) error {
		d, err := t.tx.Device(scope, r.Device)
		if err != nil {
			return err
		}
		if d.Gateway == "" {
			return ringwall.Errorf(ringwall.Conflict, "no gateway stands in front of the device, so nobody can close its port for it")
		}
		terms, err := t.tx.Terms(scope, r.Device)
		if err != nil {
			return err
		}
		terms = append(slices.DeleteFunc(terms, func(old api.Term) bool { return old.ID == term.ID }), term)
		if err := t.tx.PutTerms(scope, r.Device, terms); err != nil {
			return err
		}
		t.compose(d.Gateway)
		if err := t.tell(scope, ringwall.EventDeviceMode, deviceSubject(r.Device), string(r.ID), note{
			Key: "timeline.device.port.closed", Ref: string(r.ID), Params: map[string]string{"target": r.Target},
		}); err != nil {
			return err
		}
		r.Status, r.Updated, r.Note = "doing", t.at, "refused to everybody at the gateway; it is still open on the device itself"
		own, err := t.projector()
		if err != nil {
			return err
		}
		return t.tx.PutRemedial(own, r)
	})
	return api.RemedialDone{Remedial: r}, err
}

// closing is the term that refuses everybody a port such as "tcp/23".
func closing(target string) (api.Term, error) {
	proto, text, ok := strings.Cut(target, "/")
	port, err := strconv.ParseUint(text, 10, 16)
	if !ok || err != nil || port == 0 || proto != "tcp" && proto != "udp" {
		return api.Term{}, ringwall.Errorf(ringwall.Invalid, "the task names no port: %.40q", target)
	}
	p := uint16(port)
	return api.Term{
		ID: "closed-" + proto + "-" + text, Action: api.Deny, Direction: api.ToDevice, Proto: proto,
		CIDR:  netip.PrefixFrom(netip.IPv4Unspecified(), 0),
		Ports: []api.PortRange{{First: p, Last: p}}, Why: "owner",
	}, nil
}

// login is a way into a device that is known to everybody.
type login struct {
	at   netip.AddrPort
	user string
	old  string
}

// changePassword gives the device a random password where it takes a default.
// Whatever happens on the way, a password that the device may have by then is
// answered: it is nowhere else.
func (s *service) changePassword(ctx context.Context, a audit.Actor, r api.Remedial) (done api.RemedialDone, err error) {
	scope, err := s.auditor.Authorise(ctx, a, audit.DeviceRespond, audit.Target{Kind: "device", ID: string(r.Device), Org: a.Org})
	if err != nil {
		return done, err
	}
	if s.assessor == nil {
		return done, ringwall.Errorf(ringwall.Unavailable, "this platform reaches no devices")
	}
	var in login
	if err := s.store.View(ctx, func(tx *sqlstore.Tx) (err error) {
		in, err = defaultLogin(tx, scope, r.Device)
		return err
	}); err != nil {
		return done, err
	}
	secret, err := newPassword()
	if err != nil {
		return done, err
	}
	said, err := s.setPassword(ctx, in, secret)
	if err != nil {
		return done, err
	}
	r.Status, r.Note = "doing", said
	done = api.RemedialDone{Remedial: r, Account: in.user, Secret: secret}
	err = s.turn(context.WithoutCancel(ctx), a.Org, func(t *turn) error {
		own, err := t.projector()
		if err != nil {
			return err
		}
		r.Updated = t.at
		if err := t.tx.PutRemedial(own, r); err != nil {
			return err
		}
		return t.tell(own, ringwall.EventDeviceMode, deviceSubject(r.Device), string(r.ID), note{
			Key: "timeline.device.password", Ref: string(r.ID), Params: map[string]string{"by": a.String()},
		})
	})
	if err != nil {
		s.log.Error("a changed password was not written down", "device", r.Device, "cause", err)
	}
	done.Remedial = r
	if id, err := s.AssessDevice(ctx, a, r.Device); err == nil {
		done.Assess = id
	}
	return done, nil
}

// setPassword changes the password by ONVIF and says what was seen of it. An
// error means that the device has the old one still.
func (s *service) setPassword(ctx context.Context, in login, secret string) (said string, err error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), changeTime)
	defer cancel()
	as := func(password string) *onvif.Client {
		return onvif.New(onvif.Config{
			Address: in.at.String(), Dial: s.assessor.runner.Network.DialContext, Username: in.user, Password: password, Now: s.now,
		})
	}
	old := as(in.old)
	defer old.Close()
	if _, err := old.SystemTime(ctx); err != nil {
		return "", ringwall.Errorf(ringwall.Unavailable, "the device does not answer by ONVIF: %w", err)
	}
	users, err := old.Users(ctx)
	if err != nil {
		return "", ringwall.Errorf(ringwall.Conflict, "the default password does not open the device any more: assess it again")
	}
	level := "Administrator"
	for _, u := range users {
		if u.Username == in.user && u.Level != "" {
			level = u.Level
		}
	}
	refused := old.SetPassword(ctx, onvif.User{Username: in.user, Password: secret, Level: level})
	fresh := as(secret)
	defer fresh.Close()
	_, _ = fresh.SystemTime(ctx) // the clock of the device, for the tokens
	_, opens := fresh.Users(ctx)
	_, still := old.Users(ctx)
	switch {
	case opens == nil && still != nil:
		return "the password was changed: the new one opens the device, the old one does not", nil
	case opens == nil:
		return "the new password opens the device, and so does the old one: assess it again", nil
	case refused != nil && still == nil:
		return "", ringwall.Errorf(ringwall.Conflict, "the device refused the new password: %w", refused)
	case refused != nil && errors.Is(refused, context.DeadlineExceeded), still != nil:
		return "the device did not say whether it took the new password; one of the two opens it", nil
	}
	return "", ringwall.Errorf(ringwall.Conflict, "the device took the new password and does not open with it; the old one still counts")
}

// defaultLogin finds where and with which known default a device was opened.
func defaultLogin(tx *sqlstore.Tx, scope audit.Scope, id ringwall.DeviceID) (in login, err error) {
	d, err := tx.Device(scope, id)
	if err != nil {
		return in, err
	}
	if !d.Binding.IP.IsValid() {
		return in, ringwall.Errorf(ringwall.Conflict, "the device has no known address")
	}
	xs, err := tx.Examinations(scope, id)
	if err != nil {
		return in, err
	}
	var pair int
	var port uint16
	for _, x := range xs {
		if x.Kind != api.ExamNetwork {
			continue
		}
		for _, s := range x.Services {
			if s.Name == "onvif" && port == 0 {
				port = s.Port
			}
		}
		for _, f := range x.Findings {
			if f.Indicator == indicatorDefaultCredential && f.Outcome == ringwall.Fail && f.Confidence == ringwall.Confirmed && !strings.HasPrefix(f.Facts["service"], "telnet/") && !strings.HasPrefix(f.Facts["service"], "ssh/") {
				if n, err := strconv.Atoi(f.Facts["pair"]); err == nil && (pair == 0 || strings.HasPrefix(f.Facts["service"], "onvif/")) {
					pair = n
				}
			}
		}
	}
	if port == 0 {
		return in, ringwall.Errorf(ringwall.Conflict, "the device offers no ONVIF, by which a password could be changed from here")
	}
	for _, p := range credential.Known(assess.CameraAccounts, "") {
		if p.N == pair {
			return login{at: netip.AddrPortFrom(d.Binding.IP, port), user: p.User, old: p.Password()}, nil
		}
	}
	return in, ringwall.Errorf(ringwall.Conflict, "no default password of the device's management is known; assess it again")
}

// passwordAlphabet leaves out what is misread.
const passwordAlphabet = "abcdefghijkmnpqrstuvwxyzABCDEFGHJKLMNPQRSTUVWXYZ23456789"

// newPassword makes one of 16 characters (over 90 bits), with each class of
// characters that devices ask for.
func newPassword() (string, error) {
	for {
		b := make([]byte, 16)
		for i := range b {
			n, err := rand.Int(rand.Reader, big.NewInt(int64(len(passwordAlphabet))))
			if err != nil {
				return "", fmt.Errorf("making a password: %w", err)
			}
			b[i] = passwordAlphabet[n.Int64()]
		}
		p := string(b)
		if strings.ContainsAny(p, "abcdefghijkmnpqrstuvwxyz") && strings.ContainsAny(p, "ABCDEFGHJKLMNPQRSTUVWXYZ") && strings.ContainsAny(p, "23456789") {
			return p, nil
		}
	}
}

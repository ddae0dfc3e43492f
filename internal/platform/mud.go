package platform

import (
	"net/url"
	"strings"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/api"
	"github.com/ringwall/ringwall/internal/audit"
)

// Statuses of a usage description.
const (
	mudWaiting  = "waiting"
	mudFailed   = "failed"
	mudProposed = "proposed"
	mudNarrow   = "narrow"
	mudApproved = "approved"
	mudDeclined = "declined"
)

// maxMUDURL bounds a URL that a device tells (RFC 8520 section 10: at most 253
// octets in DHCP, more over LLDP).
const maxMUDURL = 1024

// checkMUDURL takes what RFC 8520 section 3.1 asks for: https, and nothing that
// would send the platform elsewhere than to a file of a host of that name.
func checkMUDURL(text string) error {
	u, err := url.Parse(text)
	if err != nil || len(text) > maxMUDURL || u.Scheme != "https" || u.Hostname() == "" || u.User != nil || u.Fragment != "" {
		return ringwall.Errorf(ringwall.Invalid, "%.80q is no URL of a usage description: https, a host and a path", text)
	}
	return nil
}

// mudNoticed takes the URL of a usage description that a device told, or that a
// person named. What is known of the same URL stays.
func (t *turn) mudNoticed(scope audit.Scope, dev api.Device, text, from string) error {
	text = strings.TrimSpace(text)
	if err := checkMUDURL(text); err != nil {
		return err
	}
	m, _, err := t.tx.MUD(scope, dev.ID)
	if err != nil && !isCode(err, ringwall.NotFound) {
		return err
	}
	switch {
	case err == nil && m.URL == text:
		return nil
	case err == nil && from == "device" && m.From != "device":
		return nil // what a person said of it counts for more
	case err == nil && m.Status != mudWaiting && m.Status != mudFailed && from == "device":
		// A device that changes its URL is a device that changes its mind about what it
		// is (RFC 8520 section 15): a person looks before anything follows from it.
		m.Error = "the device tells another URL now: " + text
		return t.tx.PutMUD(scope, m, nil)
	}
	m = api.MUDState{Device: dev.ID, URL: text, From: from, Status: mudWaiting, Noticed: t.at, Next: t.at, Supported: true, Terms: []api.Term{}}
	if err := t.tx.PutMUD(scope, m, []byte{}); err != nil {
		return err
	}
	return t.tell(scope, ringwall.EventDeviceMode, deviceSubject(dev.ID), "", note{Key: "timeline.device.mud", Params: map[string]string{"state": m.Status, "reason": text}})
}

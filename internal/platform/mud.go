package platform

import (
	"net/url"
	"strings"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/api"
	"github.com/ringwall/ringwall/internal/audit"
	"github.com/ringwall/ringwall/internal/sqlstore"
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
// person named. What is known of the same URL stays, and what is in force stays
// in force until a person has decided on what is found at another.
func (t *turn) mudNoticed(scope audit.Scope, dev api.Device, text, from string) error {
	text = strings.TrimSpace(text)
	if err := checkMUDURL(text); err != nil {
		return err
	}
	m, _, err := t.tx.MUD(scope, dev.ID)
	known := err == nil
	if err != nil && !isCode(err, ringwall.NotFound) {
		return err
	}
	if known && m.URL == text {
		if m.Told == "" {
			return nil
		}
		if from != "device" { // a person keeps to it; else the device is back at it
			m.Kept = m.Told
		}
		m.Told = ""
		return t.tx.PutMUD(scope, m, nil)
	}
	if known && from == "device" {
		switch {
		case m.From != "device", m.Kept == text, m.Told == text:
			return nil // what a person said of it counts for more; and it is told once
		case m.Status != mudWaiting && m.Status != mudFailed:
			// A device that changes its URL is a device that changes its mind about what it
			// is (RFC 8520 section 15): a person looks before anything follows from it.
			m.Told = text
			if err := t.tx.PutMUD(scope, m, nil); err != nil {
				return err
			}
			return t.tellMUD(scope, dev.ID, "timeline.device.mud.told", text)
		}
	}
	if known && m.InForce() {
		m.URL, m.From, m.Next, m.Digest, m.Told, m.Kept, m.Error = text, from, t.at, "", "", "", ""
	} else {
		m = api.MUDState{Device: dev.ID, URL: text, From: from, Status: mudWaiting, Noticed: t.at, Next: t.at, Supported: true, Terms: []api.Term{}, NamedSigner: m.NamedSigner}
	}
	if err := t.tx.PutMUD(scope, m, &sqlstore.MUDFile{}); err != nil {
		return err
	}
	return t.tellMUD(scope, dev.ID, "timeline.device.mud.at", text)
}

// tellMUD tells of what happened to a device's usage description.
func (t *turn) tellMUD(scope audit.Scope, id ringwall.DeviceID, key, what string) error {
	return t.tell(scope, ringwall.EventDeviceMode, deviceSubject(id), "", note{Key: key, Params: map[string]string{"url": what}})
}

// Package judge turns a device's posture into findings. It is pure, and apart
// from package posture so that the program on the device does not carry it.
//
// A posture answers only what was read: an indicator whose material stands in
// Posture.Unread, or was never collected, comes out as unknown. What the kernel
// itself said is confirmed; what is concluded from the lie of files is
// observed. Whether the posture is genuine is the caller's to check first
// (posture.Verify): an unsigned one deserves no "agent/" source.
package judge

import (
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/api"
)

// Lifetime is how long a posture counts.
const Lifetime = 7 * 24 * time.Hour

// clockError is how far ahead a device's clock may be.
const clockError = 5 * time.Minute

type judge struct {
	p        api.Posture
	found    []ringwall.Finding
	declared []api.Service
}

// Judge returns a finding for each indicator that a posture can speak on, in
// the order of their ids. declared are the services that the device is said to
// need; nil means that nobody said, and then no open port is judged. A posture
// dated after at answers nothing.
func Judge(p api.Posture, declared []api.Service, at time.Time) []ringwall.Finding {
	j := &judge{p: p, declared: declared}
	j.hardware()
	j.accounts()
	j.services()
	j.system()
	j.data()
	if p.Made.After(at.Add(clockError)) {
		for i := range j.found {
			f := &j.found[i]
			f.Outcome, f.Evidence, f.Remedy = ringwall.Unknown, []string{"the posture is dated " + p.Made.Format(time.RFC3339) + ", which is to come"}, ""
			f.Time, f.Until = at.UTC(), time.Time{}
		}
	}
	slices.SortStableFunc(j.found, func(a, b ringwall.Finding) int { return strings.Compare(a.Indicator, b.Indicator) })
	return j.found
}

// say adds a finding.
func (j *judge) say(indicator string, m ringwall.Module, o ringwall.Outcome, c ringwall.Confidence, title, remedy string, evidence ...string) {
	if o == ringwall.Pass || o == ringwall.Unknown || o == ringwall.NotApplicable {
		remedy = ""
	}
	j.found = append(j.found, ringwall.Finding{
		Indicator: indicator, Module: m, Outcome: o, Confidence: c, Title: title, Evidence: evidence, Remedy: remedy,
		Source: "agent/" + string(j.p.Device), Time: j.p.Made.UTC(), Until: j.p.Made.Add(Lifetime).UTC(),
	})
}

// unread returns the notes on what could not be read that begin with one of
// prefixes.
func (j *judge) unread(prefixes ...string) []string {
	var out []string
	for _, u := range j.p.Unread {
		if slices.ContainsFunc(prefixes, func(p string) bool { return strings.HasPrefix(u, p) }) {
			out = append(out, u)
		}
	}
	return out
}

// fact returns a fact and whether it was collected.
func (j *judge) fact(name string) (string, bool) {
	v, ok := j.p.Facts[name]
	return v, ok
}

func (j *judge) root() (api.Mount, bool) {
	// The last mount on a path is the one that is seen.
	for _, m := range slices.Backward(j.p.Mounts) {
		if m.Path == "/" {
			return m, true
		}
	}
	return api.Mount{}, false
}

func (j *judge) hardware() {
	const hw = ringwall.Hardware
	secure, known := j.fact("secure-boot")
	root, _ := j.root()
	switch {
	case secure == "on" && (root.Verified || j.p.Facts["ima"] == "appraising"):
		j.say("HW-01", hw, ringwall.Pass, ringwall.Observed, "The boot chain is verified down to the root file system", "", "secure boot: on", "root file system: verified")
	case secure == "on":
		j.say("HW-01", hw, ringwall.Partial, ringwall.Observed, "The kernel is verified at boot, the root file system is not", "Verify the root file system too, by dm-verity or IMA appraisal", "secure boot: on", "root file system: not verified")
	case secure == "off":
		j.say("HW-01", hw, ringwall.Fail, ringwall.Confirmed, "Secure boot is off", "Switch secure boot on with keys of your own", "secure boot: off")
	case root.Verified:
		j.say("HW-01", hw, ringwall.Unknown, ringwall.Observed, "The root file system is verified; what verifies the kernel is not known", "", "root file system: verified", "secure boot: "+or(secure, known))
	default:
		j.say("HW-01", hw, ringwall.Unknown, ringwall.Observed, "How the device boots is not known", "", append([]string{"secure boot: " + or(secure, known)}, j.unread("SecureBoot", "sys/firmware")...)...)
	}

	serial, known := j.fact("serial-consoles")
	shell := j.p.Facts["console-shell"]
	const closeIt = "Take console= out of the kernel's command line, and the shell out of inittab; close the port in hardware"
	switch {
	case shell != "" && shell != "none":
		j.say("HW-02", hw, ringwall.Fail, ringwall.Confirmed, "A console hands out a shell without a login", closeIt, "shell without login on: "+shell, "serial consoles: "+or(serial, known))
	case !known:
		j.say("HW-02", hw, ringwall.Unknown, ringwall.Observed, "The consoles could not be read", "", j.unread("proc/consoles", "proc/cmdline")...)
	case serial != "":
		j.say("HW-02", hw, ringwall.Partial, ringwall.Confirmed, "A serial console is in use", closeIt, "serial consoles: "+serial)
	default:
		j.say("HW-02", hw, ringwall.Pass, ringwall.Confirmed, "No serial console is in use", "", "consoles: "+or(j.p.Facts["consoles"], true))
	}

	tpm, known := j.fact("tpm")
	key := j.p.Facts["identity-key"]
	switch {
	case key == "tpm" || key == "secure-element" || key == "sim":
		j.say("HW-04", hw, ringwall.Pass, ringwall.Observed, "The device's key is kept in hardware", "", "identity key: "+key, "TPM: "+or(tpm, known))
	case key == "file" && tpm != "" && tpm != "none":
		j.say("HW-04", hw, ringwall.Partial, ringwall.Observed, "There is a TPM, but the device's key is kept in a file", "Make the key in the TPM", "identity key: file", "TPM: "+tpm)
	case key == "file":
		j.say("HW-04", hw, ringwall.Fail, ringwall.Observed, "The device's key is kept in a file", "Keep the key in a TPM, a secure element or the SIM", "identity key: file", "TPM: "+or(tpm, known))
	default:
		j.say("HW-04", hw, ringwall.Unknown, ringwall.Observed, "Where the device's key is kept is not known", "", "TPM: "+or(tpm, known))
	}
}

// or writes a fact, or that it is not known.
func or(v string, known bool) string {
	switch {
	case !known:
		return "not known"
	case v == "":
		return "none"
	}
	return v
}

func (j *judge) accounts() {
	const fs = ringwall.Firmware
	if len(j.p.Accounts) == 0 {
		j.say("FS-01", fs, ringwall.Unknown, ringwall.Observed, "The accounts could not be read", "", j.unread("etc/passwd", "accounts")...)
		j.say("DA-02", ringwall.Data, ringwall.Unknown, ringwall.Observed, "How passwords are stored could not be read", "", j.unread("etc/passwd", "etc/shadow")...)
		return
	}
	var empty, known, hidden, old, modern, hashed []string
	for _, a := range j.p.Accounts {
		switch a.Scheme {
		case "empty":
			if login(a.Shell) {
				empty = append(empty, "account "+a.Name+" has an empty password and the shell "+a.Shell)
			}
		case "unreadable":
			hidden = append(hidden, "account "+a.Name+": unreadable")
		case "des", "md5":
			old = append(old, "account "+a.Name+": "+a.Scheme)
			hashed = append(hashed, a.Name)
		case "sha256", "sha512", "bcrypt", "yescrypt":
			modern = append(modern, "account "+a.Name+": "+a.Scheme)
			hashed = append(hashed, a.Name)
		}
		if a.Known != "" {
			known = append(known, "account "+a.Name+" has known default "+a.Known)
		}
	}
	lock := "Set a password of its own for each device, or lock the account"
	switch {
	case len(empty)+len(known) > 0:
		j.say("FS-01", fs, ringwall.Fail, ringwall.Confirmed, "An account can be entered with an empty or known password", lock, first(slices.Concat(empty, known))...)
	case len(hidden) > 0:
		j.say("FS-01", fs, ringwall.Unknown, ringwall.Observed, "The passwords could not be read", "", first(hidden)...)
	case len(hashed) > 0:
		j.say("FS-01", fs, ringwall.Unknown, ringwall.Observed, "Whether the passwords are the same on other devices cannot be told here", "", "accounts with a password: "+strings.Join(first(hashed), ", "))
	default:
		j.say("FS-01", fs, ringwall.Pass, ringwall.Confirmed, "No account can be entered with a password", "", strconv.Itoa(len(j.p.Accounts))+" accounts, all locked")
	}
	switch {
	case len(old) > 0:
		j.say("DA-02", ringwall.Data, ringwall.Fail, ringwall.Confirmed, "Passwords are stored with an old hash", "Store passwords with yescrypt, bcrypt or SHA-512", first(old)...)
	case len(hidden) > 0:
		j.say("DA-02", ringwall.Data, ringwall.Unknown, ringwall.Observed, "How passwords are stored could not be read", "", first(hidden)...)
	case len(modern) > 0:
		j.say("DA-02", ringwall.Data, ringwall.Pass, ringwall.Confirmed, "Passwords are stored with a modern hash", "", first(modern)...)
	default:
		j.say("DA-02", ringwall.Data, ringwall.NotApplicable, ringwall.Confirmed, "No password is stored", "", strconv.Itoa(len(j.p.Accounts))+" accounts, all locked")
	}
}

// login reports whether a shell lets somebody in.
func login(shell string) bool {
	return !strings.HasSuffix(shell, "nologin") && !strings.HasSuffix(shell, "/false") && !strings.HasSuffix(shell, "/sync")
}

// first bounds evidence.
func first(lines []string) []string { return lines[:min(len(lines), 16)] }

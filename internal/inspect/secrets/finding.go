package secrets

import (
	"crypto/rsa"
	"crypto/x509"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/internal/inspect/view"
)

// Findings answers FS-02, DA-01 and CO-06.
func (s *Scan) Findings(v *view.View, now time.Time) []ringwall.Finding {
	return []ringwall.Finding{s.held(v), s.clear(v), s.certificates(now)}
}

// held answers FS-02.
func (s *Scan) held(v *view.View) ringwall.Finding {
	f := ringwall.Finding{Indicator: "FS-02", Confidence: ringwall.Observed, Facts: map[string]string{}}
	var bad, soft, tests, marks []string
	served := false
	for _, k := range s.Keys {
		what := fmt.Sprintf("%s: private key (%s, %s)", k.at(), k.Kind, k.Form)
		if k.Known.Name != "" {
			what += ", published: " + k.Known.Name
		}
		switch {
		case k.Harmless:
			tests = append(tests, what+": a self-test of the library around it")
			continue
		case k.Encrypted:
			soft = append(soft, what+": encrypted, with whatever the image knows")
			continue
		}
		if k.Served != "" {
			served = true
			what += ", which " + k.Served + " serves"
		}
		bad = append(bad, what)
		if k.Mark != "" {
			marks = append(marks, k.Mark)
		}
	}
	for _, i := range s.Items {
		what := i.at() + ": " + i.Kind
		if i.Hard {
			bad = append(bad, what)
		} else {
			soft = append(soft, what)
		}
	}
	f.Evidence = bound(slices.Concat(bad, soft, tests))
	if len(marks) > 0 {
		slices.Sort(marks)
		marks = slices.Compact(marks)
		f.Facts["keys"] = strings.Join(marks[:min(len(marks), 16)], ",")
	}
	switch {
	case len(bad) > 0:
		f.Outcome, f.Title = ringwall.Fail, "the image holds private keys or tokens that are the same in every device"
		if served {
			// That the key is in use is seen in the start and the
			// configuration, not on a wire: an observation still.
			f.Facts["served"] = "true"
			f.Title = "a server of the image serves with a private key that is the same in every device"
		}
	case len(soft) > 0:
		f.Outcome, f.Title = ringwall.Partial, "the image holds encrypted keys or names of keys"
	case !v.Root && len(v.Trees) == 0:
		f.Title = "no file system was found, so no keys were looked for"
	case !v.Root:
		f.Title = "no root file system was found; what is there holds no private key"
	default:
		f.Outcome, f.Title = ringwall.Pass, "no private key and no token was found in the image"
		f.Evidence = append(f.Evidence, fmt.Sprintf("all files of %s were searched for keys in PEM, DER, OpenSSH and Dropbear form and for tokens", parts(v)))
		if len(tests) > 0 {
			f.Title = "the image holds no private key but published test keys inside a library"
		}
	}
	return f
}

func parts(v *view.View) string {
	var out []string
	for _, t := range v.Trees {
		if t.From != "" {
			out = append(out, t.From)
		}
	}
	if len(out) == 0 {
		return "the tree"
	}
	return strings.Join(out, ", ")
}

// bound keeps evidence readable.
func bound(lines []string) []string {
	const most = 40
	if len(lines) <= most {
		return lines
	}
	return append(lines[:most:most], fmt.Sprintf("and %d more", len(lines)-most))
}

// clear answers DA-01.
func (s *Scan) clear(v *view.View) ringwall.Finding {
	f := ringwall.Finding{Indicator: "DA-01", Confidence: ringwall.Observed}
	hard := 0
	for _, i := range s.Wifi {
		if i.Hard {
			hard++
		}
		f.Evidence = append(f.Evidence, i.at()+": "+i.Kind+" in clear")
	}
	f.Evidence = bound(f.Evidence)
	switch {
	case hard > 0:
		f.Outcome, f.Title = ringwall.Fail, "a Wi-Fi key stands in clear in the image"
	case len(s.Wifi) > 0:
		f.Outcome, f.Title = ringwall.Fail, "secrets stand in clear in the image's configuration"
	default:
		// That the image as shipped has none does not show how the device
		// keeps those it is given later.
		f.Title = "no secret stands in clear in the image; how the device keeps those it is given was not seen"
	}
	return f
}

// certificates answers CO-06 as far as an image can: with the certificates
// whose keys are in it.
func (s *Scan) certificates(now time.Time) ringwall.Finding {
	f := ringwall.Finding{Indicator: "CO-06", Confidence: ringwall.Observed, Facts: map[string]string{}}
	var faults, notes []string
	for _, k := range s.Keys {
		if k.Served != "" && !k.Harmless {
			faults = append(faults, fmt.Sprintf("%s: the key that %s serves (%s) is the same in every device with this image", k.at(), k.Served, k.Kind))
			f.Facts["served-key"] = k.Mark
		}
	}
	for _, c := range s.Certs {
		if !s.owns(c) {
			continue
		}
		var what []string
		if k, ok := c.PublicKey.(*rsa.PublicKey); ok && k.N.BitLen() < 2048 {
			what = append(what, fmt.Sprintf("RSA of %d bits", k.N.BitLen()))
		}
		switch c.SignatureAlgorithm {
		case x509.MD5WithRSA, x509.MD2WithRSA, x509.SHA1WithRSA, x509.DSAWithSHA1, x509.ECDSAWithSHA1:
			what = append(what, "signed with "+c.SignatureAlgorithm.String())
		}
		if expired(c, now) {
			what = append(what, "expired "+c.NotAfter.UTC().Format(time.DateOnly))
		}
		line := fmt.Sprintf("%s: certificate for %q, its private key is in the image", c.File.At(), view.Clip(c.Subject.CommonName, 60))
		if len(what) > 0 {
			faults = append(faults, line+"; "+strings.Join(what, ", "))
		} else {
			notes = append(notes, line)
		}
	}
	f.Evidence = bound(append(faults, notes...))
	switch {
	case len(faults) > 0:
		f.Outcome, f.Title = ringwall.Fail, "keys or certificates of the image are shared by all devices, weak or expired"
	case len(notes) > 0:
		f.Outcome, f.Title = ringwall.Fail, "the image holds a certificate with its private key, the same in every device"
	default:
		f.Title = "the image holds no certificate with its key, so what the device serves was not seen"
	}
	return f
}

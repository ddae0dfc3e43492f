// Package secrets finds what an image must not hold: private keys and tokens
// (FS-02), Wi-Fi and cloud secrets in clear (DA-01), and what is wrong with the
// certificates that go with its keys (CO-06).
//
// A key is one only when its armour and its arithmetic hold; the words "BEGIN
// PRIVATE KEY" among the strings of a crypto library are none. Keys whose
// private half is published are told apart by their marks: the self-test key of
// a library inside that library is noted and harms nobody, the same key in a
// server's configuration is worse than a private one. A token must have the
// form and the checksums or structure its issuer gives it.
//
// No secret leaves the package: a finding names the place and the kind, a mark
// is the SHA-256 of the public key, or of the secret where that is long and
// random. Work and findings are bounded per file and per image.
//
// Forms: RFC 7468, RFC 8017, RFC 5915, RFC 5958, RFC 4253 section 6.6, OpenSSH's
// PROTOCOL.key, RFC 7519.
package secrets

import (
	"bytes"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"fmt"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/ringwall/ringwall/api"
	"github.com/ringwall/ringwall/internal/inspect/shell"
	"github.com/ringwall/ringwall/internal/inspect/view"
	"github.com/ringwall/ringwall/internal/known"
)

// Key is one private key of an image.
type Key struct {
	File      *view.File
	Offset    int
	Form      string
	Kind      string
	Mark      string
	Encrypted bool
	Bits      int
	Known     known.Key // set when its private half is published
	Harmless  bool      // a known test key inside a library
	// Served names the service whose configuration names the key, "" for none.
	Served string
}

// Cert is one certificate that goes with a key, or stands beside one.
type Cert struct {
	File *view.File
	*x509.Certificate
	Mark string // of its public key
}

// Item is one other secret.
type Item struct {
	File  *view.File
	Line  int // 0 in a binary
	At    int // offset in a binary
	Kind  string
	Hard  bool // it gives access by itself
	value string
}

// Scan gathers secrets while the files of a view are read once.
type Scan struct {
	Keys  []Key
	Certs []Cert
	Items []Item
	Wifi  []Item // DA-01
	known map[string]known.Key
	forms []form
}

// Bounds per image.
const (
	maxItems = 200
	maxCerts = 400
)

// NewScan returns a scan of one view.
func NewScan() *Scan { return &Scan{known: known.Keys(), forms: forms()} }

// File reads one file.
func (s *Scan) File(v *view.View, f *view.File, data []byte) {
	if len(s.Keys) < maxItems && !documentation(f.Path) {
		s.keys(f, data)
	}
	if len(s.Certs) < maxCerts && len(data) < 64<<10 {
		s.certs(f, data)
	}
	if len(s.Items) < maxItems && !documentation(f.Path) {
		s.tokens(f, data)
	}
	if text := view.IsText(data); text && len(s.Wifi) < maxItems && !documentation(f.Path) {
		s.config(v, f, string(data))
	}
}

// documentation tells places whose secrets are examples.
func documentation(p string) bool {
	return strings.HasPrefix(p, "/usr/share/doc/") || strings.HasPrefix(p, "/usr/share/man/") || strings.HasPrefix(p, "/usr/share/info/") ||
		strings.HasPrefix(p, "/usr/share/perl") || strings.HasPrefix(p, "/usr/lib/python") || strings.HasSuffix(p, ".example") || strings.HasSuffix(p, ".sample")
}

func (s *Scan) keys(f *view.File, data []byte) {
	all := pemKeys(data)
	if len(data) < 8<<10 {
		if k := dropbearKey(data); k != nil {
			all = append(all, *k)
		}
	}
	all = append(all, derKeys(data)...)
	first := len(s.Keys)
	tests := 0
	for _, k := range all {
		if k.mark != "" && slices.ContainsFunc(s.Keys[first:], func(o Key) bool { return o.Mark == k.mark }) {
			continue
		}
		n := Key{File: f, Offset: k.offset, Form: k.form, Kind: k.kind, Mark: k.mark, Encrypted: k.encrypted, Bits: k.bits, Known: s.known[k.mark]}
		if n.Known.Library {
			tests++
		}
		s.Keys = append(s.Keys, n)
	}
	// Inside a program or library, keys of a self-test come together; those
	// that cannot be read there, being encrypted or of a rare kind, are of the
	// same test.
	if tests > 0 && (view.IsELF(data) || bytes.HasPrefix(data, []byte("!<arch>\n"))) {
		for i := range s.Keys[first:] {
			k := &s.Keys[first+i]
			k.Harmless = k.Known.Library || k.Mark == ""
		}
	}
}

func (s *Scan) certs(f *view.File, data []byte) {
	n := bytes.Count(data, []byte("-----BEGIN CERTIFICATE-----"))
	var ders [][]byte
	for rest := data; n > 0 && n <= 4; n-- {
		i := bytes.Index(rest, []byte("-----BEGIN CERTIFICATE-----"))
		if i < 0 {
			break
		}
		if b := armour(rest[i:min(i+maxKeyText, len(rest))]); b != nil {
			ders = append(ders, b.Bytes)
		}
		rest = rest[i+20:]
	}
	switch strings.ToLower(path.Ext(f.Path)) {
	case ".der", ".crt", ".cer":
		if len(data) > 4 && data[0] == 0x30 {
			ders = append(ders, data)
		}
	}
	for _, d := range ders {
		if c, err := x509.ParseCertificate(d); err == nil {
			s.Certs = append(s.Certs, Cert{File: f, Certificate: c, Mark: Mark(c.PublicKey)})
		}
	}
}

// Served joins keys with the configurations of what is started: a key that the
// command line, the configuration or the habit of a server names is served.
func (s *Scan) Served(v *view.View, commands []shell.Command) {
	names := map[string]string{} // path of a key file -> service
	for _, c := range commands {
		name := path.Base(c.Name)
		for _, a := range c.Args {
			if f, ok := v.Find(a); ok && strings.HasPrefix(a, "/") {
				names[f.Path] = name
			}
		}
		switch name {
		case "dropbear":
			habit(v, names, "ssh", "/etc/dropbear", "/etc/config/dropbear", "/etc")
		case "sshd":
			habit(v, names, "ssh", "/etc/ssh")
		case "uhttpd":
			configured(v, names, "https", "/etc/config/uhttpd")
		case "lighttpd":
			configured(v, names, "https", "/etc/lighttpd/lighttpd.conf")
		case "nginx":
			configured(v, names, "https", "/etc/nginx/nginx.conf")
		case "stunnel", "stunnel4":
			configured(v, names, "tls", "/etc/stunnel/stunnel.conf")
		case "mosquitto":
			configured(v, names, "mqtts", "/etc/mosquitto/mosquitto.conf")
		}
		for _, a := range c.Args {
			if strings.HasSuffix(a, ".conf") {
				configured(v, names, name, a)
			}
		}
	}
	for i := range s.Keys {
		s.Keys[i].Served = names[s.Keys[i].File.Path]
	}
}

func habit(v *view.View, names map[string]string, service string, dirs ...string) {
	for _, d := range dirs {
		for _, n := range v.List(d) {
			if strings.Contains(n, "host") && strings.Contains(n, "key") && !strings.HasSuffix(n, ".pub") {
				if f, ok := v.Find(path.Join(d, n)); ok {
					names[f.Path] = service
				}
			}
		}
	}
}

func configured(v *view.View, names map[string]string, service, conf string) {
	text, ok := v.Text(conf)
	if !ok {
		return
	}
	for line := range strings.Lines(text) {
		line, _, _ = strings.Cut(line, "#")
		for _, w := range strings.FieldsFunc(line, func(r rune) bool { return strings.ContainsRune(" \t\"'=;\n,", r) }) {
			if strings.HasPrefix(w, "/") {
				if f, ok := v.Find(w); ok && f.Mode.IsRegular() {
					names[f.Path] = service
				}
			}
		}
	}
}

// at names the place of a key for evidence.
func (k Key) at() string {
	if view.IsText([]byte(k.Form)) && k.Offset > 0 {
		return fmt.Sprintf("%s offset %#x", k.File.At(), k.Offset)
	}
	return k.File.At()
}

func (i Item) at() string {
	if i.Line > 0 {
		return fmt.Sprintf("%s line %d%s", i.File.Path, i.Line, from(i.File))
	}
	return fmt.Sprintf("%s offset %#x", i.File.At(), i.At)
}

func from(f *view.File) string {
	if f.From == "" {
		return ""
	}
	return " (" + f.From + ")"
}

// Marks returns the marks of all that was found.
func (s *Scan) Marks() []api.SecretMark {
	var out []api.SecretMark
	add := func(m api.SecretMark) {
		if m.Mark != "" && !slices.Contains(out, m) {
			out = append(out, m)
		}
	}
	for _, k := range s.Keys {
		kind := "private-key"
		if k.Served == "ssh" || k.Form == "dropbear" {
			kind = "host-key"
		}
		add(api.SecretMark{Kind: kind, Mark: k.Mark, Path: k.File.Path, Known: k.Known.Name})
	}
	for _, c := range s.Certs {
		if s.owns(c) && !c.IsCA {
			sum := sha256.Sum256(c.Raw)
			add(api.SecretMark{Kind: "certificate", Mark: hex.EncodeToString(sum[:]), Path: c.File.Path, Known: s.known[c.Mark].Name})
		}
	}
	for _, i := range s.Items {
		sum := sha256.Sum256([]byte(i.value))
		add(api.SecretMark{Kind: "token", Mark: hex.EncodeToString(sum[:]), Path: i.File.Path})
	}
	return out
}

// owns reports whether the image has the private key of a certificate.
func (s *Scan) owns(c Cert) bool {
	return c.Mark != "" && slices.ContainsFunc(s.Keys, func(k Key) bool { return k.Mark == c.Mark && !k.Harmless })
}

// expired reports whether a certificate is past its time, with some sense for
// devices whose clocks begin in 1970.
func expired(c Cert, now time.Time) bool { return now.After(c.NotAfter) }

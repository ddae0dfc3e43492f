package platform

import (
	"context"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"os"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/api"
	"github.com/ringwall/ringwall/internal/audit"
	"github.com/ringwall/ringwall/internal/mudfetch"
	"github.com/ringwall/ringwall/internal/sqlstore"
	"github.com/ringwall/ringwall/mud"
)

// settingMUD is the name of what an organisation has laid down about usage
// descriptions.
const settingMUD = "descriptions"

// Where a root comes from.
const (
	rootOfPlatform = "platform"
	rootOfOrg      = "organisation"
)

// readMUDRoots reads the file of those who may vouch for signers to every
// organisation; "" is none.
func readMUDRoots(name string) ([]*x509.Certificate, error) {
	if name == "" {
		return nil, nil
	}
	f, err := os.Open(name)
	if err != nil {
		return nil, ringwall.Errorf(ringwall.Invalid, "reading the roots of usage descriptions: %w", err)
	}
	defer f.Close() // it was only read
	b, err := io.ReadAll(io.LimitReader(f, mud.MaxRootFile+1))
	if err != nil {
		return nil, fmt.Errorf("reading the roots of usage descriptions: %w", err)
	}
	roots, err := mud.Roots(b)
	if err != nil {
		return nil, fmt.Errorf("reading %q: %w", name, err)
	}
	if len(roots) == 0 {
		return nil, ringwall.Errorf(ringwall.Invalid, "%q holds no certificate", name)
	}
	return roots, nil
}

func mudSettings(tx *sqlstore.Tx, scope audit.Scope) (out api.MUDSettings, err error) {
	text, err := tx.OrgSetting(scope, settingMUD)
	if err != nil || text == "" {
		return out, err
	}
	if err := json.Unmarshal([]byte(text), &out); err != nil {
		return out, ringwall.Errorf(ringwall.Internal, "reading the settings of usage descriptions: %w", err)
	}
	return out, nil
}

// mudTrust is who may sign: those for whom a root of the platform, or one of the
// organisation, vouches; and whom the device's certificate names alone, where it
// names one.
func (c *core) mudTrust(set api.MUDSettings, signer string) (mud.Trust, error) {
	own, err := mud.Roots([]byte(set.Roots))
	if err != nil {
		return mud.Trust{}, ringwall.Errorf(ringwall.Internal, "the organisation's roots of usage descriptions: %w", err)
	}
	pool := x509.NewCertPool()
	for _, list := range [][]*x509.Certificate{c.mudRoots, own} {
		for _, r := range list {
			pool.AddCert(r)
		}
	}
	return mud.Trust{Roots: pool, Signer: signer, Now: c.now()}, nil
}

// signatureNow checks the signature of a description with the roots of now. One
// that could not be got stays unchecked for the reason that there was.
func (c *core) signatureNow(tx *sqlstore.Tx, scope audit.Scope, m api.MUDState, f sqlstore.MUDFile) (api.MUDState, error) {
	if len(f.Body) == 0 {
		return m, nil
	}
	file, err := mud.Parse(f.Body)
	if err != nil || file.Signed() && len(f.Signature) == 0 {
		return m, nil
	}
	set, err := mudSettings(tx, scope)
	if err != nil {
		return m, err
	}
	trust, err := c.mudTrust(set, m.NamedSigner)
	if err != nil {
		return m, err
	}
	got := mudfetch.Fetched{File: file, Body: f.Body, Signature: f.Signature}
	sig := got.Check(trust)
	m.Signature, m.Signer, m.Root, m.Reason = string(sig.State), sig.Signer, sig.Root, sig.Reason
	return m, nil
}

// MUDSettings answers whose signatures of usage descriptions are trusted.
func (s *service) MUDSettings(ctx context.Context, a audit.Actor) (out api.MUDSettings, err error) {
	err = s.view(ctx, a, audit.PolicyRead, on("organisation", string(a.Org)), func(tx *sqlstore.Tx, scope audit.Scope) error {
		out, err = mudSettings(tx, scope)
		return err
	})
	if err != nil {
		return out, err
	}
	own, err := mud.Roots([]byte(out.Roots))
	if err != nil {
		return out, ringwall.Errorf(ringwall.Internal, "the organisation's roots of usage descriptions: %w", err)
	}
	for _, x := range []struct {
		from  string
		certs []*x509.Certificate
	}{{rootOfPlatform, s.mudRoots}, {rootOfOrg, own}} {
		for _, r := range x.certs {
			sum := sha256.Sum256(r.Raw)
			out.Trusted = append(out.Trusted, api.MUDRoot{Subject: r.Subject.String(), Digest: hex.EncodeToString(sum[:]), Until: r.NotAfter.UTC(), From: x.from})
		}
	}
	return out, nil
}

// PutMUDSettings lays it down anew. Whom the organisation trusts to sign is an
// administrator's to say: whoever may do no more than write terms must not make
// himself a maker.
func (s *service) PutMUDSettings(ctx context.Context, a audit.Actor, in api.MUDSettings) (api.MUDSettings, error) {
	if _, err := mud.Roots([]byte(in.Roots)); err != nil {
		return in, err
	}
	in.Trusted = nil
	text, err := json.Marshal(in)
	if err != nil {
		return in, err
	}
	target := on("organisation", string(a.Org))
	target.Org = a.Org
	if _, err := s.auditor.Authorise(ctx, a, audit.OrgAdmin, target); err != nil {
		return in, err
	}
	if err := s.change(ctx, a, audit.PolicyWrite, on("organisation", string(a.Org)), func(t *turn, scope audit.Scope) error {
		return t.tx.PutOrgSetting(scope, settingMUD, string(text))
	}); err != nil {
		return in, err
	}
	return s.MUDSettings(ctx, a)
}

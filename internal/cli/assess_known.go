package cli

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"os"

	"golang.org/x/net/proxy"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/api"
	"github.com/ringwall/ringwall/internal/assess"
	"github.com/ringwall/ringwall/internal/vuln"
	"github.com/ringwall/ringwall/internal/vuln/sbom"
	"github.com/ringwall/ringwall/internal/vuln/vex"
)

// known is the vulnerability data in use, with what those who answer for a
// product say of single ones (VEX).
type known struct {
	*vuln.Data
	said []vuln.Statement
}

// Match matches components; statements give the states.
func (k *known) Match(cs []api.Component) []api.Vulnerability {
	return vuln.Apply(k.Data.Match(cs), k.said)
}

// MatchDevice matches a make and model in the same way.
func (k *known) MatchDevice(id api.Identity) []api.Vulnerability {
	return vuln.Apply(k.Data.MatchDevice(id), k.said)
}

// knows gathers the data in use and the statements in files.
func knows(env Env, files []string) (*known, error) {
	data, err := knownVulnerabilities(env)
	if err != nil {
		return nil, err
	}
	k := &known{Data: data}
	for _, path := range files {
		f, err := os.Open(path)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", safe(path), gone(err))
		}
		said, left, err := vex.Read(f, vex.Options{})
		_ = f.Close() // it was only read
		if err != nil {
			return nil, fmt.Errorf("%s: %w", safe(path), err)
		}
		if left > 0 {
			fmt.Fprintf(env.Stderr, "%s: %d statements are not about a CVE and left out\n", safe(path), left)
		}
		k.said = append(k.said, said...)
	}
	return k, nil
}

// isSBOM reports whether a document is a CycloneDX bill of materials.
func isSBOM(b []byte) bool {
	return bytes.Contains(b[:min(len(b), 4096)], []byte(`"bomFormat"`)) || bytes.Contains(b[:min(len(b), 4096)], []byte("cyclonedx.org/schema/bom"))
}

// bill makes of a supplier's bill of materials what it declares: the software
// that is in the device, and what is known of that.
func bill(env Env, who string, b []byte, k *known) (api.Examination, error) {
	cs, err := sbom.Read(bytes.NewReader(b))
	if err != nil {
		return api.Examination{}, err
	}
	now := env.Now().UTC()
	x := api.Examination{
		Kind: api.ExamDeclaration, Source: assess.SourceDeclaration + who, Made: now, Tool: toolName(), Components: cs,
		Notes: []string{fmt.Sprintf("%d components as the supplier lists them", len(cs))},
	}
	x.Findings = k.Judge(x.Source, cs, k.Match(cs), now)
	return x, nil
}

// vantage is a place on the world's side of the site's border, by way of a SOCKS
// proxy there (RFC 1928), such as that of "ssh -D". It carries TCP only.
type vantage struct{ proxy.ContextDialer }

// DialContext connects from there.
func (v vantage) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	return v.ContextDialer.DialContext(ctx, network, address)
}

// ListenPacket refuses: no datagrams go by a SOCKS proxy of this kind.
func (vantage) ListenPacket(context.Context, string, string) (net.PacketConn, error) {
	return nil, ringwall.Errorf(ringwall.Unavailable, "the vantage outside carries no datagrams")
}

// outside reads where the world is looked from, and at what.
func outside(from string, public []string) (assess.Network, []netip.Addr, error) {
	if from == "" && len(public) == 0 {
		return nil, nil, nil
	}
	if from == "" || len(public) == 0 {
		return nil, nil, usagef("--outside and --public belong together: where it is looked from, and at which address")
	}
	u, err := url.Parse(from)
	if err != nil || u.Scheme != "socks5" || u.Hostname() == "" || u.Port() == "" {
		return nil, nil, usagef("--outside takes socks5://HOST:PORT")
	}
	if u.User != nil {
		return nil, nil, usagef("--outside takes no user name and password")
	}
	d, err := proxy.SOCKS5("tcp", u.Host, nil, &net.Dialer{})
	if err != nil {
		return nil, nil, ringwall.Errorf(ringwall.Invalid, "reaching the vantage outside: %w", err)
	}
	dialer, ok := d.(proxy.ContextDialer)
	if !ok {
		return nil, nil, ringwall.Errorf(ringwall.Internal, "the SOCKS dialer takes no context")
	}
	var at []netip.Addr
	for _, p := range public {
		a, err := netip.ParseAddr(p)
		if err != nil {
			return nil, nil, usagef("--public %q is not an address", p)
		}
		at = append(at, a.Unmap())
	}
	return vantage{dialer}, at, nil
}

package cli

import (
	"context"
	"crypto/x509"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/api"
	"github.com/ringwall/ringwall/internal/mudfetch"
	"github.com/ringwall/ringwall/internal/policy"
	"github.com/ringwall/ringwall/internal/policy/mudpolicy"
	"github.com/ringwall/ringwall/mud"
)

// newMUD makes "ringwall mud": manufacturers' usage descriptions, with no server.
func newMUD(env Env) *cobra.Command {
	c := &cobra.Command{
		Use:   "mud",
		Short: "Read, write, compare and verify manufacturers' usage descriptions",
		Long: `Mud works with Manufacturer Usage Descriptions (RFC 8520, RFC 9761). Until an
operator has approved it, a description can only narrow what a device may do.`,
		Args: exactArgs(0),
		RunE: func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	c.AddCommand(newMUDImport(env), newMUDExport(env), newMUDDiff(env), newMUDVerify(env))
	return c
}

// leastArgs is cobra.MinimumNArgs with a usage error.
func leastArgs(n int) cobra.PositionalArgs {
	return func(c *cobra.Command, args []string) error {
		if len(args) < n {
			return usagef("%s takes at least %d arguments, got %d; see %q", c.CommandPath(), n, len(args), c.CommandPath()+" --help")
		}
		return nil
	}
}

// sigFlags are how a description's signature is checked.
type sigFlags struct{ signature, roots, certificate string }

func (s *sigFlags) register(c *cobra.Command) {
	c.Flags().StringVar(&s.signature, "signature", "", "file with the detached CMS signature")
	c.Flags().StringVar(&s.roots, "roots", "", "file with the certificates (PEM) that may vouch for signers")
	c.Flags().StringVar(&s.certificate, "certificate", "", "the device's own certificate (PEM or DER), which may name the only signer (RFC 8520 section 11)")
}

// readMUD reads a description from a file or from an https URL and says what is
// known of its signature.
func readMUD(ctx context.Context, env Env, at string, s sigFlags) (*mud.File, mud.Signature, error) {
	trust := mud.Trust{Now: env.Now()}
	if s.roots != "" {
		b, err := readAll(env, s.roots, 1<<20)
		if err != nil {
			return nil, mud.Signature{}, err
		}
		roots, err := mud.Roots(b)
		if err != nil {
			return nil, mud.Signature{}, ringwall.Errorf(ringwall.Invalid, "%s: %w", s.roots, err)
		}
		trust.Roots = x509.NewCertPool()
		for _, r := range roots {
			trust.Roots.AddCert(r)
		}
	}
	if s.certificate != "" {
		b, err := readAll(env, s.certificate, mud.MaxSignature)
		if err != nil {
			return nil, mud.Signature{}, err
		}
		cert, err := mud.ReadCertificate(b)
		if err != nil {
			return nil, mud.Signature{}, ringwall.Errorf(ringwall.Invalid, "%s: %w", s.certificate, err)
		}
		if _, trust.Signer, err = mud.Certified(cert); err != nil {
			return nil, mud.Signature{}, ringwall.Errorf(ringwall.Invalid, "%s: %w", s.certificate, err)
		}
	}
	if strings.HasPrefix(at, "https://") {
		got, err := mudfetch.New(mudfetch.Config{Now: env.Now}).Fetch(ctx, at)
		if err != nil {
			return nil, mud.Signature{}, err
		}
		return got.File, got.Check(trust), nil
	}
	b, err := readAll(env, at, mud.MaxSize)
	if err != nil {
		return nil, mud.Signature{}, err
	}
	f, err := mud.Parse(b)
	if err != nil {
		return nil, mud.Signature{}, ringwall.Errorf(ringwall.Invalid, "%s: %w", at, err)
	}
	var cms []byte
	in, err := flagFile(s.signature)
	if err != nil {
		return nil, mud.Signature{}, err
	}
	if in != nil {
		defer in.Close() // it was only read
		if cms, err = io.ReadAll(io.LimitReader(in, mud.MaxSignature+1)); err != nil {
			return nil, mud.Signature{}, ringwall.Errorf(ringwall.Unavailable, "reading %q: %w", s.signature, err)
		}
	}
	return f, mud.CheckSignature(f, b, cms, nil, trust), nil
}

// mudImport is what import answers in JSON.
type mudImport struct {
	URL           string        `json:"url"`
	Manufacturer  string        `json:"manufacturer,omitempty"`
	Model         string        `json:"model,omitempty"`
	LastUpdate    time.Time     `json:"lastUpdate"`
	CacheValidity api.Duration  `json:"cacheValidity"`
	Supported     bool          `json:"supported"`
	Signature     mud.Signature `json:"signature"`
	Terms         []api.Term    `json:"terms"`
	Notes         []string      `json:"notes"`
}

func newMUDImport(env Env) *cobra.Command {
	var s sigFlags
	var asJSON, terms bool
	c := &cobra.Command{
		Use:   "import FILE|https://URL",
		Short: "Show a description as terms of a policy",
		Long: `Import reads a description and shows the terms that it becomes, notes on what it
could not say as it stands, and what is known of its signature. A URL is asked
over https, at public addresses only. --terms writes the terms alone, as a policy
file.`,
		Example: "  ringwall mud import --signature lc2.p7s --roots maker.pem lc2.json",
		Args:    exactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			f, sig, err := readMUD(c.Context(), env, args[0], s)
			if err != nil {
				return err
			}
			out := mudImport{
				URL: f.URL, Manufacturer: f.Manufacturer, Model: f.Model, LastUpdate: f.LastUpdate, CacheValidity: api.Duration(f.CacheValidity), Supported: f.Supported, Signature: sig,
			}
			var notes []api.Said
			out.Terms, notes = mudpolicy.Terms(f)
			out.Notes = append([]string{}, f.Notes...)
			for _, n := range notes {
				out.Notes = append(out.Notes, n.Text)
			}
			switch {
			case terms:
				return printJSON(env.Stdout, out.Terms)
			case asJSON:
				return printJSON(env.Stdout, out)
			}
			w := env.Stdout
			fmt.Fprintf(w, "%s %s (%s), updated %s\n", f.Manufacturer, f.Model, f.URL, f.LastUpdate.Format(time.RFC3339))
			showSignature(w, sig)
			for i := range out.Terms {
				fmt.Fprintln(w, policy.TermText(&out.Terms[i]))
			}
			for _, n := range out.Notes {
				fmt.Fprintf(w, "note: %s\n", n)
			}
			return nil
		},
	}
	s.register(c)
	c.Flags().BoolVar(&asJSON, "json", false, "all of it as JSON")
	c.Flags().BoolVar(&terms, "terms", false, "the terms alone, as a policy file")
	return c
}

func showSignature(w io.Writer, s mud.Signature) {
	fmt.Fprintf(w, "signature: %s", s.State)
	if s.Signer != "" {
		fmt.Fprintf(w, ", by %s", s.Signer)
	}
	if s.Root != "" {
		fmt.Fprintf(w, ", for whom %s vouches", s.Root)
	}
	if s.Reason != "" {
		fmt.Fprintf(w, " (%s)", s.Reason)
	}
	fmt.Fprintln(w)
}

func newMUDExport(env Env) *cobra.Command {
	var a mudpolicy.About
	var device, updated string
	c := &cobra.Command{
		Use:   "export FILE",
		Short: "Write a policy as a draft of a description",
		Long: `Export writes what a policy file allows and denies as a usage description, in the
form of RFC 8520 and RFC 8519. What a description cannot say (single devices,
times, limits, wildcards, paths) is told on standard error. It is a draft: who
answers for the device reads, completes and signs it.`,
		Example: "  ringwall mud export --url https://mud.vendor.example/lc2.json --model LC-2 learned.json",
		Args:    exactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			var err error
			if a.Updated, err = timeFlag(env, updated); err != nil {
				return err
			}
			if err := mudfetch.CheckURL(a.URL); err != nil {
				return usageError{err}
			}
			d, err := readPolicy(env, args[0])
			if err != nil {
				return err
			}
			dev, err := deviceOf(&d, device)
			if err != nil {
				return err
			}
			f, notes, err := mudpolicy.Draft(dev.Terms, a)
			if err != nil {
				return err
			}
			b, err := mud.Write(f)
			if err != nil {
				return err
			}
			for _, n := range notes {
				fmt.Fprintf(env.Stderr, "ringwall: %s\n", n)
			}
			_, err = env.Stdout.Write(b)
			return err
		},
	}
	f := c.Flags()
	f.StringVar(&a.URL, "url", "", "where the description will be found; https (needed)")
	f.StringVar(&a.Signature, "signature-url", "", "where its signature will be found")
	f.StringVar(&a.Manufacturer, "maker", "", "manufacturer")
	f.StringVar(&a.Model, "model", "", "model")
	f.StringVar(&a.Firmware, "firmware", "", "firmware revision")
	f.StringVar(&a.SystemInfo, "info", "", "what the device is, 60 characters at most")
	f.StringVar(&device, "device", "", "the device, where the file is about several")
	f.StringVar(&updated, "updated", "", "when it was last changed; now")
	return c
}

func newMUDDiff(env Env) *cobra.Command {
	var asJSON bool
	var device string
	c := &cobra.Command{
		Use:   "diff FILE FILE",
		Short: "Tell what becomes allowed and refused from one description to another",
		Long: `Diff compares what two descriptions, or a description and a policy file, mean. The
lines are those of "policy diff". The status is 1 when they differ.`,
		Example: "  ringwall mud diff learned.json lc2.json",
		Args:    exactArgs(2),
		RunE: func(_ *cobra.Command, args []string) error {
			var lists [2][]api.Term
			for i, name := range args {
				terms, err := anyTerms(env, name, device)
				if err != nil {
					return err
				}
				lists[i] = terms
			}
			ch, err := policy.Diff(lists[0], lists[1])
			if err != nil {
				return err
			}
			return showChanges(env, ch, asJSON)
		},
	}
	c.Flags().BoolVar(&asJSON, "json", false, "as JSON")
	c.Flags().StringVar(&device, "device", "", "the device, where a policy file is about several")
	return c
}

// anyTerms reads the terms of a description or of a policy file.
func anyTerms(env Env, name, device string) ([]api.Term, error) {
	b, err := readAll(env, name, maxPolicyFile)
	if err != nil {
		return nil, err
	}
	if strings.Contains(string(b), `"ietf-mud:mud"`) {
		f, err := mud.Parse(b)
		if err != nil {
			return nil, ringwall.Errorf(ringwall.Invalid, "%s: %w", name, err)
		}
		terms, notes := mudpolicy.Terms(f)
		for _, n := range notes {
			fmt.Fprintf(env.Stderr, "ringwall: %s: %s\n", name, n)
		}
		return terms, nil
	}
	d, err := parsePolicy(b)
	if err != nil {
		return nil, ringwall.Errorf(ringwall.Invalid, "%s: %w", name, err)
	}
	dev, err := deviceOf(&d, device)
	if err != nil {
		return nil, err
	}
	return dev.Terms, nil
}

func newMUDVerify(env Env) *cobra.Command {
	var s sigFlags
	var asJSON bool
	c := &cobra.Command{
		Use:   "verify FILE|https://URL",
		Short: "Check a description and its signature",
		Long: `Verify reads a description and checks its signature (RFC 8520 section 13.2). The
answer is one of valid, invalid (it does not hold, or was made by somebody who may
not sign, or not any more), unknown-signer (it holds, and nobody that --roots names
vouches for the signer), unsigned, and unchecked (it is not at hand or cannot be
read). The status is 0 for valid alone.`,
		Example: "  ringwall mud verify --signature lc2.p7s --roots maker.pem lc2.json",
		Args:    exactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			_, sig, err := readMUD(c.Context(), env, args[0], s)
			if err != nil {
				return err
			}
			if asJSON {
				if err := printJSON(env.Stdout, sig); err != nil {
					return err
				}
			} else {
				showSignature(env.Stdout, sig)
			}
			if sig.State != mud.SignatureValid {
				return errFound
			}
			return nil
		},
	}
	s.register(c)
	c.Flags().BoolVar(&asJSON, "json", false, "as JSON")
	return c
}

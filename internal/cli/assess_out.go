package cli

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/api"
	"github.com/ringwall/ringwall/internal/assess"
	"github.com/ringwall/ringwall/internal/durable"
	"github.com/ringwall/ringwall/internal/i18n"
	"github.com/ringwall/ringwall/internal/report"
)

// toolName is how this program signs what it makes.
func toolName() string { return "ringwall " + ringwall.Version }

// outputs are the files that an assessment is written to besides.
type outputs struct {
	sarif    bool // on stdout
	files    map[string]*string
	bundle   string
	key      string
	language string
}

func (o *outputs) flags(c *cobra.Command) {
	o.files = map[string]*string{}
	c.Flags().BoolVar(&o.sarif, "sarif", false, "print SARIF 2.1.0 instead of a table")
	for _, f := range report.Formats() {
		if f.Name == "sarif" {
			continue
		}
		o.files[f.Name] = c.Flags().String(f.Name, "", "write a report to this file ("+strings.TrimPrefix(f.Ext, ".")+"); of several devices each gets its own")
	}
	c.Flags().StringVar(&o.bundle, "bundle", "", "write the signed evidence to this file, for \"ringwall assess regrade\"")
	c.Flags().StringVar(&o.key, "key", "", "Ed25519 key that signs the evidence (PEM; default: one of your own, made when it is first needed)")
	c.Flags().StringVar(&o.language, "lang", "en", "language of reports: en or zh")
}

// wanted reports whether any file is to be written.
func (o *outputs) check() error {
	if o.language != "en" && o.language != "zh" {
		return usagef("--lang %q is not en or zh", o.language)
	}
	return nil
}

// write writes what was asked for.
func (o *outputs) write(env Env, as []api.Assessment, labs []api.Laboratory) error {
	catalogue, err := i18n.Load()
	if err != nil {
		return err
	}
	words := catalogue.Match(map[string]string{"en": "en", "zh": "zh-CN"}[o.language])
	var log sarifLog
	for n, a := range as {
		in, err := report.Of(a, a.Target, assess.Remedials(assess.Default().For(a.Profile), graded(a, labs), a.Device, a.Services, a.Ended), env.Now().UTC(), toolName(), words)
		if err != nil {
			return err
		}
		for _, f := range report.Formats() {
			path := ""
			if f.Name != "sarif" {
				path = *o.files[f.Name]
			} else if o.sarif {
				var b bytes.Buffer
				if err := f.Write(&b, in); err != nil {
					return err
				}
				if err := log.add(b.Bytes()); err != nil {
					return err
				}
				continue
			}
			if path == "" {
				continue
			}
			var b bytes.Buffer
			if err := f.Write(&b, in); err != nil {
				return fmt.Errorf("writing the report on %s: %w", safe(a.Target), err)
			}
			if err := durable.WriteFile(numbered(path, n, len(as)), b.Bytes(), 0o644); err != nil {
				return err
			}
		}
		if o.bundle != "" {
			if err := o.seal(env, numbered(o.bundle, n, len(as)), a, labs); err != nil {
				return err
			}
		}
	}
	if o.sarif {
		return json.NewEncoder(env.Stdout).Encode(log)
	}
	return nil
}

// sarifLog is one log with a run for each device (SARIF 2.1.0 section 3.13).
type sarifLog struct {
	Schema  string            `json:"$schema"`
	Version string            `json:"version"`
	Runs    []json.RawMessage `json:"runs"`
}

func (l *sarifLog) add(doc []byte) error {
	var one sarifLog
	if err := json.Unmarshal(doc, &one); err != nil {
		return fmt.Errorf("joining SARIF logs: %w", err)
	}
	l.Schema, l.Version, l.Runs = one.Schema, one.Version, append(l.Runs, one.Runs...)
	return nil
}

// numbered names the file of the n-th device of several.
func numbered(path string, n, of int) string {
	if of < 2 {
		return path
	}
	ext := filepath.Ext(path)
	return fmt.Sprintf("%s-%d%s", strings.TrimSuffix(path, ext), n+1, ext)
}

// graded grades an assessment's evidence as it was graded.
func graded(a api.Assessment, labs []api.Laboratory) assess.Result {
	return assess.Grade(assess.Default().For(a.Profile), assess.Evidence(a.Examinations, labs), a.Ended)
}

func (o *outputs) seal(env Env, path string, a api.Assessment, labs []api.Laboratory) error {
	key, where, err := signingKey(env, o.key)
	if err != nil {
		return err
	}
	var incidents []ringwall.Finding
	for _, f := range a.Findings {
		if f.Indicator == ringwall.ObservedCompromise {
			incidents = append(incidents, f)
		}
	}
	b, _, err := assess.NewBundle(assess.Default(), a.Profile, a.Examinations, labs, incidents, a.Ended)
	if err != nil {
		return err
	}
	b.Target, b.Device = a.Target, a.Device
	sealed, err := assess.Seal(key, b)
	if err != nil {
		return err
	}
	if err := durable.WriteFile(path, sealed, 0o644); err != nil {
		return err
	}
	pub, _ := key.Public().(ed25519.PublicKey)
	fmt.Fprintf(env.Stderr, "evidence sealed in %s with key %s (%s)\n", path, assess.KeyID(pub), where)
	return nil
}

// signingKey reads a key, or makes one's own when it is first needed.
func signingKey(env Env, path string) (ed25519.PrivateKey, string, error) {
	if path == "" {
		dir, err := configDir(env)
		if err != nil {
			return nil, "", err
		}
		path = filepath.Join(dir, "evidence.key")
		if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
			if err := makeKey(path); err != nil {
				return nil, "", err
			}
		}
	}
	block, err := readPEM(path, "PRIVATE KEY")
	if err != nil {
		return nil, path, err
	}
	any, err := x509.ParsePKCS8PrivateKey(block)
	key, ok := any.(ed25519.PrivateKey)
	if err != nil || !ok {
		return nil, path, ringwall.Errorf(ringwall.Invalid, "%s holds no Ed25519 key in PKCS #8", path)
	}
	return key, path, nil
}

// configDir is where this user's own keys are kept.
func configDir(env Env) (string, error) {
	base := env.Getenv("XDG_CONFIG_HOME")
	if base == "" {
		home := env.Getenv("HOME")
		if home == "" {
			return "", ringwall.Errorf(ringwall.Invalid, "neither HOME nor XDG_CONFIG_HOME says where keys are kept; name one with --key")
		}
		base = filepath.Join(home, ".config")
	}
	dir := filepath.Join(base, "ringwall")
	return dir, os.MkdirAll(dir, 0o700)
}

func makeKey(path string) error {
	pub, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return err
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return err
	}
	if err := durable.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), 0o600); err != nil {
		return err
	}
	open, err := x509.MarshalPKIXPublicKey(pub)
	if err != nil {
		return err
	}
	return durable.WriteFile(path+".pub", pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: open}), 0o644)
}

func readPEM(path, kind string) ([]byte, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	block, _ := pem.Decode(b)
	if block == nil || block.Type != kind {
		return nil, ringwall.Errorf(ringwall.Invalid, "%s holds no PEM block %q", path, kind)
	}
	return block.Bytes, nil
}

// newRegrade judges sealed evidence again.
func newRegrade(env Env) *cobra.Command {
	var key string
	var asJSON bool
	c := &cobra.Command{
		Use: "regrade BUNDLE", Short: "Check sealed evidence and grade it again, with no network and no platform",
		Long: `Regrade checks who sealed a bundle of evidence and grades it again by the rubric
that it carries. The same evidence gives the same grade, byte for byte; a bundle
whose result does not follow from its evidence is told, with status 1.`,
		Args: func(c *cobra.Command, args []string) error {
			if len(args) != 1 {
				return usagef("%s takes one bundle", c.CommandPath())
			}
			return nil
		},
		RunE: func(_ *cobra.Command, args []string) error { return regrade(env, args[0], key, asJSON) },
	}
	c.Flags().StringVar(&key, "key", "", "public key of who sealed it (PEM; default: your own)")
	c.Flags().BoolVar(&asJSON, "json", false, "print the result as JSON")
	return c
}

func regrade(env Env, path, key string, asJSON bool) error {
	pub, err := publicKey(env, key)
	if err != nil {
		return err
	}
	sealed, err := os.ReadFile(path)
	if err != nil {
		return gone(err)
	}
	b, err := assess.Open(pub, sealed)
	if err != nil {
		return err
	}
	res, same, err := assess.Regrade(b)
	if err != nil {
		return err
	}
	if asJSON {
		enc := json.NewEncoder(env.Stdout)
		enc.SetIndent("", "  ")
		if err := enc.Encode(struct {
			Key    string        `json:"key"`
			Same   bool          `json:"same"`
			Result assess.Result `json:"result"`
		}{assess.KeyID(pub), same, res}); err != nil {
			return err
		}
	} else {
		fmt.Fprintf(env.Stdout, "sealed by key %s; graded %s at %s by rubric %s, between %s and %s, %.0f %% measured\n",
			assess.KeyID(pub), res.Grade, b.Time.Format("2006-01-02 15:04:05 MST"), res.Rubric, res.Best, res.Worst, 100*res.Coverage)
		for _, r := range res.Reasons {
			fmt.Fprintf(env.Stdout, "  - %s\n", safe(r))
		}
	}
	if !same {
		return &ringwall.Error{Code: ringwall.Unverified, Text: "the result in the bundle is not what its evidence comes to"}
	}
	return nil
}

func publicKey(env Env, path string) (ed25519.PublicKey, error) {
	if path == "" {
		dir, err := configDir(env)
		if err != nil {
			return nil, err
		}
		path = filepath.Join(dir, "evidence.key.pub")
	}
	block, err := readPEM(path, "PUBLIC KEY")
	if err != nil {
		return nil, err
	}
	any, err := x509.ParsePKIXPublicKey(block)
	pub, ok := any.(ed25519.PublicKey)
	if err != nil || !ok {
		return nil, ringwall.Errorf(ringwall.Invalid, "%s holds no Ed25519 public key", path)
	}
	return pub, nil
}

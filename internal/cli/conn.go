package cli

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/client"
)

// conn is how a command reaches its platform. A token never stands in a flag
// or a variable, which others on the machine can read: only its file does.
type conn struct {
	env    Env
	server string
	token  string // file
	ca     string // file
	data   string // directory of a platform on this machine
	plain  bool
	json   bool
}

// noun returns the parent command of verbs that speak to a platform.
func noun(env Env, name, short string, aliases []string, verbs ...func(*conn) *cobra.Command) *cobra.Command {
	k := &conn{env: env}
	c := &cobra.Command{
		Use: name, Short: short, Aliases: aliases,
		Long: short + `.

The platform is found by flags, then by variables, then on this machine:
  --server      RINGWALL_SERVER       127.0.0.1:8080
  --token-file  RINGWALL_TOKEN_FILE   token in the data directory
  --ca          RINGWALL_CA_FILE      keys/ca.crt in the data directory, then the system's
  --data        RINGWALL_DATA         ` + defaultData + ` here`,
		Args: func(c *cobra.Command, args []string) error {
			if len(args) > 0 {
				return usagef("%s has no verb %q; see %q", c.CommandPath(), args[0], c.CommandPath()+" --help")
			}
			return nil
		},
		RunE: func(c *cobra.Command, _ []string) error {
			return usagef("say what to do; see %q", c.CommandPath()+" --help")
		},
	}
	f := c.PersistentFlags()
	f.StringVar(&k.server, "server", "", "address of the platform")
	f.StringVar(&k.token, "token-file", "", "file with an API token")
	f.StringVar(&k.ca, "ca", "", "file with the authority that signed the platform's certificate (PEM)")
	f.StringVar(&k.data, "data", "", "data directory of a platform on this machine")
	f.BoolVar(&k.plain, "plain", false, "let the token travel in clear over a network")
	f.BoolVar(&k.json, "json", false, "answer as JSON")
	for _, v := range verbs {
		c.AddCommand(v(k))
	}
	return c
}

func (k *conn) pick(flag, variable, otherwise string) string {
	if flag != "" {
		return flag
	}
	if v := k.env.Getenv(variable); v != "" {
		return v
	}
	return otherwise
}

// defaultServer is where a platform listens unless told otherwise.
const defaultServer = "127.0.0.1:8080"

// maxTokenFile bounds a token's file; the real ones are much shorter.
const maxTokenFile = 4096

// open returns a client of the platform.
func (k *conn) open() (*client.Client, error) {
	data := k.pick(k.data, "RINGWALL_DATA", defaultData)
	file := k.pick(k.token, "RINGWALL_TOKEN_FILE", filepath.Join(data, "token"))
	token, err := readSmall(file)
	if err != nil {
		return nil, &ringwall.Error{Code: ringwall.Invalid, Text: "no API token is at hand", Err: err, Hint: "name its file with --token-file, or the platform's directory with --data"}
	}
	cfg := client.Config{Server: k.pick(k.server, "RINGWALL_SERVER", defaultServer), Token: strings.TrimSpace(token), AllowPlain: k.plain}
	named := k.pick(k.ca, "RINGWALL_CA_FILE", "")
	ca := named
	if ca == "" {
		ca = filepath.Join(data, "keys", "ca.crt")
	}
	pem, err := readSmall(ca)
	switch {
	case err == nil:
		pool, poolErr := x509.SystemCertPool()
		if poolErr != nil {
			pool = x509.NewCertPool()
		}
		if !pool.AppendCertsFromPEM([]byte(pem)) {
			return nil, ringwall.Errorf(ringwall.Invalid, "%s holds no certificate", ca)
		}
		transport, ok := http.DefaultTransport.(*http.Transport)
		if !ok {
			return nil, ringwall.Errorf(ringwall.Internal, "the default transport is a %T", http.DefaultTransport)
		}
		transport = transport.Clone()
		transport.TLSClientConfig = &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}
		cfg.HTTP = &http.Client{Timeout: time.Minute, Transport: transport, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	case named != "" || !errors.Is(err, fs.ErrNotExist):
		return nil, ringwall.Errorf(ringwall.Invalid, "reading the authority: %w", err)
	}
	return client.New(cfg)
}

func readSmall(file string) (string, error) {
	f, err := os.Open(file)
	if err != nil {
		return "", err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, 1<<20))
	if err == nil && len(b) > maxTokenFile*16 {
		err = fmt.Errorf("%s is too large", file)
	}
	return string(b), err
}

// ask makes a verb's RunE: it opens the client, does, and answers as JSON or
// by the printer.
func ask[T any](k *conn, do func(ctx context.Context, c *client.Client, args []string) (T, error), show func(w io.Writer, v T)) func(*cobra.Command, []string) error {
	return func(cmd *cobra.Command, args []string) error {
		c, err := k.open()
		if err != nil {
			return err
		}
		v, err := do(cmd.Context(), c, args)
		if err != nil {
			return err
		}
		if k.json {
			e := json.NewEncoder(k.env.Stdout)
			e.SetIndent("", "  ")
			e.SetEscapeHTML(false)
			return e.Encode(v)
		}
		tw := tabwriter.NewWriter(k.env.Stdout, 0, 0, 2, ' ', 0)
		show(tw, v)
		return tw.Flush()
	}
}

// row writes one line of a table; cells are made safe for a terminal.
func row(w io.Writer, cells ...any) {
	for i, c := range cells {
		if i > 0 {
			fmt.Fprint(w, "\t")
		}
		fmt.Fprint(w, safe(fmt.Sprint(c)))
	}
	fmt.Fprintln(w)
}

// when writes a time for people: "-" for none.
func when(t time.Time) string {
	if t.IsZero() {
		return "-"
	}
	return t.Local().Format("2006-01-02 15:04:05")
}

// all reads every page of a list.
func all[T any](ctx context.Context, list pager[T]) ([]T, error) {
	out := []T{}
	for v, err := range client.All(ctx, list) {
		if err != nil {
			return nil, err
		}
		out = append(out, v)
	}
	return out, nil
}

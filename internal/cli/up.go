package cli

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/internal/assess"
	"github.com/ringwall/ringwall/internal/operatorport"
	"github.com/ringwall/ringwall/internal/platform"
	"github.com/ringwall/ringwall/internal/probe"
)

// upFlags are the flags of "ringwall up".
type upFlags struct {
	data, listen, spine, enrol    string
	mqtt                          string
	tunnelListen, tunnelAdvertise string
	mudRoots                      string
	names, advertise, usage       []string
	usageDays                     int
	usageMiB                      int64
	org                           string
	keep                          time.Duration
	operator, operatorToken       string
	demo, plain, verbose          bool
	noAssess, operatorPlain       bool
	role                          string
	machine                       usageRole
}

func newUp(env Env) *cobra.Command {
	var f upFlags
	c := &cobra.Command{
		Use:   "up",
		Short: "Run the platform and its console; --demo adds the range",
		Long: `Run the platform: console and API, the spine for gateways, the store and the evidence, in one process.

The first start makes the data directory and prints the administrator's password, once.

--demo adds the range: a home with a bad camera, a good camera, a meter with a SIM and a phone behind a real gateway,
and an internet with a vendor, an attacker and a command server, each in namespaces of its own. It needs root on Linux;
elsewhere recordings of it are played through the same code. Nothing on the host is touched.

--role usage runs a machine that judges usage records (charging records) of SIM cards, alone or with others that share
the shards: see docs/usage-cluster.md. Flags that begin with "usage:" are its own; those that begin with "records:" bring
usage records to either role. With --usage-log, --cluster-listen or --cluster-peer a platform has its cards judged by such
machines: it tells them of cards and settings, and their alerts are its incidents.`,
		Example: "  ringwall up --demo\n  ringwall up --data /var/lib/ringwall-platform --listen 0.0.0.0:8080 --enrol-listen 0.0.0.0:8443 --spine-listen 0.0.0.0:4222 --name ringwall.example",
		Args:    exactArgs(0),
		RunE: func(c *cobra.Command, _ []string) error {
			switch f.role {
			case "platform":
				return runUp(c.Context(), env, f)
			case "usage":
				return runUsageRole(c.Context(), env, f)
			}
			return usagef(`--role is "platform" or "usage", not %q`, f.role)
		},
	}
	fl := c.Flags()
	fl.StringVar(&f.data, "data", "", "data directory (default: ringwall-data here; with --demo a temporary one)")
	fl.StringVar(&f.listen, "listen", "127.0.0.1:8080", "console and API; TLS unless on loopback")
	fl.StringVar(&f.spine, "spine-listen", "127.0.0.1:4222", "where gateways connect (mutual TLS)")
	fl.StringVar(&f.mqtt, "mqtt", "", "where terminals and applications with the SDK connect by MQTT (mutual TLS), such as 0.0.0.0:8883; off by default")
	fl.StringVar(&f.enrol, "enrol-listen", "127.0.0.1:8443", "where gateways enrol (TLS)")
	fl.StringVar(&f.tunnelListen, "tunnel-listen", "", "UDP port for tunnels to devices, such as :51820; none = no tunnels")
	fl.StringVar(&f.tunnelAdvertise, "tunnel-advertise", "", "where gateways find it, host:port (default: the first --name, or the host of the spine)")
	fl.StringVar(&f.mudRoots, "mud-roots", "", "file with the certificates (PEM) that may vouch for signers of makers' usage descriptions")
	fl.StringSliceVar(&f.names, "name", nil, "host name or address under which the platform is reached; repeat")
	fl.StringSliceVar(&f.advertise, "advertise", nil, "address of the spine that gateways are given, such as tls://ringwall.example:4222; repeat")
	fl.StringSliceVar(&f.usage, "usage", nil, "file of usage records: CSV is followed, other forms are read when they rest; repeat")
	fl.IntVar(&f.usageDays, "usage-days", 30, "for how many days judged usage records are kept, so that changed settings can be tried over them")
	fl.Int64Var(&f.usageMiB, "usage-mib", 20<<10, "how much room they take at most, in MiB")
	fl.StringVar(&f.operator, "operator", "", "address of the telecom operator that suspends and restores SIMs, such as https://operator.example")
	fl.StringVar(&f.operatorToken, "operator-token-file", "", "file with the operator's token")
	fl.BoolVar(&f.operatorPlain, "operator-plain", false, "let the operator's address be without TLS: a test bench, or a private network")
	fl.DurationVar(&f.keep, "keep", 90*24*time.Hour, "how long evidence is kept")
	fl.StringVar(&f.org, "org", "Home", "name of the first organisation")
	fl.BoolVar(&f.demo, "demo", false, "run the range beside the platform")
	fl.BoolVar(&f.plain, "plain", false, "speak plain HTTP beyond loopback: behind a proxy that does TLS")
	fl.BoolVar(&f.noAssess, "no-assess", false, "do not probe devices from this machine")
	fl.BoolVarP(&f.verbose, "verbose", "v", false, "log more")
	fl.StringVar(&f.role, "role", "platform", `what this machine is: "platform", or "usage", one that judges usage records`)
	f.machine.flags(fl)
	return c
}

// maxOperatorToken bounds the file with the operator's token.
const maxOperatorToken = 4096

// operatorClient returns the way to the telecom operator, nil when none is
// named. The token comes from a file, since others on the machine see arguments.
func (f upFlags) operatorClient() (*operatorport.Client, error) {
	switch {
	case f.operator == "" && f.operatorToken == "" && !f.operatorPlain:
		return nil, nil
	case f.operator == "" || f.operatorToken == "":
		return nil, usagef("--operator and --operator-token-file go together")
	case f.demo:
		return nil, usagef("--demo has an operator of its own; leave --operator out")
	}
	file, err := os.Open(f.operatorToken)
	if err != nil {
		return nil, fmt.Errorf("reading the operator's token: %w", err)
	}
	defer file.Close()
	token, err := io.ReadAll(io.LimitReader(file, maxOperatorToken+1))
	if err != nil {
		return nil, fmt.Errorf("reading the operator's token: %w", err)
	}
	if len(token) > maxOperatorToken {
		return nil, ringwall.Errorf(ringwall.Invalid, "the operator's token in %q is over %d bytes", f.operatorToken, maxOperatorToken)
	}
	return operatorport.New(operatorport.Config{URL: f.operator, Token: strings.TrimSpace(string(token)), Plain: f.operatorPlain})
}

// shellHint is how the command line finds this platform from another shell.
func shellHint(dir, addr string) string {
	if abs, err := filepath.Abs(dir); err == nil {
		dir = abs
	}
	hint := "export RINGWALL_DATA='" + strings.ReplaceAll(dir, "'", `'\''`) + "'"
	if addr != defaultServer {
		hint += " RINGWALL_SERVER=" + addr
	}
	return hint + "; then \"ringwall device list\" and the like find it"
}

// defaultData is where the platform keeps its data unless told otherwise.
const defaultData = "ringwall-data"

func runUp(ctx context.Context, env Env, f upFlags) error {
	log := slog.New(slog.NewTextHandler(env.Stderr, &slog.HandlerOptions{Level: logLevel(f.verbose)}))
	cfg := platform.Config{
		DataDir: f.data, Listen: f.listen, Plain: f.plain, SpineListen: f.spine, MQTTListen: f.mqtt, EnrolListen: f.enrol, Names: f.names, Advertise: f.advertise,
		MUDRoots: f.mudRoots, TunnelListen: f.tunnelListen, TunnelAdvertise: f.tunnelAdvertise,
		Org: f.org, Keep: f.keep, Terminal: env.Stderr, Log: log, Now: env.Now,
	}
	operator, err := f.operatorClient()
	if err != nil {
		return err
	}
	if operator != nil { // a nil client in the interface would not be nil
		cfg.Operator = operator
	}
	if cfg.DataDir == "" {
		cfg.DataDir = defaultData
		if f.demo {
			dir, err := os.MkdirTemp("", "ringwall-demo-")
			if err != nil {
				return err
			}
			defer os.RemoveAll(dir)
			cfg.DataDir = dir
		}
	}
	if err := f.records(env, log, &cfg); err != nil {
		return err
	}
	if !f.noAssess {
		cfg.Runner = &assess.Runner{Network: hostNetwork{}, Probes: probe.All(), Now: env.Now}
	}
	if f.demo {
		state, err := os.MkdirTemp("", "ringwall-gateway-")
		if err != nil {
			return err
		}
		defer os.RemoveAll(state)
		cfg.Advertise = []string{"tls://198.51.100.10:4222"}
		if cfg.MQTTListen == "" {
			cfg.MQTTListen = "127.0.0.1:0" // an application on this machine finds it by enrolling
		}
		cfg.TunnelListen, cfg.TunnelAdvertise = ":0", platform.DemoTunnels
		network := &platform.LateNetwork{}
		cfg.Runner = &assess.Runner{Network: network, Probes: probe.All(), Now: env.Now}
		self, err := os.Executable()
		if err != nil {
			return err
		}
		cfg.Demo = &platform.DemoConfig{Agent: platform.RangeAgent([]string{self, "agent"}, state, env.Stderr), Network: network}
		fmt.Fprintln(env.Stderr, "ringwall: bringing the range up; this takes some seconds")
	}
	p, err := platform.New(ctx, cfg)
	if err != nil {
		return err
	}
	return p.Run(ctx, func() {
		fmt.Fprintf(env.Stderr, "ringwall: the console is at %s\n", p.URL())
		if f.data == "" {
			// Whoever named no directory has to be told where another shell finds
			// the token, which lies in it.
			fmt.Fprintf(env.Stderr, "ringwall: hint: from another shell, %s\n", shellHint(cfg.DataDir, p.Addr().String()))
		}
		if d := p.DemoState(); d != nil {
			if !d.Live {
				fmt.Fprintf(env.Stderr, "ringwall: the range cannot run here (%s); recordings of it are played instead\n", d.Why)
			}
			for _, r := range d.Replaced {
				fmt.Fprintf(env.Stderr, "ringwall: replaced: %s\n", r)
			}
		}
	})
}

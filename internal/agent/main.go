package agent

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"runtime/debug"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/internal/nft"
	"github.com/ringwall/ringwall/internal/policy"
)

const usage = `ringwall-agent is the gateway of Ringwall.

  ringwall-agent enrol  -platform URL -token FILE (-ca FILE | -pin SHA256)   make this machine a gateway
  ringwall-agent run    -bridge NAME -ports A,B -uplink NAME                enforce, watch, report
  ringwall-agent posture                                                    on a device: speak of its own state, no more
  ringwall-agent run    -host -uplink NAME                                  on a device: the same for its own flows
  ringwall-agent close  (the flags of run)                                  load the closed rules and end: for the boot
  ringwall-agent upgrade                                                    have the program that lies in place now take over
  ringwall-agent dns                                                        the DNS guard; "run" starts it
  ringwall-agent inspect                                                    looks inside flows; "run -inspect" starts it
  ringwall-agent status [-json]                                             what is in force
  ringwall-agent version

"ringwall-agent COMMAND -h" lists the flags.
`

// errUsage marks wrong usage: exit status 2.
var errUsage = errors.New("wrong usage")

// Main is the command line of ringwall-agent: answers on stdout, talk on
// stderr. It returns the exit status: 0 fine, 1 failure, 2 wrong usage.
func Main(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	return MainAs(ctx, Parts{}, nil, args, stdout, stderr)
}

// MainAs is Main for another program, or with more parts than the core has:
// self is how it is started as the agent, the program and the arguments before
// the agent's own; nil is this program.
func MainAs(ctx context.Context, parts Parts, self, args []string, stdout, stderr io.Writer) int {
	return mainWith(ctx, Config{}, parts, self, args, stdout, stderr)
}

// mainWith is MainAs with clocks that the flags do not set.
func mainWith(ctx context.Context, base Config, parts Parts, self, args []string, stdout, stderr io.Writer) int {
	ctx, stop := signal.NotifyContext(ctx, os.Interrupt, syscall.SIGTERM)
	defer stop()
	err := dispatch(ctx, base, parts, self, args, stdout, stderr)
	switch {
	case err == nil, errors.Is(err, flag.ErrHelp):
		return 0
	case errors.Is(err, errUsage):
		if text := strings.TrimPrefix(err.Error(), errUsage.Error()+": "); text != errUsage.Error() {
			fmt.Fprintf(stderr, "ringwall-agent: %s\n", text)
		}
		return 2
	}
	fmt.Fprintf(stderr, "ringwall-agent: %v\n", err)
	if e, ok := errors.AsType[*ringwall.Error](err); ok && e.Hint != "" {
		fmt.Fprintf(stderr, "ringwall-agent: hint: %s\n", e.Hint)
	}
	return 1
}

func dispatch(ctx context.Context, base Config, parts Parts, self, args []string, stdout, stderr io.Writer) error {
	if len(args) == 0 {
		fmt.Fprint(stderr, usage)
		return errUsage
	}
	switch command, rest := args[0], args[1:]; command {
	case "enrol":
		return mainEnrol(ctx, rest, stdout, stderr)
	case "run":
		return mainRun(ctx, base, parts, self, rest, stderr)
	case "close":
		return mainClose(ctx, rest, stderr)
	case "upgrade":
		return mainUpgrade(ctx, rest, stdout, stderr)
	case "posture":
		return mainPosture(ctx, rest, stderr)
	case "dns":
		return mainDNS(ctx, rest, stderr)
	case "inspect":
		return mainInspect(ctx, rest, stderr)
	case "status":
		return mainStatus(ctx, rest, stdout, stderr)
	case "version":
		_, err := fmt.Fprintln(stdout, Version+parts.describe())
		return err
	case "help", "-h", "-help", "--help":
		_, err := fmt.Fprint(stdout, usage)
		return err
	default:
		return fmt.Errorf("%w: there is no command %q; see \"ringwall-agent help\"", errUsage, command)
	}
}

// flags returns the flag set of a command, with what all have in common.
func flags(command string, c *Config, stderr io.Writer) *flag.FlagSet {
	fs := flag.NewFlagSet("ringwall-agent "+command, flag.ContinueOnError)
	fs.SetOutput(stderr)
	fs.StringVar(&c.State, "state", DefaultState, "state `directory`")
	return fs
}

func parse(fs *flag.FlagSet, args []string) error {
	if err := fs.Parse(args); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			return err
		}
		return errUsage // the flag set has said what is wrong
	}
	if fs.NArg() > 0 {
		return fmt.Errorf("%w: %q is too much", errUsage, fs.Arg(0))
	}
	return nil
}

// list is a flag of names with commas between them.
type list []string

func (l *list) String() string { return strings.Join(*l, ",") }
func (l *list) Set(s string) error {
	*l = nil
	for _, e := range strings.Split(s, ",") {
		if e = strings.TrimSpace(e); e != "" {
			*l = append(*l, e)
		}
	}
	return nil
}

// services is a flag of ports such as "tcp/22,udp/161".
type services []nft.Service

func (l *services) String() string { return fmt.Sprint(*l) }
func (l *services) Set(s string) error {
	*l = nil
	for _, e := range strings.Split(s, ",") {
		proto, port, _ := strings.Cut(strings.TrimSpace(e), "/")
		n, err := strconv.ParseUint(port, 10, 16)
		number, known := map[string]uint8{"tcp": policy.ProtoTCP, "udp": policy.ProtoUDP}[proto]
		if err != nil || n == 0 || !known {
			return fmt.Errorf("%q is not of the form tcp/22", e)
		}
		*l = append(*l, nft.Service{Proto: number, Port: uint16(n)})
	}
	return nil
}

// place adds the flags that say where the gateway stands.
func place(fs *flag.FlagSet, c *Config) {
	fs.StringVar(&c.Bridge, "bridge", "", "`bridge` whose ports are the cables of devices; made if need be")
	fs.Var((*list)(&c.LAN), "lan", "`interfaces` towards devices without a bridge, with commas between")
	fs.StringVar(&c.Uplink, "uplink", "", "`interface` towards the world")
	fs.BoolVar(&c.Host, "host", false, "this machine is itself the device: judge its own flows, forward nothing")
}

func logger(stderr io.Writer, asJSON, verbose bool) *slog.Logger {
	o := &slog.HandlerOptions{}
	if verbose {
		o.Level = slog.LevelDebug
	}
	if asJSON {
		return slog.New(slog.NewJSONHandler(stderr, o))
	}
	return slog.New(slog.NewTextHandler(stderr, o))
}

func mainRun(ctx context.Context, base Config, parts Parts, self, args []string, stderr io.Writer) error {
	base.Parts, base.Self = parts, self
	exe, err := os.Executable()
	if err != nil {
		return err
	}
	var asJSON, verbose bool
	fs := flags("run", &base, stderr)
	runFlags(fs, &base, &asJSON, &verbose)
	if err := parse(fs, args); err != nil {
		return err
	}
	base.Log = logger(stderr, asJSON, verbose)
	debug.SetGCPercent(gcPercent)
	return runAgent(ctx, base, exe)
}

// runFlags are the flags of "run".
func runFlags(fs *flag.FlagSet, c *Config, asJSON, verbose *bool) {
	place(fs, c)
	fs.Var((*list)(&c.Ports), "ports", "`interfaces` that are ports of the bridge, with commas between")
	fs.Var((*services)(&c.Manage), "manage", "`ports` of the gateway that stay open on the uplink, such as tcp/22; none = nobody reaches it from there")
	fs.BoolVar(&c.Masquerade, "masquerade", false, "hide devices behind the uplink's address")
	fs.Var((*list)(&c.DNS), "dns", "`addresses` at which the DNS guard answers, such as 10.77.0.1:53; none = no guard")
	fs.BoolVar(&c.Inspect, "inspect", false, "look inside flows where the policy asks for it; without, what only that could allow is refused")
	fs.StringVar(&c.Mappings, "mappings", MappingsDelete, "what to do about ports that the router upstream maps to us: `delete`, tell, or off")
	fs.StringVar(&c.Radius, "radius", "", "`address` at which RADIUS accounting tells who has which address, such as 10.0.0.1:1813")
	fs.StringVar(&c.RadiusSecret, "radius-secret-file", "", "`file` with the secret shared with the RADIUS client")
	fs.StringVar(&c.IMSIFile, "imsi-file", "", "`file` with the IMSI of this machine's own modem")
	fs.IntVar(&c.RingBytes, "ring", 4<<20, "`bytes` of memory of all capture rings together")
	fs.Int64Var(&c.LogBytes, "log-bytes", 64<<20, "most `bytes` of disk that the write-ahead log takes")
	fs.DurationVar(&c.Poll, "poll", 5*time.Minute, "how often the desired state is asked for when nothing pokes")
	fs.DurationVar(&c.Drift, "drift", time.Minute, "how often the kernel is compared with what should be in it")
	fs.DurationVar(&c.Silent, "silent", 2*time.Minute, "a host unheard for less is never reported silent")
	fs.DurationVar(&c.Gone, "gone", 30*time.Minute, "a host unheard for so long is gone")
	fs.DurationVar(&c.Probation, "probation", 2*time.Minute, "how long a peer must have been known, without an alert, before it is learned")
	fs.BoolVar(&c.Posture, "posture", false, "speak of the state of this machine too: sockets, versions, accounts, disk, boot")
	fs.BoolVar(asJSON, "log-json", false, "write the log as JSON")
	fs.BoolVar(verbose, "v", false, "log more")
}

func mainPosture(ctx context.Context, args []string, stderr io.Writer) error {
	var c Config
	var once, asJSON, verbose bool
	fs := flags("posture", &c, stderr)
	fs.BoolVar(&once, "once", false, "end when the platform has it")
	fs.Int64Var(&c.LogBytes, "log-bytes", 4<<20, "most `bytes` of disk that the write-ahead log takes")
	fs.DurationVar(&c.Poll, "poll", time.Hour, "how often the platform is asked whether a new certificate is due")
	fs.BoolVar(&asJSON, "log-json", false, "write the log as JSON")
	fs.BoolVar(&verbose, "v", false, "log more")
	if err := parse(fs, args); err != nil {
		return err
	}
	c.Log = logger(stderr, asJSON, verbose)
	debug.SetGCPercent(gcPercent)
	return RunOnDevice(ctx, c, once, func() { c.Log.Info("agent speaks of this device") })
}

func mainDNS(ctx context.Context, args []string, stderr io.Writer) error {
	var c Config
	var stop, wait bool
	fs := flags("dns", &c, stderr)
	place(fs, &c)
	fs.BoolVar(&wait, "wait", false, "take the place of the guard that runs on this state when it ends")
	fs.BoolVar(&c.Inspect, "inspect", false, "an inspector runs beside it: what is for it to judge is bound apart")
	fs.Var((*list)(&c.DNS), "listen", "`addresses` to answer on, such as 10.77.0.1:53")
	fs.BoolVar(&stop, "stop", false, "end the guard that runs on this state, and do nothing else")
	if err := parse(fs, args); err != nil {
		return err
	}
	if stop {
		return endGuard(ctx, c.path(dnsPID))
	}
	c.Log = logger(stderr, false, false)
	debug.SetGCPercent(gcPercent)
	return RunDNS(ctx, c, wait)
}

func mainInspect(ctx context.Context, args []string, stderr io.Writer) error {
	var c Config
	var stop, wait bool
	fs := flags("inspect", &c, stderr)
	fs.BoolVar(&wait, "wait", false, "take the place of the inspector that runs on this state when it ends")
	fs.BoolVar(&stop, "stop", false, "end the inspector that runs on this state, and do nothing else")
	if err := parse(fs, args); err != nil {
		return err
	}
	if stop {
		return endGuard(ctx, c.path(inspectPID))
	}
	c.Log = logger(stderr, false, false)
	debug.SetGCPercent(gcPercent)
	return RunInspect(ctx, c, wait)
}

func mainStatus(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	var c Config
	var asJSON bool
	fs := flags("status", &c, stderr)
	fs.BoolVar(&asJSON, "json", false, "as JSON")
	if err := parse(fs, args); err != nil {
		return err
	}
	s, err := ReadStatus(ctx, c)
	if err != nil {
		return err
	}
	if !asJSON {
		return s.Print(stdout)
	}
	e := json.NewEncoder(stdout)
	e.SetIndent("", "  ")
	return e.Encode(s)
}

func mainEnrol(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	var c EnrolConfig
	var tokenFile string
	fs := flags("enrol", &c.Config, stderr)
	fs.StringVar(&c.Platform, "platform", "", "`address` of the platform, such as https://198.51.100.10:8443")
	fs.StringVar(&tokenFile, "token", "-", "`file` with the one-time token; - is standard input. It is no argument, since others see those")
	fs.StringVar(&c.Name, "name", "", "how people call this gateway")
	fs.StringVar(&c.Serial, "serial", "", "the machine's serial `number`, by which a manifest knows it; none = what the firmware says, if it says any")
	fs.StringVar(&c.CA, "ca", "", "`file` with the platform's authority (PEM)")
	fs.StringVar(&c.Pin, "pin", "", "`SHA-256` of the platform's authority (hex), instead of -ca")
	fs.BoolVar(&c.Again, "again", false, "replace the identity that there is")
	if err := parse(fs, args); err != nil {
		return err
	}
	token, err := readToken(tokenFile)
	if err != nil {
		return err
	}
	c.Token = token
	id, err := Enrol(ctx, c)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintln(stdout, id.Gateway)
	return err
}

// maxToken bounds a token; the real ones are much shorter.
const maxToken = 4096

func readToken(file string) (string, error) {
	in := io.Reader(os.Stdin)
	if file != "-" {
		f, err := os.Open(file)
		if err != nil {
			return "", fmt.Errorf("reading the token: %w", err)
		}
		defer f.Close()
		in = f
	}
	b, err := io.ReadAll(io.LimitReader(in, maxToken+1))
	if err != nil {
		return "", fmt.Errorf("reading the token: %w", err)
	}
	token := strings.TrimSpace(string(b))
	if token == "" || len(b) > maxToken {
		return "", ringwall.Errorf(ringwall.Invalid, "there is no token in %q", file)
	}
	return token, nil
}

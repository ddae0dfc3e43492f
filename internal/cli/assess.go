package cli

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/netip"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"
	"unicode"

	"github.com/spf13/cobra"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/api"
	"github.com/ringwall/ringwall/client"
	"github.com/ringwall/ringwall/internal/assess"
	"github.com/ringwall/ringwall/internal/probe"
	"github.com/ringwall/ringwall/internal/probe/objectauth"
)

// assessOptions are the flags of the command.
type assessOptions struct {
	json    bool
	verbose bool
	own     bool
	dryRun  bool
	submit  bool
	device  string
	ports   string
	timeout time.Duration
	with    []string
	profile api.Profile
	rate    int
	also    []string
	strain  bool
	labs    []string
	backend string
	vex     []string
	from    string
	public  []string
	out     outputs
	consent *assess.Consent
	conn    *conn
}

func newAssess(env Env) *cobra.Command {
	o := assessOptions{conn: &conn{env: env}}
	c := &cobra.Command{
		Use:   "assess TARGET...",
		Short: "Find devices, probe them, and grade how dangerous they are",
		Long: `Assess finds devices, probes them over the network and grades each: high,
medium or low risk, with the interval that what is unknown leaves open, how
much was measured, and why.

A TARGET is a host, host:port, network (10.0.0.0/24), rtsp://host/path or
onvif://host, or a file that says something of the device: a firmware image or
an unpacked root, a capture of its traffic, its maker's declaration (ICS and
IXIT as YAML or JSON, or a MUD file), a laboratory's signed results. Files alone
are judged as one device, and nothing is sent; with one host, or by --with, they
count beside what its probes find.

Known default passwords are tried within a budget that locks nobody out; a
working one is named by its number and never shown. --dry-run says what would
be sent to whom, and sends nothing.

Only private, link-local and loopback addresses are assessed, and with --submit
only the networks that the organisation has registered, unless you say that the
devices are yours with --i-own-this.

With --submit the assessments go to a platform too, which is found as by
"ringwall device".`,
		Example: "  ringwall assess 192.168.1.0/24\n  ringwall assess -v --ports 1-65535 192.168.1.10\n  ringwall assess --html report.html camera-firmware.bin\n  ringwall assess 192.168.1.10 --with firmware.bin --with declaration.yaml --bundle evidence.json",
		Args: func(c *cobra.Command, args []string) error {
			if len(args) == 0 {
				return usagef("%s needs a target; see %q", c.CommandPath(), c.CommandPath()+" --help")
			}
			return nil
		},
		RunE: func(c *cobra.Command, args []string) error { return runAssess(c.Context(), env, &o, args) },
	}
	c.Flags().BoolVar(&o.json, "json", false, "print an array of assessments")
	c.Flags().BoolVarP(&o.verbose, "verbose", "v", false, "show every finding with its evidence")
	c.Flags().BoolVar(&o.own, "i-own-this", false, "assess public addresses too: you may")
	c.Flags().BoolVar(&o.dryRun, "dry-run", false, "say what would be sent, and send nothing")
	c.Flags().StringVar(&o.ports, "ports", "", "TCP ports to look at, such as 80,554,8000-8100 (default: where devices listen)")
	c.Flags().DurationVar(&o.timeout, "per-device", 0, "the most time for one device (default 90s)")
	c.Flags().StringArrayVar(&o.with, "with", nil, "evidence of other kinds about the one device: an image, a capture, a declaration")
	c.Flags().StringVar(&o.profile.Class, "class", "", "class of the device: "+strings.Join(assess.Default().Classes(), ", ")+" (default: as it shows itself)")
	c.Flags().StringVar(&o.profile.Use, "use", "", "what it is used for: "+strings.Join(assess.Default().Uses(), ", ")+" (default consumer)")
	c.Flags().BoolVar(&o.profile.SIM, "sim", false, "it has a SIM")
	c.Flags().IntVar(&o.rate, "rate", 0, "most connections and datagrams a second for one device")
	c.Flags().StringSliceVar(&o.also, "also", nil, "optional probes to run too, by name (see --dry-run)")
	c.Flags().BoolVar(&o.strain, "strain", false, "let probes run that may disturb a device's service or lock its logins for a while")
	c.Flags().StringArrayVar(&o.labs, "laboratory", nil, "a laboratory whose results are believed, as NAME=FILE with its Ed25519 public key (PEM)")
	c.Flags().StringVar(&o.backend, "backend", "", "the service behind the device: two test accounts and their objects (JSON; see docs/assess.md)")
	c.Flags().StringArrayVar(&o.vex, "vex", nil, "what those who answer for the product say of single vulnerabilities (OpenVEX or CycloneDX)")
	c.Flags().StringVar(&o.from, "outside", "", "a place on the internet's side to look from: socks5://HOST:PORT, such as that of \"ssh -D\"")
	c.Flags().StringArrayVar(&o.public, "public", nil, "with --outside: the public address of the site, which has to be yours")
	o.out.flags(c)
	c.Flags().BoolVar(&o.submit, "submit", false, "send the assessments to the platform")
	c.Flags().StringVar(&o.device, "device", "", "with --submit: the platform's id of the one device assessed")
	c.Flags().StringVar(&o.conn.server, "server", "", "with --submit: address of the platform")
	c.Flags().StringVar(&o.conn.token, "token-file", "", "with --submit: file with an API token")
	c.Flags().StringVar(&o.conn.ca, "ca", "", "with --submit: file with the authority that signed the platform's certificate (PEM)")
	c.Flags().StringVar(&o.conn.data, "data", "", "with --submit: data directory of a platform on this machine")
	c.Flags().BoolVar(&o.conn.plain, "plain", false, "with --submit: let the token travel in clear over a network")
	c.AddCommand(newRegrade(env))
	return c
}

// hostNetwork is the machine's own network.
type hostNetwork struct{}

func (hostNetwork) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	var d net.Dialer
	return d.DialContext(ctx, network, address)
}

func (hostNetwork) ListenPacket(ctx context.Context, network, address string) (net.PacketConn, error) {
	var l net.ListenConfig
	return l.ListenPacket(ctx, network, address)
}

// Do makes hostNetwork an assess.RawNetwork: every thread is in it.
func (hostNetwork) Do(f func() error) error { return f() }

func runAssess(ctx context.Context, env Env, o *assessOptions, args []string) error {
	ports, err := o.check(args)
	if err != nil {
		return err
	}
	data, err := knows(env, o.vex)
	if err != nil {
		return err
	}
	labs, err := laboratories(o.labs)
	if err != nil {
		return err
	}
	var files []string
	var targets []assess.Target
	var nets []netip.Prefix
	for _, arg := range args {
		if isFile(arg) {
			files = append(files, arg)
			continue
		}
		t, p, err := parseTarget(ctx, arg)
		if err != nil {
			return err
		}
		if err := consent(arg, t, p, o.own); err != nil {
			return err
		}
		if p.IsValid() {
			nets = append(nets, p)
		} else {
			targets = append(targets, t)
		}
	}
	files = append(files, o.with...)
	if len(files) > 0 && (len(nets) > 0 || len(targets) > 1) {
		return usagef("files tell of one device, and more than one is to be assessed")
	}
	sub, err := submitter(ctx, o, args)
	if err != nil {
		return err
	}
	if sub != nil && len(sub.ranges) > 0 {
		o.consent = &assess.Consent{Registered: sub.ranges, Own: o.own}
	}
	r := o.runner(env, ports, labs)
	beside, err := o.service(ctx, r)
	if err != nil {
		return err
	}
	there, public, err := outside(o.from, o.public)
	if err != nil {
		return err
	}
	for _, a := range public {
		if err := consent(a.String(), assess.Target{Addr: a}, netip.Prefix{}, o.own); err != nil {
			return err
		}
	}
	r.Outside = there
	for i := range targets {
		targets[i].Beside, targets[i].Outside = beside, public
	}
	if o.dryRun {
		return sayPlan(env.Stdout, r, targets, nets)
	}
	xs, err := evidence(ctx, env, files, data)
	if err != nil {
		return err
	}
	var as []api.Assessment
	if len(targets)+len(nets) == 0 {
		as = []api.Assessment{judged(env, called(files), o.profile, xs, labs, data)}
	} else if as, err = probed(ctx, env, r, o, targets, nets, xs); len(as) == 0 && err != nil {
		return err
	}
	for i := range as {
		a := &as[i]
		a.Vulnerabilities = vulnerabilities(data, *a)
		a.Contradictions = assess.Contradictions(assess.Default().For(a.Profile), assess.Evidence(a.Examinations, labs), a.Ended)
	}
	if perr := o.show(env, as, labs); perr != nil {
		return perr
	}
	if err != nil {
		return err
	}
	if err := sub.send(ctx, o.device, as, xs); err != nil {
		return err
	}
	if slices.ContainsFunc(as, func(a api.Assessment) bool { return a.Grade == ringwall.HighRisk }) {
		return errFound
	}
	return nil
}

// check refuses flags that make no sense together.
func (o *assessOptions) check(args []string) ([]uint16, error) {
	ports, err := parsePorts(o.ports)
	switch {
	case err != nil:
		return nil, err
	case o.timeout < 0:
		return nil, usagef("--per-device %v is less than nothing", o.timeout)
	case o.rate < 0:
		return nil, usagef("--rate %d is less than nothing", o.rate)
	case o.profile.Class != "" && !slices.Contains(assess.Default().Classes(), o.profile.Class):
		return nil, usagef("--class %q is not one of %s", o.profile.Class, strings.Join(assess.Default().Classes(), ", "))
	case o.profile.Use != "" && !slices.Contains(assess.Default().Uses(), o.profile.Use):
		return nil, usagef("--use %q is not one of %s", o.profile.Use, strings.Join(assess.Default().Uses(), ", "))
	case o.json && o.out.sarif:
		return nil, usagef("--json and --sarif both want the output")
	}
	for _, arg := range args {
		if p, err := netip.ParsePrefix(arg); err == nil && !p.IsSingleIP() && o.device != "" {
			return nil, usagef("--device is for one device, and %q is a network", arg)
		}
	}
	return ports, o.out.check()
}

// runner is what assesses as the flags say.
func (o *assessOptions) runner(env Env, ports []uint16, labs []api.Laboratory) *assess.Runner {
	r := &assess.Runner{
		Network: hostNetwork{}, Probes: probe.All(), Finders: probe.Finders(), Now: env.Now, Ports: ports, PerDevice: o.timeout,
		Rate: o.rate, Also: o.also, Consent: o.consent, Laboratories: labs, Tool: toolName(),
		Progress: func(e assess.Event) { sayProgress(env.Stderr, *o, e) },
	}
	if o.strain {
		r.Limit = assess.Strains
	}
	return r
}

// service has the service behind the device asked, too, if one was named: its
// addresses are resolved once, here.
func (o *assessOptions) service(ctx context.Context, r *assess.Runner) ([]netip.Addr, error) {
	if o.backend == "" {
		return nil, nil
	}
	f, err := os.Open(o.backend)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", safe(o.backend), gone(err))
	}
	defer f.Close()
	conf, err := objectauth.Load(f, os.ReadFile)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", safe(o.backend), err)
	}
	t, _, err := parseTarget(ctx, conf.Base)
	if err != nil {
		return nil, fmt.Errorf("%s: base: %w", safe(o.backend), err)
	}
	if err := consent(conf.Base, t, netip.Prefix{}, o.own); err != nil {
		return nil, err
	}
	r.Probes = append(r.Probes, objectauth.Probe{Config: conf})
	return []netip.Addr{t.Addr}, nil
}

// probed discovers and assesses.
func probed(ctx context.Context, env Env, r *assess.Runner, o *assessOptions, targets []assess.Target, nets []netip.Prefix, xs []api.Examination) ([]api.Assessment, error) {
	if len(nets) > 0 {
		found, err := r.Discover(ctx, nets)
		if err != nil {
			return nil, err
		}
		for _, t := range found {
			if !slices.ContainsFunc(targets, func(o assess.Target) bool { return o.Addr == t.Addr }) {
				targets = append(targets, t)
			}
		}
		fmt.Fprintf(env.Stderr, "%d devices found\n", len(targets))
	}
	for i := range targets {
		t := &targets[i]
		t.Profile, t.Examinations = o.profile, xs
		for _, x := range xs {
			if x.Kind == api.ExamDeclaration && x.Services != nil {
				t.Declared = append(append([]api.Service{}, t.Declared...), x.Services...)
			}
		}
	}
	return r.Run(ctx, targets)
}

// show prints the assessments and writes the files that were asked for.
func (o *assessOptions) show(env Env, as []api.Assessment, labs []api.Laboratory) error {
	if !o.out.sarif {
		if err := printAssessments(env.Stdout, *o, as); err != nil {
			return err
		}
	}
	return o.out.write(env, as, labs)
}

// submission is a platform that assessments go to. A nil one takes nothing.
type submission struct {
	client *client.Client
	ranges []netip.Prefix // that its organisation has registered
}

// submitter opens the way to the platform, if assessments are to go there. It is
// reached before anything is probed.
func submitter(ctx context.Context, o *assessOptions, args []string) (*submission, error) {
	if !o.submit {
		if o.device != "" {
			return nil, usagef("--device says where to submit to, and --submit is not given")
		}
		return nil, nil
	}
	if o.device != "" && !ringwall.ValidID(ringwall.PrefixDevice, o.device) {
		return nil, usagef("--device takes one id such as dev_…")
	}
	if o.device == "" && slices.ContainsFunc(append(slices.Clone(args), o.with...), isFile) {
		return nil, usagef("what a file says is submitted for a device: name it with --device")
	}
	c, err := o.conn.open()
	if err != nil {
		return nil, err
	}
	set, err := c.AssessSettings(ctx)
	if err != nil {
		return nil, err
	}
	return &submission{c, set.Ranges.Prefixes}, nil
}

// send hands in what the probes found, and every other examination by itself.
func (s *submission) send(ctx context.Context, device string, as []api.Assessment, xs []api.Examination) error {
	if s == nil {
		return nil
	}
	for _, x := range xs {
		if _, err := s.client.SubmitExamination(ctx, ringwall.DeviceID(device), x); err != nil {
			return fmt.Errorf("submitting %s: %w", safe(x.Source), err)
		}
	}
	for _, a := range as {
		probes := slices.DeleteFunc(slices.Clone(a.Examinations), func(x api.Examination) bool { return x.Kind != api.ExamNetwork })
		if len(probes) == 0 {
			continue
		}
		a.Device, a.Examinations = ringwall.DeviceID(device), probes
		if _, err := s.client.SubmitAssessment(ctx, a); err != nil {
			return fmt.Errorf("submitting the assessment of %s: %w", safe(a.Target), err)
		}
	}
	return nil
}

// laboratories reads NAME=FILE.
func laboratories(given []string) (out []api.Laboratory, err error) {
	for _, g := range given {
		name, file, ok := strings.Cut(g, "=")
		if !ok || name == "" {
			return nil, usagef("--laboratory takes NAME=FILE, not %q", g)
		}
		pub, err := publicKey(Env{}, file)
		if err != nil {
			return nil, err
		}
		out = append(out, api.Laboratory{Name: name, Key: pub})
	}
	return out, nil
}

// parsePorts reads a list such as 80,554,8000-8100.
func parsePorts(s string) ([]uint16, error) {
	if s == "" {
		return nil, nil
	}
	seen := map[uint16]bool{}
	var out []uint16
	for part := range strings.SplitSeq(s, ",") {
		from, to, isRange := strings.Cut(strings.TrimSpace(part), "-")
		if !isRange {
			to = from
		}
		a, err1 := strconv.ParseUint(from, 10, 16)
		b, err2 := strconv.ParseUint(to, 10, 16)
		if err1 != nil || err2 != nil || a == 0 || a > b {
			return nil, usagef("--ports: %q is not a port from 1 to 65535 or a range of them", part)
		}
		for p := a; p <= b; p++ {
			if !seen[uint16(p)] {
				seen[uint16(p)] = true
				out = append(out, uint16(p))
			}
		}
	}
	return out, nil
}

// parseTarget reads one argument: a network, or one device.
func parseTarget(ctx context.Context, arg string) (assess.Target, netip.Prefix, error) {
	t := assess.Target{Name: arg}
	if p, err := netip.ParsePrefix(arg); err == nil {
		if p.IsSingleIP() {
			t.Addr = p.Addr().Unmap()
			return t, netip.Prefix{}, nil
		}
		return t, p.Masked(), nil
	}
	host := arg
	if strings.Contains(arg, "://") {
		u, err := url.Parse(arg)
		if err != nil || u.Hostname() == "" {
			return t, netip.Prefix{}, usagef("target %q is not an address", arg)
		}
		if !slices.Contains([]string{"rtsp", "onvif", "http", "https"}, u.Scheme) {
			return t, netip.Prefix{}, usagef("target %q: scheme %q is not rtsp, onvif, http or https", arg, u.Scheme)
		}
		if u.User != nil {
			return t, netip.Prefix{}, usagef("a target takes no user name and password: only known defaults are tried")
		}
		if u.Scheme == "rtsp" {
			t.Path = strings.TrimPrefix(u.RequestURI(), "/")
		}
		host = u.Host
	}
	if h, p, err := net.SplitHostPort(host); err == nil {
		port, err := strconv.ParseUint(p, 10, 16)
		if err != nil || port == 0 {
			return t, netip.Prefix{}, usagef("target %q: %q is not a port", arg, p)
		}
		host, t.Port = h, uint16(port)
	}
	host = strings.Trim(host, "[]")
	if a, err := netip.ParseAddr(host); err == nil {
		t.Addr = a.Unmap()
		return t, netip.Prefix{}, nil
	}
	if strings.ContainsAny(host, "/ ") {
		return t, netip.Prefix{}, usagef("target %q is not a host, a network or an rtsp:// or onvif:// address", arg)
	}
	as, err := net.DefaultResolver.LookupNetIP(ctx, "ip", host)
	if err != nil || len(as) == 0 {
		return t, netip.Prefix{}, ringwall.Errorf(ringwall.NotFound, "no address is known for %q: %w", host, err)
	}
	t.Addr = as[0].Unmap() // resolved once: what is consented to is what is probed
	return t, netip.Prefix{}, nil
}

// consent refuses what may belong to others.
func consent(arg string, t assess.Target, p netip.Prefix, own bool) error {
	mine := func(a netip.Addr) bool { return a.IsPrivate() || a.IsLoopback() || a.IsLinkLocalUnicast() }
	ok := mine(t.Addr)
	if p.IsValid() {
		// A prefix is private when its ends are and it is no wider than the
		// widest private network.
		ok = mine(p.Addr()) && p.Bits() >= 8
		if hosts := p.Addr().BitLen() - p.Bits(); hosts > 12 {
			return usagef("network %v has more than 4096 addresses; give smaller ones", p)
		}
	}
	if !ok && !own {
		return usageError{&ringwall.Error{
			Code: ringwall.Forbidden, Text: fmt.Sprintf("%s is a public address and is not assessed without its owner's word", arg),
			Hint: "if the device is yours, say so with --i-own-this",
		}}
	}
	if a := t.Addr; a.IsMulticast() || a.IsUnspecified() {
		return usagef("target %q is not the address of one device", arg)
	}
	return nil
}

func sayProgress(w io.Writer, o assessOptions, e assess.Event) {
	name := safe(e.Target)
	switch e.Kind {
	case assess.EventFound:
		fmt.Fprintf(w, "found %s by %s\n", name, e.Text)
	case assess.EventProbe:
		if o.verbose {
			fmt.Fprintf(w, "%s: %s\n", name, e.Probe)
		}
	case assess.EventNote:
		if o.verbose || e.Target == "" {
			fmt.Fprintf(w, "%s: %s\n", cmp.Or(name, "note"), safe(e.Text))
		}
	case assess.EventDone:
		fmt.Fprintf(w, "[%d/%d] %s: %s\n", e.Done, e.Total, name, e.Grade)
	}
}

// sayPlan tells what would be done.
func sayPlan(w io.Writer, r *assess.Runner, targets []assess.Target, nets []netip.Prefix) error {
	for _, p := range nets {
		fmt.Fprintf(w, "discovery in %v by", p)
		for i, f := range r.Finders {
			fmt.Fprintf(w, "%s %s", map[bool]string{true: "", false: ","}[i == 0], f)
		}
		fmt.Fprintln(w, "; then what is found is assessed as follows")
	}
	if len(targets) == 0 {
		targets = []assess.Target{{Name: "each device found"}}
	}
	consent := r.Consent
	defer func() { r.Consent = consent }()
	if len(nets) > 0 {
		r.Consent = nil // what is found outside is dropped; here nothing has been
	}
	steps, err := r.Plan(targets)
	if err != nil {
		return err
	}
	last := ""
	for _, s := range steps {
		if s.Target != last {
			fmt.Fprintf(w, "\n%s\n", safe(strings.TrimSpace(s.Target+" "+s.Addr)))
			last = s.Target
		}
		fmt.Fprintf(w, "  %s: %s\n", s.Probe, s.Title)
		if !s.Runs {
			fmt.Fprintf(w, "    does not run: %s\n", s.Why)
			continue
		}
		fmt.Fprintf(w, "    %s", s.Intrusion)
		if s.Tries > 0 {
			fmt.Fprintf(w, ", at most %d wrong passwords", s.Tries)
		}
		fmt.Fprintf(w, ", at most %d a second and %v", s.Rate, s.Most)
		if len(s.To) > 0 {
			fmt.Fprintf(w, ", to %s", strings.Join(s.To, ", "))
		}
		fmt.Fprintf(w, "\n    sends %s\n", s.Sends)
	}
	return nil
}

func printAssessments(w io.Writer, o assessOptions, as []api.Assessment) error {
	if o.json {
		if as == nil {
			as = []api.Assessment{}
		}
		enc := json.NewEncoder(w)
		enc.SetIndent("", "  ")
		return enc.Encode(as)
	}
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(tw, "DEVICE\tWHAT\tGRADE\tBETWEEN\tWATCH\tMEASURED")
	for _, a := range as {
		what := strings.TrimSpace(safe(a.Vendor) + " " + safe(a.Model))
		fmt.Fprintf(tw, "%s\t%s\t%s\t%s and %s\t%s\t%.0f %%\n",
			safe(a.Target), cmp.Or(what, a.Type, "unknown"), a.Grade, a.Best, a.Worst, a.Class, 100*a.Coverage)
	}
	if err := tw.Flush(); err != nil {
		return err
	}
	for _, a := range as {
		fmt.Fprintf(w, "\n%s is %s:\n", safe(a.Target), a.Grade)
		if a.Impact != "" {
			fmt.Fprintf(w, "  %s\n", safe(a.Impact))
		}
		reasons := a.Reasons
		if !o.verbose {
			reasons = reasons[:min(len(reasons), topReasons)]
		}
		for _, r := range reasons {
			fmt.Fprintf(w, "  - %s\n", safe(r))
		}
		if o.verbose {
			printDetails(w, a)
		}
	}
	return nil
}

// topReasons is how many reasons are shown without -v.
const topReasons = 4

func printDetails(w io.Writer, a api.Assessment) {
	fmt.Fprintf(w, "  open ports:")
	for _, s := range a.Services {
		fmt.Fprintf(w, " %d/%s", s.Port, cmp.Or(s.Name, "?"))
	}
	fmt.Fprintln(w)
	for _, m := range a.Modules {
		fmt.Fprintf(w, "  %s: expected risk %.0f (between %.0f and %.0f), %.0f %% measured\n",
			m.Module, 100*m.Expected, 100*m.Best, 100*m.Worst, 100*m.Coverage)
		for _, f := range a.Findings {
			if f.Module != m.Module || f.Outcome == ringwall.Unknown && f.Source == assess.SourceAssess {
				continue
			}
			fmt.Fprintf(w, "    %-7s %-7s %s (%s, %s)\n", f.Indicator, f.Outcome, safe(f.Title), f.Confidence, f.Source)
			for _, e := range f.Evidence {
				fmt.Fprintf(w, "            %s\n", safe(e))
			}
			if f.Remedy != "" {
				fmt.Fprintf(w, "            remedy: %s\n", safe(f.Remedy))
			}
		}
	}
	for _, f := range a.Contradictions {
		fmt.Fprintf(w, "  contradiction: %s %s\n", f.Indicator, safe(f.Title))
		for _, e := range f.Evidence {
			fmt.Fprintf(w, "            %s\n", safe(e))
		}
	}
	for _, p := range a.Prescribed {
		fmt.Fprintf(w, "  needs for its %s: %s (%s)\n", p.Module, safe(p.Text), strings.Join(p.Because, ", "))
	}
	for _, x := range a.Examinations {
		if n := len(x.Components); n > 0 {
			fmt.Fprintf(w, "  %d components by %s\n", n, safe(x.Source))
		}
		for _, n := range x.Notes {
			fmt.Fprintf(w, "  note of %s: %s\n", safe(x.Source), safe(n))
		}
	}
	for _, n := range a.Next {
		fmt.Fprintf(w, "  would tell more: %s\n", safe(n))
	}
}

// safe keeps what a device says of itself from steering the terminal.
func safe(s string) string {
	return strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return -1
		}
		return r
	}, s)
}

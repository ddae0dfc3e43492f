package cli

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/api"
	"github.com/ringwall/ringwall/flow"
	"github.com/ringwall/ringwall/internal/capture"
	"github.com/ringwall/ringwall/internal/meter"
	"github.com/ringwall/ringwall/internal/packet"
	"github.com/ringwall/ringwall/internal/policy"
)

type explainRun struct {
	env     Env
	json    bool
	device  string
	at      string
	to      string
	from    string
	proto   string
	names   []string
	peer    string
	gateway bool
	inside  string
	uid     string
	cgroup  string
	hold    string
	stale   bool
}

func newPolicyExplain(env Env) *cobra.Command {
	x := &explainRun{env: env}
	c := &cobra.Command{
		Use:   "explain FILE [FLOWS...]",
		Short: "Say what a policy decides on a flow, why, and what would have to change",
		Long: `Explain judges flows as a gateway, the SDK and the platform's simulator do, with
the same function, and says the verdict, the term that decided and where it came
from, what the other terms say, and what would have to change.

One flow is given by flags. FLOWS are captures (pcap, pcapng) or JSON lines such as
  {"direction":"from","remote":"198.51.100.7:443","proto":"tcp","names":["a.example"]}
with, where wanted, device, local, remoteDevice, gateway, at, inside, program.

A gateway sees what stands inside a flow where it is not encrypted; paths inside
TLS only an SDK on the device sees. --inside gives what somebody saw, as in
  '{"proto":"http","method":"GET","host":"a.example","path":"/x","complete":true}'

The status is 1 when a flow is refused.`,
		Example: "  ringwall policy explain camera.yaml --to 198.51.100.7:443 --name cloud.example",
		Args:    leastArgs(1),
		RunE:    func(_ *cobra.Command, args []string) error { return x.run(args[0], args[1:]) },
	}
	f := c.Flags()
	f.BoolVar(&x.json, "json", false, "one JSON object a flow")
	f.StringVar(&x.device, "device", "", "the device, where the file is about several")
	f.StringVar(&x.at, "at", "", "the moment for which windows are asked; now")
	f.StringVar(&x.to, "to", "", "address:port that the device connects to")
	f.StringVar(&x.from, "from", "", "address that connects to the device; its port is that of --to")
	f.StringVar(&x.proto, "proto", "tcp", "tcp, udp, icmp or a number")
	f.StringSliceVar(&x.names, "name", nil, "a name whose answer gave the address")
	f.StringVar(&x.peer, "peer", "", "the device behind the same gateway that is the other end")
	f.BoolVar(&x.gateway, "gateway", false, "the other end is the gateway itself")
	f.StringVar(&x.inside, "inside", "", "what stands inside, JSON")
	f.StringVar(&x.uid, "uid", "", "user of the program on the device that opens it")
	f.StringVar(&x.cgroup, "cgroup", "", "cgroup of that program")
	f.StringVar(&x.hold, "hold", "", "a restriction in force: quarantine or cutoff")
	f.BoolVar(&x.stale, "stale", false, "as when the document is older than it may be")
	return c
}

func (x *explainRun) run(file string, flows []string) error {
	now, err := timeFlag(x.env, x.at)
	if err != nil {
		return err
	}
	hold := ringwall.Unrestricted
	if x.hold != "" {
		if err := hold.UnmarshalText([]byte(x.hold)); err != nil {
			return usagef("--hold %q is neither quarantine nor cutoff", x.hold)
		}
	}
	d, err := readPolicy(x.env, file)
	if err != nil {
		return err
	}
	if _, err := policy.Compile(d, nil, now); err != nil {
		return err // what does not compile is not in force anywhere
	}
	site := policy.SiteOf(&d)
	site.Stale = x.stale
	refused := false
	judge := func(dev *api.DevicePolicy, f *policy.Flow) error {
		e := site.Explain(dev, hold, f)
		refused = refused || !e.Verdict.Pass
		return x.show(dev, f, &e)
	}
	if len(flows) == 0 {
		dev, err := deviceOf(&d, x.device)
		if err != nil {
			return err
		}
		f, err := x.flag(now, d.Devices)
		if err != nil {
			return err
		}
		if err := judge(dev, &f); err != nil {
			return err
		}
	}
	for _, name := range flows {
		err := eachFlow(x.env, name, d.Devices, x.device, func(line int, l *fileFlow) error {
			dev, err := deviceOf(&d, string(l.Device))
			if err != nil {
				return lineOf(name, line, err)
			}
			f, err := l.flow(now, d.Devices)
			if err != nil {
				return lineOf(name, line, err)
			}
			return judge(dev, &f)
		})
		if err != nil {
			return err
		}
	}
	if refused {
		return errFound
	}
	return nil
}

// flag returns the flow that the flags describe.
func (x *explainRun) flag(now time.Time, devices []api.DevicePolicy) (policy.Flow, error) {
	l := fileFlow{Direction: api.FromDevice, Remote: x.to, Proto: x.proto, Names: x.names, RemoteDevice: ringwall.DeviceID(x.peer), Gateway: x.gateway}
	if x.from != "" {
		l.Direction, l.Remote, l.Local = api.ToDevice, x.from, x.to
		if strings.HasPrefix(x.to, ":") {
			l.Local = "0.0.0.0" + x.to
		}
	} else if strings.HasPrefix(x.to, ":") {
		port, err := strconv.ParseUint(x.to[1:], 10, 16)
		if err != nil {
			return policy.Flow{}, usagef("--to %q is no port", x.to)
		}
		l.Remote, l.Port = "", uint16(port)
	}
	if x.to == "" && x.from == "" {
		return policy.Flow{}, usagef(`say which flow: with --to, with --from, or in a file; see "ringwall policy explain --help"`)
	}
	if x.inside != "" {
		l.Inside = &policy.Seen{}
		if err := strictJSON([]byte(x.inside), l.Inside); err != nil {
			return policy.Flow{}, usagef("--inside: %w", err)
		}
	}
	if x.uid != "" || x.cgroup != "" {
		uid, err := strconv.ParseUint(x.uid, 10, 32)
		if err != nil && x.uid != "" {
			return policy.Flow{}, usagef("--uid %q is no number", x.uid)
		}
		l.Program = &policy.Process{UID: uint32(uid), Cgroup: x.cgroup}
	}
	f, err := l.flow(now, devices)
	if err != nil {
		return f, usageError{err}
	}
	return f, nil
}

func (x *explainRun) show(dev *api.DevicePolicy, f *policy.Flow, e *policy.Explanation) error {
	w := x.env.Stdout
	if x.json {
		return printJSON(w, struct {
			Device ringwall.DeviceID `json:"device"`
			*policy.Explanation
		}{dev.Device, e})
	}
	verdict := "refused"
	switch v := &e.Verdict; {
	case v.Would:
		verdict = "passes, would be refused"
	case v.Inspect:
		verdict = "looked into"
	case v.Pass:
		verdict = "passes"
	}
	fmt.Fprintf(w, "%s: %s (%s)\n  %s\n", dev.Device, verdict, e.Verdict.Reason, e.Summary)
	if e.Verdict.Term != "" {
		source := ""
		if e.Source != "" {
			source = ", " + e.Source
		}
		fmt.Fprintf(w, "  term: %q%s\n", e.Verdict.Term, source)
	}
	for _, s := range e.Steps {
		if s.Term != e.Verdict.Term {
			fmt.Fprintf(w, "  %s %q: %s, %s\n", s.Action, s.Term, s.Answer, s.Because)
		}
	}
	for _, o := range e.Otherwise {
		fmt.Fprintf(w, "  otherwise: %s\n", o)
	}
	return nil
}

// maxFlowLine bounds a line of a file of flows.
const maxFlowLine = 64 << 10

// eachFlow calls do for each flow of a file of JSON lines or a capture. device
// is whose flows the lines are that do not say.
func eachFlow(env Env, name string, devices []api.DevicePolicy, device string, do func(line int, l *fileFlow) error) error {
	in := env.Stdin
	if name != "-" {
		f, err := openInput(name)
		if err != nil {
			return err
		}
		defer f.Close() // it was only read
		in = f
	}
	r := bufio.NewReaderSize(in, maxFlowLine)
	head, err := r.Peek(4) // a file of lines may be shorter
	if err != nil && !errors.Is(err, io.EOF) {
		return ringwall.Errorf(ringwall.Unavailable, "reading %q: %w", name, err)
	}
	if len(head) == 4 && (string(head) == "\n\r\r\n" || head[0] != '{' && head[0] != '\n' && head[0] != '\r' && head[0] != ' ' && head[0] != '#') {
		return captured(r, name, devices, do)
	}
	for line := 1; ; line++ {
		b, err := r.ReadSlice('\n')
		if errors.Is(err, bufio.ErrBufferFull) {
			return lineOf(name, line, ringwall.Errorf(ringwall.Invalid, "longer than %d bytes", maxFlowLine))
		}
		if err != nil && !errors.Is(err, io.EOF) {
			return ringwall.Errorf(ringwall.Unavailable, "reading %q: %w", name, err)
		}
		if t := bytes.TrimSpace(b); len(t) > 0 && t[0] != '#' {
			l := fileFlow{Device: ringwall.DeviceID(device)}
			if err := strictJSON(t, &l); err != nil {
				return lineOf(name, line, err)
			}
			if err := do(line, &l); err != nil {
				return err
			}
		}
		if err != nil {
			return nil
		}
	}
}

// captured turns a capture into flows of the devices.
func captured(in io.Reader, name string, devices []api.DevicePolicy, do func(int, *fileFlow) error) error {
	r, err := capture.NewReader(in)
	if err != nil {
		return ringwall.Errorf(ringwall.Invalid, "%s is neither JSON lines nor a capture: %w", name, err)
	}
	var failed error
	count := 0
	m := meter.New(meter.Config{Routed: true, FoldAfter: 1 << 20, Emit: func(rec flow.Record) {
		if count++; failed == nil && rec.Device != "" {
			failed = do(count, recordFlow(&rec))
		}
	}})
	var known []meter.Device
	for i := range devices {
		known = append(known, meter.Device{ID: devices[i].Device, MAC: devices[i].Binding.MAC, IP: devices[i].Binding.IP})
	}
	m.SetDevices(known)
	var p packet.Packet
	for failed == nil {
		f, err := r.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return ringwall.Errorf(ringwall.Invalid, "%s: %w", name, err)
		}
		p.Time, p.Number, p.OrigLen = f.Time, f.Number, f.OrigLen
		if packet.Decode(f.Link, f.Data, &p) == nil {
			m.Packet(&p)
			m.Tick(p.Time)
		}
	}
	m.Flush()
	return failed
}

// recordFlow is a flow report as a line would have it.
func recordFlow(r *flow.Record) *fileFlow {
	l := &fileFlow{
		Device: r.Device, Direction: api.Direction(r.Direction), Local: r.Local.String(), Remote: r.Remote.String(), Proto: flow.ProtoName(r.Proto), Name: r.Name,
		At: r.Start, End: r.End, Verdict: r.Verdict.String(), Flows: 1, Bytes: r.BytesUp + r.BytesDown,
	}
	if l.Proto == "any" {
		l.Proto = strconv.Itoa(int(r.Proto))
	}
	return l
}

// flagFile opens a file that a flag names, or nothing.
func flagFile(name string) (*os.File, error) {
	if name == "" {
		return nil, nil
	}
	return openInput(name)
}

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"time"

	"github.com/florianl/go-nfqueue/v2"
	"golang.org/x/sys/unix"

	"github.com/ringwall/ringwall/internal/cli/gatewaybench"
)

// gateway measures our gateway beside the ways of others, in one run.
func gateway(args []string) error {
	o := gatewaybench.Options{Log: os.Stderr, Peers: peers()}
	fs := flag.NewFlagSet("gateway", flag.ContinueOnError)
	devices := fs.String("devices", "1,100,10000", "numbers of devices")
	only := fs.String("only", "", "only those whose names hold one of these")
	workloads := fs.String("workloads", "", `of "64 B", "64 B all flows", "1400 B", "new flows", "TCP"`)
	agent := fs.String("agent", "", "the ringwall-agent whose memory is measured")
	asJSON := fs.Bool("json", false, "print JSON")
	fs.IntVar(&o.Rounds, "rounds", 11, "rounds")
	fs.DurationVar(&o.Slot, "slot", 100*time.Millisecond, "that each is measured at a time")
	fs.BoolVar(&o.SkipChange, "no-change", false, "leave out what happens while policy changes")
	fs.BoolVar(&o.SkipSpeed, "no-speed", false, "leave out forwarding")
	if err := fs.Parse(args); err != nil {
		return err
	}
	for _, s := range list(*devices) {
		n, err := strconv.Atoi(s)
		if err != nil || n < 1 || n > 50_000 {
			return fmt.Errorf("-devices %q is not between 1 and 50000", s)
		}
		o.Devices = append(o.Devices, n)
	}
	o.Only, o.Workloads = list(*only), list(*workloads)
	if *agent != "" {
		o.Agent = []string{*agent}
	}
	rep, err := gatewaybench.Run(context.Background(), o)
	if *asJSON {
		e := json.NewEncoder(os.Stdout)
		e.SetIndent("", "  ")
		return errors.Join(err, e.Encode(rep))
	}
	return errors.Join(err, gatewaybench.Print(os.Stdout, rep))
}

func list(s string) []string {
	if s == "" {
		return nil
	}
	return strings.Split(s, ",")
}

// peers are the ways in which others let devices through. They are made with
// Debian's iptables and ipset; where these are not installed, that is said.
func peers() []gatewaybench.Contender {
	return []gatewaybench.Contender{
		{Name: "linear iptables", Start: linear},
		{Name: "ipset", Start: ipset},
		{Name: "NFQUEUE", Start: queue},
	}
}

// run runs a program in the gateway's namespace.
func run(ctx context.Context, r *gatewaybench.Rig, in string, name string, args ...string) error {
	path, err := exec.LookPath(name)
	if err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, path, args...)
	cmd.Stdin = strings.NewReader(in)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := r.Gateway.Start(cmd); err != nil {
		return err
	}
	if err := cmd.Wait(); err != nil {
		return fmt.Errorf("%s: %w: %.300s", name, err, out.String())
	}
	return nil
}

// filter is a table of iptables: what is established passes, then the rules,
// else nothing.
func filter(rules ...string) string {
	return "*filter\n:INPUT ACCEPT [0:0]\n:FORWARD DROP [0:0]\n:OUTPUT ACCEPT [0:0]\n-A FORWARD -m conntrack --ctstate ESTABLISHED,RELATED -j ACCEPT\n" +
		strings.Join(rules, "\n") + "\nCOMMIT\n"
}

// manyRules is from where on rules are made by device alone: loading 200,000 of
// them takes longer than anybody waits.
const manyRules = 20_000

// linear is one rule after the other, as osMUD and OpenWrt's firewall make them.
func linear(ctx context.Context, r *gatewaybench.Rig) (*gatewaybench.Running, error) {
	var rules []string
	note := "a rule each destination"
	if r.Devices*gatewaybench.Destinations > manyRules {
		note = "a rule each device, any destination"
	}
	for i := range r.Devices {
		if r.Devices*gatewaybench.Destinations > manyRules {
			rules = append(rules, fmt.Sprintf("-A FORWARD -s %s -j ACCEPT", gatewaybench.DeviceIP(i)))
			continue
		}
		for j := range gatewaybench.Destinations {
			rules = append(rules, fmt.Sprintf("-A FORWARD -s %s -d %s -p udp --dport %d -j ACCEPT", gatewaybench.DeviceIP(i), gatewaybench.Destination(i, j), gatewaybench.UDPPort))
		}
	}
	rules = append(rules, fmt.Sprintf("-A FORWARD -s %s -d %s -p tcp --dport %d -j ACCEPT", gatewaybench.DeviceIP(0), gatewaybench.Server, gatewaybench.TCPPort))
	return &gatewaybench.Running{Stop: func() error { return nil }, Note: fmt.Sprintf("%d rules, %s", len(rules), note)},
		run(ctx, r, filter(rules...), "iptables-nft-restore")
}

// ipset is one set of destinations for everybody, as AdGuard Home, Firewalla and
// dnsmasq fill it.
func ipset(ctx context.Context, r *gatewaybench.Rig) (*gatewaybench.Running, error) {
	var in strings.Builder
	n := 1 + r.Devices*gatewaybench.Destinations
	fmt.Fprintf(&in, "create allowed hash:ip,port hashsize %d maxelem %d\n", max(1024, n/2), max(65536, n+1))
	for i := range r.Devices {
		for j := range gatewaybench.Destinations {
			fmt.Fprintf(&in, "add allowed %s,udp:%d\n", gatewaybench.Destination(i, j), gatewaybench.UDPPort)
		}
	}
	fmt.Fprintf(&in, "add allowed %s,tcp:%d\n", gatewaybench.Server, gatewaybench.TCPPort)
	if err := run(ctx, r, in.String(), "ipset", "restore"); err != nil {
		return nil, err
	}
	return &gatewaybench.Running{Stop: func() error { return nil }, Note: "one set for all devices"},
		run(ctx, r, filter("-A FORWARD -m set --match-set allowed dst,dst -j ACCEPT"), "iptables-nft-restore")
}

// queue asks a program about the first packet of each flow, as OpenSnitch does.
// The program says yes to all: what is measured is the asking.
func queue(ctx context.Context, r *gatewaybench.Rig) (*gatewaybench.Running, error) {
	q, err := nfqueue.Open(&nfqueue.Config{NfQueue: 0, MaxQueueLen: 4096, Copymode: nfqueue.NfQnlCopyPacket, MaxPacketLen: 128, AfFamily: unix.AF_INET, NetNS: r.Gateway.FD()})
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(ctx)
	stop := func() error { cancel(); return q.Close() } // it waits for its reader, which waits for the context
	err = q.RegisterWithErrorFunc(ctx, func(a nfqueue.Attribute) int {
		if a.PacketID != nil {
			_ = q.SetVerdict(*a.PacketID, nfqueue.NfAccept) // a packet that the kernel gave up is no loss of ours
		}
		return 0
	}, func(err error) int {
		if ctx.Err() != nil {
			return 1
		}
		return 0 // the queue was full: the kernel has dropped what did not fit
	})
	if err != nil {
		return nil, errors.Join(err, stop())
	}
	if err := run(ctx, r, filter("-A FORWARD -m conntrack --ctstate NEW -j NFQUEUE --queue-num 0"), "iptables-nft-restore"); err != nil {
		return nil, errors.Join(err, stop())
	}
	return &gatewaybench.Running{Stop: stop, Note: "a verdict by a program for the first packet of a flow"}, nil
}

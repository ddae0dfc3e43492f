package cli

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/internal/assess"
	"github.com/ringwall/ringwall/internal/lab/farm"
	"github.com/ringwall/ringwall/internal/netns"
	"github.com/ringwall/ringwall/internal/probe/ports"
)

func newBenchPorts(env Env) *cobra.Command {
	runs := 10
	c := &cobra.Command{
		Use:   "ports",
		Short: "Scan all 65,535 ports of a host with 20 open ones, beside nmap where it is installed",
		Args:  exactArgs(0),
		RunE:  func(c *cobra.Command, _ []string) error { return benchPorts(c.Context(), env, runs) },
	}
	c.Flags().IntVar(&runs, "runs", runs, "scans by each means")
	return c
}

// twentyPorts are spread from the first to the last.
func twentyPorts() (out []uint16) {
	for i := range 20 {
		out = append(out, uint16(1+i*65534/19))
	}
	return out
}

func benchPorts(ctx context.Context, env Env, runs int) error {
	if runs < 1 || runs > 1000 {
		return usagef("--runs %d is not between 1 and 1000", runs)
	}
	host := farm.Model{Name: "twenty ports"}
	for _, p := range twentyPorts() {
		host.Services = append(host.Services, farm.Service{Port: p, Serve: hangUp})
	}
	good, err := standing(ctx, []farm.Model{host}, func(f *farm.Farm) (bool, error) {
		all := true
		for _, m := range []ports.Means{ports.BySYN, ports.ByConnect} {
			ok, err := benchScan(ctx, env, f.Viewer(), f.Boxes[0].Addr, m, runs)
			if err != nil {
				return false, err
			}
			all = all && ok
		}
		return all, nil
	})
	if err == nil && !good {
		return errFound
	}
	return err
}

func hangUp(_ *farm.Box, l net.Listener) error {
	for {
		c, err := l.Accept()
		if errors.Is(err, net.ErrClosed) {
			return nil
		}
		if err != nil {
			return err
		}
		_ = c.Close()
	}
}

// benchScan takes turns with nmap, so that both meet the same machine.
func benchScan(ctx context.Context, env Env, n *netns.NS, at netip.Addr, m ports.Means, runs int) (bool, error) {
	nmap, _ := exec.LookPath("nmap")
	flag := map[ports.Means]string{ports.BySYN: "-sS", ports.ByConnect: "-sT"}[m]
	var ours, theirs []time.Duration
	complete, peer := 0, 0
	for range runs {
		began := time.Now()
		r, err := ports.ScanBy(ctx, m, n, assess.Target{Addr: at}, ports.All())
		if err != nil {
			return false, ringwall.Errorf(ringwall.Unavailable, "scanning by %v: %w", m, err)
		}
		ours = append(ours, time.Since(began))
		if slices.Equal(r.Open, twentyPorts()) {
			complete++
		}
		if nmap == "" {
			continue
		}
		cmd := exec.CommandContext(ctx, nmap, flag, "-T4", "-p-", "-n", "-Pn", "-oG", "-", at.String())
		var out bytes.Buffer
		cmd.Stdout = &out
		began = time.Now()
		if err := n.Start(cmd); err != nil {
			return false, fmt.Errorf("starting nmap: %w", err)
		}
		if err := cmd.Wait(); err != nil {
			return false, fmt.Errorf("running nmap: %w", err)
		}
		theirs = append(theirs, time.Since(began))
		if slices.Equal(openOf(out.Bytes()), twentyPorts()) {
			peer++
		}
	}
	fmt.Fprintf(env.Stdout, "%v: 20 of 20 open ports in %d of %d runs, %v at the median, %v at worst\n",
		m, complete, runs, middle(ours).Round(time.Millisecond), slices.Max(ours).Round(time.Millisecond))
	if nmap == "" {
		fmt.Fprintln(env.Stdout, "  NOT COMPARED: nmap is not installed")
		return complete == runs, nil
	}
	fmt.Fprintf(env.Stdout, "  nmap %s -T4: 20 of 20 in %d of %d runs, %v at the median, %v at worst; ours takes %.2f times as long\n",
		flag, peer, runs, middle(theirs).Round(time.Millisecond), slices.Max(theirs).Round(time.Millisecond), float64(middle(ours))/float64(middle(theirs)))
	return complete == runs, nil
}

// openOf reads the open ports of nmap's grepable output.
func openOf(out []byte) (open []uint16) {
	s := bufio.NewScanner(bytes.NewReader(out))
	for s.Scan() {
		_, list, ok := strings.Cut(s.Text(), "Ports: ")
		if !ok {
			continue
		}
		for item := range strings.SplitSeq(list, ",") {
			port, rest, _ := strings.Cut(strings.TrimSpace(item), "/")
			n, err := strconv.ParseUint(port, 10, 16)
			if err == nil && strings.HasPrefix(rest, "open/") {
				open = append(open, uint16(n))
			}
		}
	}
	return open
}

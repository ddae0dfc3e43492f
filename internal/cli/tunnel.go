package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/spf13/cobra"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/api"
	"github.com/ringwall/ringwall/client"
	"github.com/ringwall/ringwall/internal/tunnel"
)

func newTunnel(env Env) *cobra.Command {
	return noun(env, "tunnel", "Ways to one port of one device, without an open port: ask, approve, open, close, list, recording, settings", []string{"tunnels"},
		tunnelAsk, tunnelOpen, tunnelList, tunnelRecording, tunnelSettings,
		tunnelDecide("approve", "Let somebody in who asked"),
		tunnelDecide("decline", "Say no to who asked"),
		tunnelDecide("close", "End a tunnel, and all that goes through it"))
}

func tunnelAsk(k *conn) *cobra.Command {
	var in api.TunnelAsk
	var approve bool
	c := &cobra.Command{
		Use: "ask DEVICE", Short: "Ask for a way to a TCP port of a device", Args: exactArgs(1),
		Example: "  ringwall tunnel ask \"Front door camera\" --port 80 --minutes 30 --reason \"set its clock\"",
		RunE: ask(k, func(ctx context.Context, c *client.Client, args []string) (api.RemoteTunnel, error) {
			if in.Port == 0 || strings.TrimSpace(in.Reason) == "" {
				return api.RemoteTunnel{}, usagef("say which --port, and for what --reason: it is kept with the tunnel")
			}
			id, err := deviceID(ctx, c, args[0])
			if err != nil {
				return api.RemoteTunnel{}, err
			}
			t, err := c.AskTunnel(ctx, id, in)
			if err != nil || !approve {
				return t, err
			}
			return c.DecideTunnel(ctx, t.ID, "approve")
		}, showTunnel),
	}
	fl := c.Flags()
	fl.Uint16Var(&in.Port, "port", 0, "TCP port of the device")
	fl.IntVar(&in.Minutes, "minutes", 30, "how long it is needed")
	fl.StringVar(&in.Reason, "reason", "", "what for")
	fl.BoolVar(&approve, "approve", false, "approve it too, where that is yours to do")
	return c
}

func tunnelDecide(do, short string) func(*conn) *cobra.Command {
	return func(k *conn) *cobra.Command {
		return &cobra.Command{
			Use: do + " TUNNEL", Short: short, Args: exactArgs(1),
			RunE: ask(k, func(ctx context.Context, c *client.Client, args []string) (api.RemoteTunnel, error) {
				return c.DecideTunnel(ctx, ringwall.TunnelID(args[0]), do)
			}, showTunnel),
		}
	}
}

func showTunnel(w io.Writer, t api.RemoteTunnel) {
	row(w, "tunnel", t.ID)
	row(w, "to", fmt.Sprintf("%s port %d", t.Device, t.Port))
	row(w, "state", t.State)
	row(w, "asked", fmt.Sprintf("%s by %s, for %d minutes: %s", when(t.Asked), t.AskedBy, t.Minutes, t.Reason))
	if !t.Decided.IsZero() {
		row(w, "decided", fmt.Sprintf("%s by %s", when(t.Decided), t.Decider))
	}
	if !t.Expires.IsZero() {
		row(w, "until", when(t.Expires))
	}
	if t.Reported != "" {
		row(w, "gateway", strings.TrimSuffix(t.Reported+": "+t.Why, ": "))
	}
	for _, r := range t.Recordings {
		row(w, "recording", fmt.Sprintf("%s, %d bytes%s", r.Name, r.Bytes, map[bool]string{true: ", torn: its end may be missing"}[r.Torn]))
	}
	switch t.State {
	case api.TunnelAsked:
		row(w, "next", "ringwall tunnel approve "+string(t.ID))
	case api.TunnelApproved:
		row(w, "next", "ringwall tunnel open "+string(t.ID))
	}
}

func tunnelList(k *conn) *cobra.Command {
	var f client.TunnelFilter
	var device string
	c := &cobra.Command{
		Use: "list", Short: "List tunnels, newest first", Args: exactArgs(0),
		RunE: ask(k, func(ctx context.Context, c *client.Client, _ []string) ([]api.RemoteTunnel, error) {
			f := f
			if device != "" {
				id, err := deviceID(ctx, c, device)
				if err != nil {
					return nil, err
				}
				f.Device = id
			}
			return all(ctx, func(ctx context.Context, p client.Paging) (api.Page[api.RemoteTunnel], error) {
				return c.Tunnels(ctx, f, p)
			})
		}, func(w io.Writer, ts []api.RemoteTunnel) {
			row(w, "ASKED", "STATE", "GATEWAY", "DEVICE", "PORT", "UNTIL", "BY", "CONNECTIONS", "REASON", "ID")
			for _, t := range ts {
				row(w, when(t.Asked), t.State, dash(t.Reported), t.Device, t.Port, when(t.Expires), t.AskedBy, t.Connections, t.Reason, t.ID)
			}
		}),
	}
	c.Flags().StringVar(&f.State, "state", "", "asked, approved, declined, closed or expired")
	c.Flags().StringVar(&device, "device", "", "only of this device")
	return c
}

// errEnded ends "tunnel open" when the tunnel did.
var errEnded = errors.New("the tunnel has ended")

func tunnelOpen(k *conn) *cobra.Command {
	var listen string
	c := &cobra.Command{
		Use: "open TUNNEL", Short: "Make the device's port a port of this machine, as long as the tunnel lasts", Args: exactArgs(1),
		Long: `Make the device's port a port of this machine, as long as the tunnel lasts or until interrupted.

What goes through is recorded on the platform. Only programs of this machine reach it, unless --listen says otherwise.`,
		Example: "  ringwall tunnel open tun_06f… --listen 127.0.0.1:8081   # then browse http://127.0.0.1:8081",
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := k.open()
			if err != nil {
				return err
			}
			id := ringwall.TunnelID(args[0])
			t, err := c.Tunnel(cmd.Context(), id)
			if err != nil {
				return err
			}
			if t.State != api.TunnelApproved {
				return ringwall.Errorf(ringwall.Conflict, "the tunnel is %s", t.State)
			}
			l, err := (&net.ListenConfig{}).Listen(cmd.Context(), "tcp", listen)
			if err != nil {
				return fmt.Errorf("listening here: %w", err)
			}
			fmt.Fprintf(k.env.Stderr, "ringwall: %s is port %d of device %s until %s; it is recorded\n", l.Addr(), t.Port, t.Device, when(t.Expires))
			return forward(cmd.Context(), k, c, id, l)
		},
	}
	c.Flags().StringVar(&listen, "listen", "127.0.0.1:0", "where to listen on this machine")
	return c
}

// forward carries connections until ctx or the tunnel ends.
func forward(ctx context.Context, k *conn, c *client.Client, id ringwall.TunnelID, l net.Listener) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	defer context.AfterFunc(ctx, func() { l.Close() })()
	var wg sync.WaitGroup
	defer wg.Wait()
	wg.Go(func() { // who waits for nothing hears of the end too
		tick := time.NewTicker(5 * time.Second)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
			}
			if t, err := c.Tunnel(ctx, id); err == nil && t.State != api.TunnelApproved {
				cancel(errEnded)
				return
			}
		}
	})
	for {
		in, err := l.Accept()
		if err != nil {
			cancel(nil)
			if errors.Is(context.Cause(ctx), errEnded) {
				fmt.Fprintln(k.env.Stderr, "ringwall: the tunnel has ended")
			}
			return nil
		}
		wg.Go(func() {
			defer in.Close()
			out, err := c.ConnectTunnel(ctx, id)
			if err != nil {
				fmt.Fprintf(k.env.Stderr, "ringwall: %v\n", err)
				if ringwall.CodeOf(err) == ringwall.Conflict {
					cancel(errEnded)
				}
				return
			}
			defer out.Close()
			var up, down atomic.Uint64
			tunnel.Join(ctx, in, out, &up, &down)
		})
	}
}

func tunnelRecording(k *conn) *cobra.Command {
	return &cobra.Command{
		Use: "recording TUNNEL [NAME]", Short: "Show what went through a tunnel", Args: cobra.RangeArgs(1, 2),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := k.open()
			if err != nil {
				return err
			}
			ctx, id := cmd.Context(), ringwall.TunnelID(args[0])
			t, err := c.Tunnel(ctx, id)
			if err != nil {
				return err
			}
			for _, r := range t.Recordings {
				if len(args) == 2 && r.Name != args[1] {
					continue
				}
				for p := (client.Paging{}); ; {
					page, err := c.TunnelRecording(ctx, id, r.Name, p)
					if err != nil {
						return err
					}
					for _, f := range page.Items {
						if err := showFrame(k, f); err != nil {
							return err
						}
					}
					if p.Cursor = page.Next; p.Cursor == "" {
						break
					}
				}
			}
			return nil
		},
	}
}

// showFrame prints a frame: as JSON, or as text that no terminal obeys.
func showFrame(k *conn, f api.TunnelFrame) error {
	if k.json {
		return json.NewEncoder(k.env.Stdout).Encode(f)
	}
	head := f.Time.Local().Format("15:04:05.000") + " " + strconv.Itoa(int(f.Conn)) + " " + f.What + " "
	if len(f.Data) == 0 {
		_, err := fmt.Fprintln(k.env.Stdout, strings.TrimSpace(head))
		return err
	}
	for line := range strings.Lines(string(f.Data)) {
		if _, err := fmt.Fprintln(k.env.Stdout, head+strings.Trim(strconv.Quote(line), `"`)); err != nil {
			return err
		}
	}
	return nil
}

func tunnelSettings(k *conn) *cobra.Command {
	var eyes bool
	var minutes int
	c := &cobra.Command{
		Use: "settings", Short: "Show or lay down who approves tunnels and how long they last at most", Args: exactArgs(0),
		Example: "  ringwall tunnel settings --four-eyes --max-minutes 60",
	}
	c.Flags().BoolVar(&eyes, "four-eyes", false, "whoever asks does not approve")
	c.Flags().IntVar(&minutes, "max-minutes", 0, "the longest that anybody may ask for")
	c.RunE = ask(k, func(ctx context.Context, cl *client.Client, _ []string) (api.TunnelSettings, error) {
		set, err := cl.TunnelSettings(ctx)
		if err != nil || !c.Flags().Changed("four-eyes") && !c.Flags().Changed("max-minutes") {
			return set, err
		}
		if c.Flags().Changed("four-eyes") {
			set.FourEyes = eyes
		}
		if c.Flags().Changed("max-minutes") {
			set.MaxMinutes = minutes
		}
		return cl.PutTunnelSettings(ctx, set)
	}, func(w io.Writer, s api.TunnelSettings) {
		row(w, "four eyes", s.FourEyes)
		row(w, "at most", fmt.Sprintf("%d minutes", s.MaxMinutes))
	})
	return c
}

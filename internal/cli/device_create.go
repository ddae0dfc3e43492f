package cli

import (
	"context"
	"io"

	"github.com/spf13/cobra"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/api"
	"github.com/ringwall/ringwall/client"
)

// deviceCreate makes a device that is known by its SIM alone.
func deviceCreate(k *conn) *cobra.Command {
	in := api.DeviceCreate{}
	var sim, gateway, mode string
	c := &cobra.Command{
		Use: "create NAME", Short: "Make a device that is known by its SIM alone", Args: exactArgs(1),
		Long: `Make a device that no gateway sees by a MAC: it is known by its SIM, and its gateway learns its address from RADIUS accounting or
from its own modem. The gateway has a policy for it before it is seen for the first time. Devices with a MAC need not be made.`,
		Example: "  ringwall device create \"Meter 12\" --sim sim_... --gateway gw_... --type meter --mode enforce",
	}
	c.RunE = ask(k, func(ctx context.Context, cl *client.Client, args []string) (api.Device, error) {
		if sim == "" || gateway == "" {
			return api.Device{}, usagef("name its SIM with --sim and the gateway that its traffic passes with --gateway")
		}
		in := in
		in.Name, in.SIM, in.Gateway = args[0], ringwall.SIMID(sim), ringwall.GatewayID(gateway)
		if mode != "" {
			in.Mode = new(ringwall.Mode)
			if err := in.Mode.UnmarshalText([]byte(mode)); err != nil {
				return api.Device{}, usagef("a mode is learn, shadow or enforce, not %q", mode)
			}
		}
		return cl.CreateDevice(ctx, in)
	}, func(w io.Writer, d api.Device) {
		row(w, d.ID, d.Name, d.Type, d.Mode, "behind "+string(d.Gateway))
	})
	fl := c.Flags()
	fl.StringVar(&sim, "sim", "", "id of its SIM, as \"ringwall sim list\" shows it (needed)")
	fl.StringVar(&gateway, "gateway", "", "id of the gateway that its traffic passes: with a cellular uplink, or at the operator's exit of the APN (needed)")
	fl.StringVar(&in.Type, "type", "unknown", "camera, meter, phone, laptop, hub, lock or unknown")
	fl.StringVar(&mode, "mode", "", "learn, shadow or enforce; as its gateway takes arrivals without")
	fl.StringVar(&in.Use, "use", "", "what it is used for: consumer, public or production")
	fl.StringSliceVar(&in.Tags, "tag", nil, "a word of yours, for groups; repeat")
	return c
}

package agent

import (
	"context"
	"io"

	"github.com/ringwall/ringwall/internal/nft"
)

// fenceConfig says to the packet filter where this gateway stands.
func (c Config) fenceConfig() nft.Config {
	f := nft.Config{
		Bridge: c.Bridge, LAN: c.LAN, Uplink: c.Uplink, Masquerade: c.Masquerade, Manage: c.Manage, Host: c.Host, Now: c.Now,
	}
	if c.Host {
		f.Management = nft.Management{Mark: hostMark}
	}
	if c.Inspect && !c.Host {
		f.Inspect = inspectPort
	}
	return f
}

// CloseGateway loads the closed base into the kernel and nothing else: for the
// boot, before any interface comes up. Rules of an agent that are whole already
// stay as they are.
func CloseGateway(ctx context.Context, c Config) error {
	c, err := c.withDefaults()
	if err != nil {
		return err
	}
	f, err := nft.Open(c.fenceConfig())
	if err != nil {
		return err
	}
	defer f.Close()
	return f.Base(ctx)
}

// mainClose takes the flags of "run", so that a boot script needs one list only.
func mainClose(ctx context.Context, args []string, stderr io.Writer) error {
	var c Config
	fs := flags("close", &c, stderr)
	runFlags(fs, &c, new(bool), new(bool))
	if err := parse(fs, args); err != nil {
		return err
	}
	return CloseGateway(ctx, c)
}

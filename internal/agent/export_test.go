package agent

import (
	"context"
	"io"
)

// MainWith is Main with clocks and parts that tests set.
func MainWith(ctx context.Context, base Config, parts Parts, args []string, stdout, stderr io.Writer) int {
	return mainWith(ctx, base, parts, nil, args, stdout, stderr)
}

// Parsers of what devices and the kernel say.
var (
	DHCPMUD  = dhcpMUD
	LLDPMUD  = lldpMUD
	MUDURL   = mudURL
	RouterOf = routerOf
)

// Package probe is the list of what Ringwall can measure over a network: each
// probe stands in a package of its own below, with its definition, code and
// tests.
//
// The order of All matters: the port scan names the services, the web and
// ONVIF probes learn what the device is and where its video is, and the RTSP
// probe, coming after them, replays a credential that they have proven and
// shows a picture with it.
package probe

import (
	"github.com/ringwall/ringwall/internal/assess"
	"github.com/ringwall/ringwall/internal/probe/disclosure"
	"github.com/ringwall/ringwall/internal/probe/discover"
	"github.com/ringwall/ringwall/internal/probe/httpadmin"
	"github.com/ringwall/ringwall/internal/probe/onvif"
	"github.com/ringwall/ringwall/internal/probe/ports"
	"github.com/ringwall/ringwall/internal/probe/rtsp"
	"github.com/ringwall/ringwall/internal/probe/snapshot"
	"github.com/ringwall/ringwall/internal/probe/snmp"
	"github.com/ringwall/ringwall/internal/probe/ssh"
	"github.com/ringwall/ringwall/internal/probe/telnet"
	"github.com/ringwall/ringwall/internal/probe/tlscheck"
	"github.com/ringwall/ringwall/internal/probe/upnp"
)

// All returns every probe, in the order in which they run.
func All() []assess.Probe {
	return []assess.Probe{
		ports.Probe{}, onvif.Probe{}, httpadmin.Probe{}, rtsp.Probe{}, snapshot.Probe{}, telnet.Probe{}, tlscheck.Probe{}, ssh.Probe{}, snmp.Probe{}, upnp.Probe{},
		disclosure.Probe{},
	}
}

// Finders returns every way to discover devices.
func Finders() []assess.Finder {
	return []assess.Finder{discover.Neighbours{}, discover.WSDiscovery{}, discover.MDNS{}, discover.SSDP{}, discover.Sweep{}}
}

// Package probe is the list of what Ringwall can measure over a network: each
// probe stands in a package of its own below, with its definition, code and
// tests.
//
// The order of All matters: the port scan names the services, the ONVIF and
// fingerprint probes learn what the device is, the web probe where its video is,
// and the RTSP probe, coming after them, replays a credential that they have
// proven and shows a picture with it. What looks at one protocol alone runs side by
// side; what compares (declared services, the view from outside, what was given
// away) comes last.
package probe

import (
	"github.com/ringwall/ringwall/internal/assess"
	"github.com/ringwall/ringwall/internal/probe/bruteforce"
	"github.com/ringwall/ringwall/internal/probe/coap"
	"github.com/ringwall/ringwall/internal/probe/cve"
	"github.com/ringwall/ringwall/internal/probe/declared"
	"github.com/ringwall/ringwall/internal/probe/disclosure"
	"github.com/ringwall/ringwall/internal/probe/discover"
	"github.com/ringwall/ringwall/internal/probe/exposure"
	"github.com/ringwall/ringwall/internal/probe/fingerprint"
	"github.com/ringwall/ringwall/internal/probe/httpadmin"
	"github.com/ringwall/ringwall/internal/probe/mqtt"
	"github.com/ringwall/ringwall/internal/probe/onvif"
	"github.com/ringwall/ringwall/internal/probe/ports"
	"github.com/ringwall/ringwall/internal/probe/rtsp"
	"github.com/ringwall/ringwall/internal/probe/snapshot"
	"github.com/ringwall/ringwall/internal/probe/snmp"
	"github.com/ringwall/ringwall/internal/probe/ssh"
	"github.com/ringwall/ringwall/internal/probe/sshlogin"
	"github.com/ringwall/ringwall/internal/probe/telnet"
	"github.com/ringwall/ringwall/internal/probe/tlscheck"
	"github.com/ringwall/ringwall/internal/probe/upnp"
	"github.com/ringwall/ringwall/internal/vuln"
)

// All returns every probe, in the order in which they run.
func All() []assess.Probe {
	return []assess.Probe{
		ports.Probe{}, onvif.Probe{}, fingerprint.Probe{Support: vuln.Default()},
		httpadmin.Probe{}, rtsp.Probe{}, snapshot.Probe{}, telnet.Probe{}, sshlogin.Probe{},
		tlscheck.Probe{}, ssh.Probe{}, mqtt.Probe{}, coap.Probe{}, snmp.Probe{}, upnp.Probe{}, // side by side
		snmp.Writer{}, declared.Probe{}, exposure.Probe{}, disclosure.Probe{},
		cve.Versions{Data: vuln.Default()}, cve.Checks{}, bruteforce.Probe{}, // the last two only for who allows what strains
	}
}

// Finders returns every way to discover devices.
func Finders() []assess.Finder {
	return []assess.Finder{discover.Neighbours{}, discover.WSDiscovery{}, discover.MDNS{}, discover.SSDP{}, discover.Sweep{}}
}

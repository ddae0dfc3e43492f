// Package portmap asks a router upstream which of its ports it maps to whom, and
// has it take such mappings away. Devices that ask for a mapping by themselves are
// how many cameras come to be reachable from the whole Internet; a gateway refuses
// them this, but a mapping may be older than the gateway, or made by somebody
// else.
//
// Client speaks, as a client only: UPnP Internet Gateway Device, versions 1 and 2
// (WANIPConnection and WANPPPConnection; search by unicast, UPnP Device
// Architecture 1.1 section 1.3.2), which lists and deletes; NAT-PMP (RFC 6886) and
// PCP (RFC 6887), which list nothing: they tell that the router can be asked for
// mappings, and delete those of the asker's own address. It asks for no mapping,
// ever.
//
// The router is believed nothing but what it says of itself: whatever address it
// names to go to next must be its own, redirects are not followed, every answer is
// bounded in size, every list in length. A mapping is what the router says it is;
// that it is gone is believed when it is not listed any more.
//
// A Client starts no goroutines that outlive a call, and may be used from several.
package portmap

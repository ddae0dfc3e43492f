// Package tunnel is the way from the platform to one port of one device behind
// a gateway, for people who must look after the device, without an open port
// anywhere near it.
//
// Both ends speak WireGuard in user space (wireguard-go over gVisor's network
// stack): no interface, route or privilege of the system is needed. A Hub is the
// platform's end: it listens on one UDP port and knows only gateways for which a
// tunnel is open at the moment. A Spoke is the gateway's: it dials outwards, and
// only while a signed desired state lists a tunnel. Inside, each tunnel is one TCP
// port of the gateway's inner address, behind which exactly one port of one device
// answers; nothing else of the gateway or its network can be reached through it,
// and nothing of the platform: neither end forwards packets, and the Hub accepts no
// connection from inside.
//
// A tunnel ends when its time is over, by the gateway's own clock, or when a
// newer document does not list it; its live connections are closed then, at both
// ends, whether or not they hear of each other.
//
// What goes through can be kept: see Recorder.
//
// Hub and Spoke may be used concurrently. Each owns its goroutines; Close waits
// for them.
package tunnel

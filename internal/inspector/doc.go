// Package inspector judges what stands inside flows: names in the hellos of TLS,
// every request of HTTP/1 and RTSP, every packet of MQTT, every message of CoAP.
//
// The packet filter steers to it (TPROXY) what only a look inside can tell. It
// answers the device in the place of the other end, reads (package peek), asks
// the policy again with what it has seen (policy.Judge, Flow.Inside), and only
// when that passes does it call the other end, with the device's own address, so
// that the other end sees no difference. What is refused is refused before any
// byte of it is passed on, in words of the protocol where it has some: an alert
// of TLS, 403 of HTTP and RTSP, reason codes of MQTT, 4.03 of CoAP.
//
// A name that a flow shows counts only when the device had been led to this very
// address by it: the DNS guard's file is asked (package resolved). ECH hides the
// name and counts as none. A hello that answers a retry request must show the
// same as the first. What cannot be read in one way, or is of no protocol that is
// understood here (HTTP/2 in clear, QUIC, DTLS), passes only where a term allows
// the end without a look. A URI inside TLS is not seen by anybody but the device.
//
// What is decided is decided again when the policy file changes, and every
// second, for windows end: a connection that is not allowed any more is closed.
// The packet filter besides cuts both legs of a device that comes under a
// restriction, packet by packet, whatever this process does.
//
// It is a process of its own (ringwall-agent inspect): when it dies, its
// connections die, and nothing that it had to judge passes until the next one
// runs. It trusts nothing that comes from a device: heads are bounded
// (peek.MaxHello, peek.MaxHead) and must come whole within Config.HeadWait, each device
// has a share of the connections (Config.MaxEach), and what waits for a slow
// reader waits in the kernel.
//
// Run owns all goroutines.
package inspector

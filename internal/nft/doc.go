// Package nft puts a policy.Plan into the kernel: nftables tables of our own,
// and nothing else.
//
// It owns three tables, all named "ringwall": one of family bridge, which ties
// every frame to a device by (port, MAC, IP) and drops what is forged, and one
// each of families ip and ip6, which judge flows in the forward and input hooks
// by the same chains. The tables of others are never read or changed, and ours
// are never flushed: when the program ends, by whatever cause, what it put in
// force stays.
//
// Chains and rules are fixed (the skeleton); a policy is elements of sets.
// Base loads the skeleton closed, before any interface is up. Apply brings
// the sets to a plan in one netlink transaction, so that no packet meets a
// state that is neither the old nor the new policy, then reads back from the
// kernel what it changed and answers with a hash of what is in force; Hash reads
// everything, and is to be called now and then. Restrict changes a few elements.
//
// How a packet is judged. The forward hook looks at who opened the flow, by
// the original direction of its connection, whatever way this packet goes:
// first the policy of the device that opened it, then that of the device it
// was opened to. Quarantine is looked up for every packet, ahead of the
// acceptance of established flows, so that it cuts them at once. A flow that
// its device's policy allowed carries a token in its connection mark (the
// device's mark and a version); it is accepted without another look as long as
// the token is live. Apply ends the tokens of a device in the same transaction
// that takes something away from it: its flows are then judged anew, and those
// still allowed go on. A DNS binding that expires ends no flow. Tokens of flows
// to the outside of devices that enforce and have no limit stand in sets of
// their own, which count: those packets meet two or three rules.
//
// What only a look inside a flow can decide is steered to an inspector by
// transparent sockets (Config.Inspect); both of its legs are judged packet by
// packet by the policy of the device whose address they bear. Without one it is
// refused. Limits are counted by the kernel, each shared by all flows that it
// speaks of; what is used of quotas survives plans and restarts, and by Consumed
// and Restore the loss of the tables.
//
// All tables change together: a netlink transaction spans families. The hash of
// a state is the same however it was reached.
//
// Devices of one bridge must not talk past us: Prepare isolates the ports, so
// that traffic between two devices is routed through the forward hook, and the
// bridge's own forward hook is closed besides.
//
// IPv6 is closed to a device whose plan names no addresses of it. Fragments of
// IPv4 are put together by connection tracking before the forward hook sees them;
// what it cannot track is dropped, and so are IPv4 options and IPv6 extension
// headers of devices.
//
// With Config.Host the machine is itself the device, judged by the same chains in
// its output and input hooks; what is forwarded is dropped.
//
// A Firewall may be used from several goroutines. Apply, Restrict and Hash
// exclude each other; Bind does not wait for them in this process. The package
// starts no goroutine but inside Refusals, which ends with its context. What
// Config.Fast is told, it is told while Apply or Restrict wait: it must not call
// back.
package nft

// Package nft puts a policy.Plan into the kernel: nftables tables of our own,
// and nothing else.
//
// It owns three tables, all named "ringwall": one of family bridge, which ties
// every frame to a device by (port, MAC, IP) and drops what is forged, one of
// family ip, which judges flows in the forward and input hooks, and one of
// family ip6, which is closed. The tables of others are never read or changed,
// and ours are never flushed: when the program ends, by whatever cause, what it
// put in force stays.
//
// Chains and rules are fixed (the skeleton); a policy is elements of sets.
// Base loads the skeleton closed, before any interface is up. Apply brings
// the sets to a plan in one netlink transaction, so that no packet meets a
// state that is neither the old nor the new policy, then reads the kernel back
// and answers with the hash of what it read. Restrict changes one element.
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
// still allowed go on. A DNS binding that expires ends no flow.
//
// All tables change together: a netlink transaction spans families.
//
// Devices of one bridge must not talk past us: Prepare isolates the ports, so
// that traffic between two devices is routed through the forward hook, and the
// bridge's own forward hook is closed besides.
//
// IPv6 is closed. Fragments are put together by connection tracking before the
// forward hook sees them; what it cannot track is dropped.
//
// A Firewall may be used from several goroutines. Apply, Restrict and Hash
// exclude each other; Bind does not wait for them in this process. The package
// starts no goroutine but inside Refusals, which ends with its context.
package nft

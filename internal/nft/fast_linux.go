package nft

// Bits of a connection mark. Its lowest 23 bits are the mark of the device that
// opened the flow.
const (
	// TokenMark are the bits of a connection mark that hold the mark of the device.
	TokenMark = markBits
	// TokenBoth is set in the connection mark of a flow between two devices: the
	// tables judge each packet of it, for the sake of the one that it was opened to.
	TokenBoth = flowBoth
)

// LiveToken returns the connection mark that flows bear which a device opened to
// the outside, and which its policy allows without looking at their packets
// again. ok is false when there are none: the device is not in force, does not
// enforce, is restricted, or is under a limit, so that each packet counts.
//
// A flow may go a faster way while its connection mark equals the token, its
// packets come from the device's interface and go to the uplink, or the
// other way round, and connection tracking knows it. The address of a device
// changes only together with its token.
func (f *Firewall) LiveToken(mark uint32) (token uint32, ok bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.in.liveToken(mark)
}

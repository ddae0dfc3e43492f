package run

import "net/netip"

// Address reads the name of an other end in totals; it is invalid for reports
// that have none.
func Address(key string) netip.Addr {
	if len(key) < 1 {
		return netip.Addr{}
	}
	a, _ := netip.AddrFromSlice([]byte(key[1:]))
	return a
}

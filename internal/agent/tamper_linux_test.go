package agent_test

import "github.com/google/nftables"

// tamper removes a table of the gateway, as an intruder or a clumsy script may.
func tamper() error {
	c, err := nftables.New()
	if err != nil {
		return err
	}
	c.DelTable(&nftables.Table{Name: "ringwall", Family: nftables.TableFamilyBridge})
	return c.Flush()
}

// Command bench puts Ringwall beside others who do the same, in the same run
// on the same machine. It is a module of its own, so that no peer ever comes into
// the program.
//
//	go run -C bench . squashfs FILE
//
// reads every file of the SquashFS in an image with Ringwall's reader, with go-diskfs
// and, where they are installed, with unsquashfs and binwalk, and tells what each
// read and the processor time that it took. Scans are compared with nmap by
// "ringwall bench ports".
//
//	go run -C bench . gateway [flags]
//
// is "ringwall bench gateway" with linear iptables rules, an ipset and NFQUEUE
// beside our gateway (root on Linux; Debian's iptables and ipset).
//
//	go run -C bench . usage [flags]
//
// has the same usage records judged by our rules, by DuckDB, and, where they are
// installed, by PostgreSQL, ClickHouse and SQLite (Debian's packages), demands the
// same answers and tells the processor time of the whole process trees.
package main

import (
	"fmt"
	"os"
)

func main() {
	if err := do(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func do(args []string) error {
	switch {
	case len(args) == 2 && args[0] == "squashfs":
		return squashfs(args[1])
	case len(args) >= 1 && args[0] == "gateway":
		return gateway(args[1:])
	case len(args) >= 1 && args[0] == "usage":
		return usageBench(args[1:])
	case len(args) == 3 && parts[args[0]] != nil:
		return parts[args[0]](args[1], args[2])
	}
	fmt.Fprintln(os.Stderr, "usage: go run -C bench . squashfs FILE | gateway [flags] | usage [flags]")
	os.Exit(2)
	return nil
}

// Command bench measures Ringwall beside others who do the same, in the same run
// on the same machine. It is a module of its own, so that no peer ever comes into
// the program.
//
//	go run -C bench . squashfs FILE
//
// reads every file of the SquashFS in an image with Ringwall's reader, with go-diskfs
// and, where they are installed, with unsquashfs and binwalk, and tells what each
// read and the processor time that it took. Scans are compared with nmap by
// "ringwall bench ports".
package main

import (
	"fmt"
	"os"
)

func main() {
	if len(os.Args) != 3 || os.Args[1] != "squashfs" {
		fmt.Fprintln(os.Stderr, "usage: go run -C bench . squashfs FILE")
		os.Exit(2)
	}
	if err := squashfs(os.Args[2]); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

package actor

import (
	"io"
	"log"
)

// quiet returns a logger for what strangers do to a server, scans and broken
// handshakes, of which there is plenty in the range.
func quiet() *log.Logger { return log.New(io.Discard, "", 0) }

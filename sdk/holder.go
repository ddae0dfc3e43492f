package sdk

import (
	"net"
	"sync"
)

// rawHolder hands a connection that is still being opened to whoever cuts it.
type rawHolder struct {
	mu   sync.Mutex
	raw  net.Conn
	over bool
}

// set reports whether the connection may be used; else it is closed.
func (h *rawHolder) set(raw net.Conn) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.over {
		hard(raw)
		return false
	}
	h.raw = raw
	return true
}

func (h *rawHolder) close() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.over = true
	if h.raw != nil {
		hard(h.raw)
	}
}

//go:build !linux

package resolved

import (
	"net/netip"
	"time"

	"github.com/ringwall/ringwall"
)

// Bounds of a file.
const (
	MaxSlots     = 1 << 18
	DefaultSlots = MaxSlots
)

// Book cannot be opened here: there is no boot clock.
type Book struct{}

// Open fails with code Unavailable.
func Open(string, uint32) (*Book, map[uint32]Entry, error) {
	return nil, nil, &ringwall.Error{Code: ringwall.Unavailable, Text: "names of addresses are kept on Linux only"}
}

func (*Book) Add(Entry) (uint32, error)  { return 0, nil }
func (*Book) Set(uint32, Entry) error    { return nil }
func (*Book) Remove(uint32, Entry) error { return nil }
func (*Book) Len() int                   { return 0 }
func (*Book) Close() error               { return nil }

// Reader knows nothing here.
type Reader struct{}

func NewReader(string, func() time.Duration) *Reader  { return &Reader{} }
func (*Reader) Close() error                          { return nil }
func (*Reader) Names(uint64, netip.Addr) []string     { return nil }
func (*Reader) Knows(uint64, netip.Addr, string) bool { return false }
func (*Reader) Stale(uint64, netip.Addr) string       { return "" }

// Uptime is the wall clock here, for want of better.
func Uptime() time.Duration { return time.Duration(time.Now().UnixNano()) }

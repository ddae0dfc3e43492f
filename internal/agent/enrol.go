package agent

import (
	"context"
	"fmt"
	"os"
	"strings"
	"time"
	"unicode"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/internal/enrol"
)

// EnrolConfig says where to enrol.
type EnrolConfig struct {
	Config
	// Platform is the address of the platform, such as "https://198.51.100.10:8443".
	Platform string
	Token    string // one-time
	Name     string // how people call this gateway
	// Serial is the machine's own number, by which a manifest knows it; "" is what
	// the machine says of itself, if it does.
	Serial string
	// CA is the path of the platform's authority as PEM, or Pin the SHA-256 of
	// that authority's certificate as hex. One of them is needed.
	CA, Pin string
	// Again replaces an identity that there is already.
	Again bool
}

// Enrol makes a key, has it certified, and keeps both in the state directory.
// The token and the key are in no error and no log.
func Enrol(ctx context.Context, c EnrolConfig) (Identity, error) {
	if c.State == "" {
		c.State = DefaultState
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if _, err := c.loadIdentity(); err == nil && !c.Again {
		return Identity{}, &ringwall.Error{Code: ringwall.Conflict, Text: "this gateway is enrolled already", Hint: "-again replaces its identity"}
	}
	serial := c.Serial
	if serial == "" {
		serial = serialOf(os.ReadFile)
	}
	ask := enrol.Ask{Platform: c.Platform, Token: c.Token, Name: c.Name, Serial: serial, CA: c.CA, Pin: c.Pin, Now: c.Now}
	if err := ask.Check(); err != nil {
		return Identity{}, err
	}
	if len(serial) > maxSerial {
		return Identity{}, ringwall.Errorf(ringwall.Invalid, "the serial number has %d characters, the limit is %d", len(serial), maxSerial)
	}
	if err := c.Disk.MkdirAll(siteState, c.State, 0o700); err != nil {
		return Identity{}, fmt.Errorf("making the state directory: %w", err)
	}
	answer, key, err := ask.Do(ctx)
	if err != nil {
		return Identity{}, err
	}
	return c.adopt(answer, key)
}

// maxSerial bounds a serial number.
const maxSerial = 128

// serialFiles are where Linux tells the machine's serial number: what the firmware
// says (SMBIOS, which root alone may read), or the device tree.
var serialFiles = [...]string{"/sys/class/dmi/id/product_serial", "/sys/firmware/devicetree/base/serial-number", "/proc/device-tree/serial-number"}

// serialOf returns what the machine says its serial number is, "" for none: many
// boards say nothing, or what their maker forgot to fill in.
func serialOf(read func(path string) ([]byte, error)) string {
	for _, path := range serialFiles {
		b, err := read(path)
		if err != nil {
			continue
		}
		s := strings.TrimSpace(strings.TrimRight(string(b), "\x00"))
		if s != "" && len(s) <= maxSerial && !filler(s) {
			return s
		}
	}
	return ""
}

// filler reports whether a serial number is none: a text of the firmware's maker, a
// row of one character, or nothing that can be printed.
func filler(s string) bool {
	if strings.ContainsFunc(s, func(r rune) bool { return !unicode.IsPrint(r) }) {
		return true
	}
	switch strings.ToLower(strings.ReplaceAll(s, " ", "")) {
	case "none", "n/a", "na", "notspecified", "notapplicable", "unknown", "default", "defaultstring", "defaultserialnumber", "tobefilledbyo.e.m.", "tobefilledbyoem",
		"systemserialnumber", "serialnumber", "chassisserialnumber", "oem", "o.e.m.", "invalid", "0123456789", "123456789", "1234567890":
		return true
	}
	return strings.Trim(s, s[:1]) == ""
}

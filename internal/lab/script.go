package lab

import (
	"bytes"
	"embed"
	"encoding/json"
	"io"
	"io/fs"
	"net/netip"
	"time"

	"github.com/ringwall/ringwall"
)

// Files of a recorded range.
const (
	recordedPackets = "home.pcapng"
	recordedUsage   = "usage.csv"
	recordedScript  = "script.json"
)

//go:embed recorded
var recorded embed.FS

// Recorded returns the range that was recorded for where there can be none:
// half a minute of a quiet home, then its fall, part by part. It was made by
// "ringwall lab record".
func Recorded() fs.FS {
	sub, err := fs.Sub(recorded, "recorded")
	if err != nil {
		panic("lab: the embedded recording is not there: " + err.Error()) // the embed directive names it
	}
	return sub
}

// Script tells what a recording holds.
type Script struct {
	Made     time.Time        `json:"made"`
	Seed     uint64           `json:"seed"`
	Replaced []string         `json:"replaced"`
	Ended    time.Time        `json:"ended"`
	Devices  []RecordedDevice `json:"devices"`
	SIM      RecordedSIM      `json:"sim"`
	// Attacks are what was done, in order; the times are those of the recording.
	Attacks []Report `json:"attacks"`
}

// RecordedDevice is one device of a recording.
type RecordedDevice struct {
	Name string     `json:"name"`
	Type string     `json:"type"` // "camera", "meter", "phone", "hub"
	MAC  string     `json:"mac"`
	IP   netip.Addr `json:"ip"`
	Port string     `json:"port"` // of the gateway
}

// RecordedSIM is the card of a recording, in the numbers of test networks. They
// are plain here: the types of the vocabulary mask themselves.
type RecordedSIM struct {
	ICCID string   `json:"iccid"`
	IMSI  string   `json:"imsi"`
	IMEI  string   `json:"imei"`
	Peers []string `json:"peers"`
}

// Devices lists the devices of the range as an owner would enter them.
func Devices() (out []RecordedDevice) {
	types := map[string]string{BadCam: "camera", GoodCam: "camera", Meter: "meter", Phone: "phone", Laptop: "hub"}
	for _, h := range plan() {
		if h.home {
			out = append(out, RecordedDevice{Name: h.name, Type: types[h.name], MAC: MAC(h.addr).String(), IP: h.addr, Port: Port(h.name)})
		}
	}
	return out
}

// maxScript bounds a script.
const maxScript = 1 << 20

// readScript reads a script strictly.
func readScript(fsys fs.FS) (Script, error) {
	var s Script
	f, err := fsys.Open(recordedScript)
	if err != nil {
		return s, ringwall.Errorf(ringwall.Invalid, "the recording has no script: %w", err)
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxScript+1))
	if err != nil {
		return s, err
	}
	return parseScript(b)
}

func parseScript(b []byte) (s Script, err error) {
	if len(b) > maxScript {
		return s, ringwall.Errorf(ringwall.Invalid, "the script is over %d bytes", maxScript)
	}
	dec := json.NewDecoder(bytes.NewReader(b))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&s); err != nil {
		return s, ringwall.Errorf(ringwall.Invalid, "reading the script of a recording: %w", err)
	}
	if s.Made.IsZero() || s.Ended.Before(s.Made) || s.Ended.Sub(s.Made) > maxPlay {
		return s, ringwall.Errorf(ringwall.Invalid, "the script runs from %s to %s", s.Made, s.Ended)
	}
	return s, nil
}

// maxPlay is the longest recording that is played.
const maxPlay = time.Hour

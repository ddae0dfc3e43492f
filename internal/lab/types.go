package lab

import (
	"context"
	"net"
	"time"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/internal/lab/actor"
)

// Network dials and listens in some place; assess.Network is of the same shape.
type Network interface {
	DialContext(ctx context.Context, network, address string) (net.Conn, error)
	ListenPacket(ctx context.Context, network, address string) (net.PacketConn, error)
}

// SIM is the card in the meter's modem.
type SIM struct {
	ICCID ringwall.ICCID
	IMSI  ringwall.IMSI
	IMEI  ringwall.IMEI // of the modem it belongs in
	// Peers are the addresses that it has business with.
	Peers []string
}

// Credential is what opens a device of the range; for tests and for the owner.
type Credential struct {
	User     string
	Password string
}

// Arrival counts attack packets that arrived at one namespace.
type Arrival struct {
	Actor   string    `json:"actor"`
	Packets uint64    `json:"packets"`
	First   time.Time `json:"first"`
}

// What actors tell of themselves; see package actor.
type (
	CameraState   = actor.CameraState
	MeterState    = actor.MeterState
	PhoneStats    = actor.PhoneStats
	ViewStats     = actor.ViewStats
	OperatorState = actor.OperatorState
)

package cdr

import (
	"time"

	"github.com/ringwall/ringwall"
)

// Service is what was used.
type Service uint8

const (
	ServiceUnknown Service = iota
	Data
	SMS
	Voice
)

var serviceNames = [...]string{"", "data", "sms", "voice"}

func (s Service) String() string {
	if int(s) < len(serviceNames) {
		return serviceNames[s]
	}
	return "?"
}

// ParseService reads the name of a service.
func ParseService(s string) (Service, error) {
	for i := Data; i <= Voice; i++ {
		if s == serviceNames[i] {
			return i, nil
		}
	}
	return 0, ringwall.Errorf(ringwall.Invalid, `service %q is none of "data", "sms", "voice"`, short(s))
}

// Direction says who began a call or message.
type Direction uint8

const (
	DirectionUnknown Direction = iota // of data, or not told
	Originated                        // by the card ("mo")
	Terminated                        // by somebody else ("mt")
)

var directionNames = [...]string{"", "mo", "mt"}

func (d Direction) String() string {
	if int(d) < len(directionNames) {
		return directionNames[d]
	}
	return "?"
}

// Record is one usage record.
type Record struct {
	ID        string // of the record, unique for its card; "" when the source gives none
	Time      time.Time
	IMSI      ringwall.IMSI
	IMEI      ringwall.IMEI // the equipment the card sat in; "" when not told
	Service   Service
	Direction Direction
	Peer      string // address of the other end of data, number of a call or message; "" when not told
	APN       string // access point of data
	Up, Down  uint64 // bytes from and to the card
	Area      string // location or tracking area
	Cell      string
	Duration  time.Duration
	Address   string // that the card had in the data network; "" when not told
	PLMN      string // network that served: mobile country code and network code, such as "46000"
	Estimated bool   // the time is the receiver's: the record names none
	Partial   bool   // one of several records of a session that lasts
	Line      uint64 // number of the line in its input, from 1; not written
}

// short is s fit for an error: at most 40 bytes, and the digits of a subscriber
// number hidden.
func short(s string) string {
	if len(s) > 40 {
		s = s[:37] + "..."
	}
	b := []byte(s)
	run := 0
	for i := range b {
		if b[i] < '0' || b[i] > '9' {
			run = 0
			continue
		}
		if run++; run > 5 {
			b[i] = '*'
		}
	}
	return string(b)
}

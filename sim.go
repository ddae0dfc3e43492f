package ringwall

import (
	"encoding/json"
	"log/slog"
)

// IMSI is the subscriber identity in a SIM (3GPP TS 23.003 section 2.2, up to
// 15 digits). It prints, logs and marshals masked; Reveal gives the digits.
type IMSI string

// IMEI is the identity of the equipment a SIM sits in (TS 23.003 section 6.2).
// It prints, logs and marshals masked; Reveal gives the digits.
type IMEI string

// ICCID is the serial number of a SIM card (ITU-T E.118). It prints, logs and
// marshals masked; Reveal gives the digits.
type ICCID string

// mask keeps head and tail digits of s and hides the rest.
func mask(s string, head, tail int) string {
	if s == "" {
		return ""
	}
	if len(s) <= head+tail {
		return "****"
	}
	return s[:head] + "****" + s[len(s)-tail:]
}

func (i IMSI) String() string { return mask(string(i), 5, 2) }

// Reveal returns all digits.
func (i IMSI) Reveal() string { return string(i) }

// LogValue masks the IMSI in structured logs.
func (i IMSI) LogValue() slog.Value { return slog.StringValue(i.String()) }

// MarshalJSON masks the IMSI.
func (i IMSI) MarshalJSON() ([]byte, error) { return json.Marshal(i.String()) }

func (i IMEI) String() string { return mask(string(i), 8, 2) }

// Reveal returns all digits.
func (i IMEI) Reveal() string { return string(i) }

// TAC returns the type allocation code, the first eight digits, which name the
// model of the equipment; "" when the IMEI is shorter.
func (i IMEI) TAC() string {
	if len(i) < 8 {
		return ""
	}
	return string(i[:8])
}

// LogValue masks the IMEI in structured logs.
func (i IMEI) LogValue() slog.Value { return slog.StringValue(i.String()) }

// MarshalJSON masks the IMEI.
func (i IMEI) MarshalJSON() ([]byte, error) { return json.Marshal(i.String()) }

func (i ICCID) String() string { return mask(string(i), 6, 4) }

// Reveal returns all digits.
func (i ICCID) Reveal() string { return string(i) }

// LogValue masks the ICCID in structured logs.
func (i ICCID) LogValue() slog.Value { return slog.StringValue(i.String()) }

// MarshalJSON masks the ICCID.
func (i ICCID) MarshalJSON() ([]byte, error) { return json.Marshal(i.String()) }

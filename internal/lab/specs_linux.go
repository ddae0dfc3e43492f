package lab

import (
	"errors"
	"net/netip"
	"os"
	"path/filepath"
	"time"

	"github.com/ringwall/ringwall/cdr"
	"github.com/ringwall/ringwall/internal/lab/actor"
)

// spec is an actor's spec with the files that it gets beside its socket.
type spec struct {
	actor.Spec
	files []*os.File
}

// specs describes all actors.
func (r *Range) specs() (map[string]spec, error) {
	dns := netip.AddrPortFrom(addrOf(DNS), 53)
	out := map[string]spec{}
	for i, h := range plan() {
		if h.program == "" {
			continue
		}
		s := spec{Spec: actor.Spec{
			Name: h.name, Program: h.program, Addr: h.addr, Pace: r.cfg.Pace, Seed: r.cfg.Seed + uint64(i),
			Epoch:     time.Until(r.cfg.Now()).Round(time.Millisecond),
			Resolvers: []netip.AddrPort{dns}, VendorCA: r.ids.ca,
		}}
		if h.home {
			// As a home's router hands them out: itself first. Where nothing
			// answers there, a plain router, the next one is asked.
			s.Resolvers = []netip.AddrPort{netip.AddrPortFrom(addrOf(Gateway), 53), dns}
		}
		out[h.name] = s
	}
	set := func(name string, settings any) {
		s := out[name]
		s.Settings = jsonOf(settings)
		out[name] = s
	}
	vendor := func(name string) {
		s := out[name]
		s.VendorCert, s.VendorKey = r.ids.cert, r.ids.key
		out[name] = s
	}
	for _, name := range []string{Cloud, Update, GoodCam} {
		vendor(name)
	}
	set(DNS, r.zone())
	set(BadCam, actor.CameraSettings{
		Vendor: "Cheapo", Model: "IPC-100", Firmware: "1.0.3", Serial: "CH000177", User: badUser, Password: badPassword, Telnet: badRoot,
		Cloud: CloudName, Clock: ClockName,
	})
	set(GoodCam, actor.CameraSettings{
		Vendor: "Solid", Model: "SC-20", Firmware: "4.2.1", Serial: "SO202601", User: goodUser, Password: r.ids.goodPassword, TLS: true,
		Cloud: CloudName, Clock: ClockName,
	})
	set(Meter, actor.MeterSettings{Cloud: CloudName, Clock: ClockName, Modem: modem, Head: addrOf(Cloud)})
	set(Phone, actor.PhoneSettings{Cloud: CloudName, Clock: ClockName, Views: []actor.View{
		{Camera: GoodCam, Addr: addrOf(GoodCam), User: goodUser, Password: r.ids.goodPassword, Hold: !r.cfg.Glance, Look: r.cfg.Look, Rest: r.cfg.Rest},
		{Camera: BadCam, Addr: addrOf(BadCam), User: badUser, Password: badPassword, Look: r.cfg.Look, Rest: r.cfg.Rest},
	}})
	op := out[Operator]
	op.Settings = jsonOf(actor.OperatorSettings{
		ICCID: r.ids.sim.ICCID.Reveal(), IMSI: r.ids.sim.IMSI.Reveal(), IMEI: r.ids.sim.IMEI.Reveal(),
		Addr: netip.MustParseAddr(simMeter), Radio: radio, APN: "meter.range", Token: r.ids.operatorToken, Port: operatorPort, Period: r.cfg.UsagePeriod,
	})
	var err error
	if r.usage, err = usageFile(r.UsageFile()); err != nil {
		return nil, err
	}
	op.files = []*os.File{r.usage}
	out[Operator] = op
	bad := out[BadCam]
	bad.Busybox = r.cfg.Busybox
	bad.Files = map[string]string{
		"/etc/passwd": "root:x:0:0:root:/tmp:/bin/sh\n",
		"/etc/shadow": "root:*:19000:0:99999:7:::\n",
	}
	out[BadCam] = bad
	return out, nil
}

// operatorPort is where the operator's port answers, by HTTP.
const operatorPort = "8080"

// UsageFile returns the path of the operator's usage records (package cdr),
// which grows while the range is up.
func (r *Range) UsageFile() string { return filepath.Join(r.cfg.Dir, "usage.csv") }

// usageFile makes an empty file of usage records.
func usageFile(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC|os.O_APPEND, 0o644)
	if err != nil {
		return nil, err
	}
	if _, err := f.WriteString(cdr.Header()); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// zone is what the name server knows.
func (r *Range) zone() actor.DNSSettings {
	one := func(name string) actor.Record { return actor.Record{Addrs: []netip.Addr{addrOf(name)}, TTL: 3600} }
	return actor.DNSSettings{
		Zones: []string{"vendor.example", "pool.example", "evil.example"},
		Records: map[string]actor.Record{
			CloudName:  {Addrs: cloudAddrs(), Show: cloudShown, TTL: nameTTL},
			UpdateName: one(Update),
			ClockName:  one(NTP),
			C2Name:     one(C2),
		},
	}
}

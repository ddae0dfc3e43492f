package console

import (
	"strconv"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/api"
	"github.com/ringwall/ringwall/internal/httpapi"
)

type tunnelsPage struct {
	page
	Items  []tunnelRow
	Device string // whose they are; "" = all
	Name   string // of that device
	Next   string
	Max    int // minutes
}

// tunnelRow is a tunnel with the name of its device and of who asked.
type tunnelRow struct {
	api.RemoteTunnel
	Name, Who string
}

func (*tunnelsPage) template() string { return "tunnels" }

func tunnels(q *request) (view, error) {
	v := q.URL.Query()
	p := &tunnelsPage{Device: v.Get("device")}
	if p.Device == "" {
		p.Device = q.PathValue("device")
	}
	list, err := q.c.svc.Tunnels(q.Context(), q.actor, httpapi.TunnelFilter{Device: ringwall.DeviceID(p.Device)}, httpapi.Paging{Cursor: v.Get("cursor"), Limit: httpapi.DefaultPage})
	if err != nil {
		return nil, err
	}
	set, err := q.c.svc.TunnelSettings(q.Context(), q.actor)
	if err != nil {
		return nil, err
	}
	for _, t := range list.Items {
		p.Items = append(p.Items, tunnelRow{t, q.nameOf(ringwall.Subject{Kind: ringwall.SubjectDevice, ID: string(t.Device)}), q.who(t.AskedBy)})
	}
	if p.Device != "" {
		p.Name = q.nameOf(ringwall.Subject{Kind: ringwall.SubjectDevice, ID: p.Device})
	}
	q.page.Title, q.page.Live = q.page.L.T("tunnels.title"), []string{"kind:device"}
	p.page, p.Next, p.Max = q.page, next(v, list.Next), set.MaxMinutes
	return p, nil
}

// askTunnel asks for a way to a port of a device.
func askTunnel(q *request) (string, error) {
	port, err := strconv.ParseUint(q.PostFormValue("port"), 10, 16)
	if err != nil {
		return "", ringwall.Errorf(ringwall.Invalid, "a port is a number from 1 to 65535")
	}
	minutes, err := strconv.Atoi(q.PostFormValue("minutes"))
	if err != nil {
		return "", ringwall.Errorf(ringwall.Invalid, "minutes are a number")
	}
	_, err = q.c.svc.AskTunnel(q.Context(), q.actor, ringwall.DeviceID(q.PathValue("device")), api.TunnelAsk{Port: uint16(port), Minutes: minutes, Reason: q.PostFormValue("reason")})
	return "tunnel-ask", err
}

// decideTunnel approves, declines or closes one.
func decideTunnel(q *request) (string, error) {
	do := q.PostFormValue("do")
	_, err := q.c.svc.DecideTunnel(q.Context(), q.actor, ringwall.TunnelID(q.PathValue("tunnel")), do)
	return "tunnel-" + do, err
}

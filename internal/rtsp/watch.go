package rtsp

import (
	"context"
	"errors"
	"net"
	"net/url"
	"strings"
	"time"

	"github.com/bluenviron/gortsplib/v5"
	"github.com/bluenviron/gortsplib/v5/pkg/base"
	"github.com/bluenviron/gortsplib/v5/pkg/description"
	"github.com/bluenviron/gortsplib/v5/pkg/format"
	"github.com/bluenviron/gortsplib/v5/pkg/liberrors"
	"github.com/pion/rtp"

	"github.com/ringwall/ringwall"
)

// watchTimeout bounds one Watch: four times the longest distance of random-
// access pictures that cameras are shipped with (GOP of 2 to 4 s), less what
// a person would wait for.
const watchTimeout = 12 * time.Second

// maxPackets bounds how many packets are looked at: at 30 Mbit/s the timeout
// ends first.
const maxPackets = 100_000

// maxTracks bounds the media of a session description.
const maxTracks = 16

// Watch plays a path over TCP (interleaved) and returns the first whole
// random-access picture. Without cred nothing is presented. The error's code
// tells why there is none: Forbidden (a login is needed or was refused),
// NotFound (no such path, or no video in it), Unverified (it plays, but no
// picture came), Unavailable.
func Watch(ctx context.Context, dial Dial, address, path string, cred *Credential) (Picture, error) {
	ctx, cancel := context.WithTimeout(ctx, watchTimeout)
	defer cancel()
	u, err := base.ParseURL("rtsp://" + address + "/" + strings.TrimPrefix(path, "/"))
	if err != nil {
		return Picture{}, ringwall.Errorf(ringwall.Invalid, "RTSP address %s/%s is not a URL", address, shorten(path, 40))
	}
	if cred != nil {
		u.User = url.UserPassword(cred.User, cred.Password)
	}
	tcp := gortsplib.ProtocolTCP
	c := &gortsplib.Client{
		Scheme: "rtsp", Host: address, Protocol: &tcp, UserAgent: userAgent, ReadTimeout: requestTimeout, WriteTimeout: requestTimeout,
		DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
			// Never elsewhere: a redirect must not take the credential along.
			return dial(ctx, network, address)
		},
		// The library's defaults write to the standard log.
		OnServerRequest: func(*base.Request) {}, OnDecodeError: func(error) {}, OnPacketsLost: func(uint64) {},
	}
	if err := c.Start(); err != nil {
		return Picture{}, ringwall.Errorf(ringwall.Unavailable, "playing %s: %v", address, conceal(err, cred))
	}
	stop := context.AfterFunc(ctx, c.Close)
	defer func() { stop(); c.Close() }()
	found := make(chan Picture, 1)
	if err := play(c, u, found); err != nil {
		return Picture{}, ringwall.Errorf(codeOf(err), "playing %s: %v", address, conceal(err, cred))
	}
	ended := make(chan error, 1)
	go func() { ended <- c.Wait() }()
	select {
	case p := <-found:
		c.Close()
		<-ended
		return p, nil
	case err := <-ended:
		select {
		case p := <-found: // both at once: the picture counts
			return p, nil
		default:
		}
		if ctx.Err() != nil {
			return Picture{}, ringwall.Errorf(ringwall.Unverified, "%s plays, but no whole picture came in %v", address, watchTimeout)
		}
		return Picture{}, ringwall.Errorf(ringwall.Unavailable, "playing %s: %v", address, conceal(err, cred))
	}
}

// codeOf tells a refusal from trouble.
func codeOf(err error) ringwall.Code {
	if e, ok := errors.AsType[liberrors.ErrClientBadStatusCode](err); ok {
		switch e.Code {
		case base.StatusUnauthorized, base.StatusForbidden:
			return ringwall.Forbidden
		case base.StatusNotFound:
			return ringwall.NotFound
		}
	}
	if e, ok := errors.AsType[*ringwall.Error](err); ok {
		return e.Code
	}
	return ringwall.Unavailable
}

// conceal keeps a library's error from carrying the password on.
func conceal(err error, cred *Credential) string {
	s := err.Error()
	if cred != nil && cred.Password != "" {
		s = strings.ReplaceAll(strings.ReplaceAll(s, cred.Password, "…"), url.QueryEscape(cred.Password), "…")
	}
	return shorten(s, 200)
}

// play describes, sets up the first video track that we can read, and plays.
func play(c *gortsplib.Client, u *base.URL, found chan<- Picture) error {
	desc, _, err := c.Describe(u)
	if err != nil {
		return err
	}
	if len(desc.Medias) > maxTracks {
		return ringwall.Errorf(ringwall.Invalid, "the description has %d tracks", len(desc.Medias))
	}
	var f4 *format.H264
	var f5 *format.H265
	var track *description.Media
	var chosen format.Format
	var look func(*rtp.Packet) (Picture, error)
	if track = desc.FindFormat(&f4); track != nil {
		dec, err := f4.CreateDecoder()
		if err != nil {
			return err
		}
		chosen = f4
		p := &h264Picture{sps: f4.SPS, pps: f4.PPS}
		look = func(pkt *rtp.Packet) (Picture, error) {
			au, err := dec.Decode(pkt)
			if err != nil {
				return Picture{}, err
			}
			return p.look(au)
		}
	} else if track = desc.FindFormat(&f5); track != nil {
		dec, err := f5.CreateDecoder()
		if err != nil {
			return err
		}
		chosen = f5
		p := &h265Picture{vps: f5.VPS, sps: f5.SPS, pps: f5.PPS}
		look = func(pkt *rtp.Packet) (Picture, error) {
			au, err := dec.Decode(pkt)
			if err != nil {
				return Picture{}, err
			}
			return p.look(au)
		}
	} else {
		return ringwall.Errorf(ringwall.NotFound, "the description has no H.264 or H.265 track")
	}
	if _, err := c.Setup(desc.BaseURL, track, 0, 0); err != nil {
		return err
	}
	packets, done := 0, false
	c.OnPacketRTP(track, chosen, func(pkt *rtp.Packet) {
		if packets++; done || packets > maxPackets {
			return
		}
		if p, err := look(pkt); err == nil {
			done = true
			found <- p
		}
	})
	_, err = c.Play(nil)
	return err
}

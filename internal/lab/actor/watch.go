package actor

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"time"

	"github.com/bluenviron/gortsplib/v5"
	"github.com/bluenviron/gortsplib/v5/pkg/base"
	"github.com/bluenviron/gortsplib/v5/pkg/format"
	"github.com/pion/rtp"
)

// errNotPlayed tells that a camera was not reached or refused to play.
var errNotPlayed = errors.New("the camera did not play")

// watchConfig says whose video to watch.
type watchConfig struct {
	Addr           netip.Addr
	User, Password string
}

// picture is one access unit that arrived.
type picture struct {
	key   bool
	bytes int
	lost  uint64 // RTP packets missing before it
}

// watchVideo plays a camera's stream over one TCP connection and calls f for
// each picture, from one goroutine, until ctx ends. It returns an error when
// the video ends before that; one that is errNotPlayed when it never began.
func watchVideo(ctx context.Context, c watchConfig, f func(picture)) error {
	u := &base.URL{Scheme: "rtsp", Host: net.JoinHostPort(c.Addr.String(), "554"), Path: "/" + streamPath}
	if c.User != "" {
		u.User = url.UserPassword(c.User, c.Password)
	}
	tcp := gortsplib.ProtocolTCP
	client := &gortsplib.Client{
		Scheme: u.Scheme, Host: u.Host, Protocol: &tcp, ReadTimeout: 5 * time.Second, WriteTimeout: 5 * time.Second,
		OnPacketsLost: func(uint64) {}, OnDecodeError: func(error) {},
	}
	if err := client.Start(); err != nil {
		return fmt.Errorf("%w: %v", errNotPlayed, err)
	}
	defer client.Close()
	stop := context.AfterFunc(ctx, client.Close)
	defer stop()

	var media *format.H264
	desc, _, err := client.Describe(u)
	if err != nil {
		// The error of the library may hold the URL, and so the password.
		return fmt.Errorf("%w: %s", errNotPlayed, plain(err))
	}
	medium := desc.FindFormat(&media)
	if medium == nil {
		return fmt.Errorf("%w: it has no H.264", errNotPlayed)
	}
	if _, err := client.Setup(desc.BaseURL, medium, 0, 0); err != nil {
		return fmt.Errorf("%w: %s", errNotPlayed, plain(err))
	}
	dec, err := media.CreateDecoder()
	if err != nil {
		return err
	}
	var lost uint64
	var next uint16
	begun := false
	client.OnPacketRTP(medium, media, func(p *rtp.Packet) {
		if begun {
			lost += uint64(p.SequenceNumber - next)
		}
		begun, next = true, p.SequenceNumber+1
		nals, err := dec.Decode(p)
		if err != nil {
			return // more packets are needed, or the first ones were of a picture under way
		}
		pic := picture{lost: lost}
		lost = 0
		for _, n := range nals {
			pic.bytes += len(n)
			pic.key = pic.key || len(n) > 0 && n[0]&31 == nalIDR
		}
		f(pic)
	})
	if _, err := client.Play(nil); err != nil {
		return fmt.Errorf("%w: %s", errNotPlayed, plain(err))
	}
	err = client.Wait()
	if ctx.Err() != nil {
		return nil
	}
	return err
}

// plain tells what kind of failure err is, without what was sent.
func plain(err error) string {
	if op, ok := errors.AsType[*net.OpError](err); ok {
		return op.Op + ": " + op.Err.Error()
	}
	return fmt.Sprintf("%T", err)
}

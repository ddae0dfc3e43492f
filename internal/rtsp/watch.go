package rtsp

import (
	"context"
	"errors"
	"net"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/bluenviron/gortsplib/v5"
	"github.com/bluenviron/gortsplib/v5/pkg/base"
	"github.com/bluenviron/gortsplib/v5/pkg/description"
	"github.com/bluenviron/gortsplib/v5/pkg/format"
	"github.com/bluenviron/gortsplib/v5/pkg/headers"
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

// PlayConfig says what is played, and how long.
type PlayConfig struct {
	Dial          Dial
	Address, Path string
	Credential    *Credential // nil: nothing is presented
	TLS           bool        // rtsps://
	// Linger is how long the stream is watched on after its first picture, to see
	// whether it is signed; 0 means that the first picture is enough.
	Linger time.Duration
}

// View is what was seen of a stream.
type View struct {
	Picture
	// Keyframes counts random-access pictures, the first one included. Two of them
	// without a signature in between mean that the stream is not signed: every
	// signing format signs groups of pictures.
	Keyframes int
	Signed    string // the signing format seen in the stream, "" for none
	SRTP      bool   // the packets were encrypted
}

// Watch plays a path over TCP (interleaved) and returns the first whole
// random-access picture. Without cred nothing is presented.
func Watch(ctx context.Context, dial Dial, address, path string, cred *Credential) (Picture, error) {
	v, err := Play(ctx, PlayConfig{Dial: dial, Address: address, Path: path, Credential: cred})
	return v.Picture, err
}

// Play plays a path over TCP (interleaved) until a whole random-access picture
// has come, and on for Linger. The error's code tells why there is no picture:
// Forbidden (a login is needed or was refused), NotFound (no such path, or no
// video in it), Unverified (it plays, but no picture came), Unavailable.
func Play(ctx context.Context, cfg PlayConfig) (View, error) {
	ctx, cancel := context.WithTimeout(ctx, watchTimeout+cfg.Linger)
	defer cancel()
	address, cred := cfg.Address, cfg.Credential
	scheme := "rtsp"
	if cfg.TLS {
		scheme = "rtsps"
	}
	u, err := base.ParseURL(scheme + "://" + address + "/" + strings.TrimPrefix(cfg.Path, "/"))
	if err != nil {
		return View{}, ringwall.Errorf(ringwall.Invalid, "RTSP address %s/%s is not a URL", address, shorten(cfg.Path, 40))
	}
	if cred != nil {
		u.User = url.UserPassword(cred.User, cred.Password)
	}
	tcp := gortsplib.ProtocolTCP
	c := &gortsplib.Client{
		Scheme: scheme, Host: address, Protocol: &tcp, UserAgent: userAgent, ReadTimeout: requestTimeout, WriteTimeout: requestTimeout,
		// Never elsewhere: a redirect must not take the credential along.
		DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return cfg.Dial(ctx, network, address)
		},
		DialTLSContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return Secure(cfg.Dial)(ctx, network, address)
		},
		// The library's defaults write to the standard log.
		OnServerRequest: func(*base.Request) {}, OnDecodeError: func(error) {}, OnPacketsLost: func(uint64) {},
	}
	if err := c.Start(); err != nil {
		return View{}, ringwall.Errorf(ringwall.Unavailable, "playing %s: %v", address, conceal(err, cred))
	}
	stop := context.AfterFunc(ctx, c.Close)
	defer func() { stop(); c.Close() }()
	w := &watcher{done: make(chan struct{}), linger: cfg.Linger, first: make(chan struct{})}
	if err := play(c, u, w); err != nil {
		return View{}, ringwall.Errorf(codeOf(err), "playing %s: %v", address, conceal(err, cred))
	}
	ended := make(chan error, 1)
	go func() { ended <- c.Wait() }()
	// after is when the lingering ends; it runs from the first picture.
	var after <-chan time.Time
	first := w.first
	for {
		select {
		case <-first:
			first = nil
			t := time.NewTimer(cfg.Linger)
			defer t.Stop()
			after = t.C
			continue
		case <-w.done:
		case <-after:
		case err := <-ended:
			if v, ok := w.seen(); ok { // it hung up after the picture
				return v, nil
			}
			if ctx.Err() != nil {
				return View{}, ringwall.Errorf(ringwall.Unverified, "%s plays, but no whole picture came in %v", address, watchTimeout)
			}
			return View{}, ringwall.Errorf(ringwall.Unavailable, "playing %s: %v", address, conceal(err, cred))
		}
		c.Close()
		<-ended
		v, _ := w.seen()
		return v, nil
	}
}

// watcher gathers what a stream shows. The library calls packet from its own
// goroutine; the mutex guards view against the caller of seen.
type watcher struct {
	look    func(*rtp.Packet) (Picture, string, error)
	linger  time.Duration
	packets int
	over    bool
	first   chan struct{} // closed with the first picture
	done    chan struct{} // closed when nothing more is worth waiting for

	mu   sync.Mutex
	view View
}

func (w *watcher) seen() (View, bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.view, w.view.Keyframes > 0
}

func (w *watcher) packet(pkt *rtp.Packet) {
	if w.packets++; w.over || w.packets > maxPackets {
		return
	}
	p, signed, err := w.look(pkt)
	w.mu.Lock()
	defer w.mu.Unlock()
	if signed != "" {
		w.view.Signed = signed
	}
	if err == nil {
		if w.view.Keyframes++; w.view.Keyframes == 1 {
			w.view.Picture = p
			close(w.first)
		}
	}
	if k := w.view.Keyframes; k > 0 && (w.linger == 0 || w.view.Signed != "" || k > enoughKeyframes) {
		w.over = true
		close(w.done)
	}
}

// enoughKeyframes is how many groups of pictures are watched for a signature.
const enoughKeyframes = 3

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
func play(c *gortsplib.Client, u *base.URL, w *watcher) error {
	desc, _, err := c.Describe(u)
	if err != nil {
		return err
	}
	if len(desc.Medias) > maxTracks {
		return ringwall.Errorf(ringwall.Invalid, "the description has %d tracks", len(desc.Medias))
	}
	track, chosen, look, err := reader(desc)
	if err != nil {
		return err
	}
	w.look = look
	if _, err := c.Setup(desc.BaseURL, track, 0, 0); err != nil {
		return err
	}
	w.view.SRTP = track.Profile == headers.TransportProfileSAVP
	c.OnPacketRTP(track, chosen, w.packet)
	_, err = c.Play(nil)
	return err
}

// looker reads one packet: the picture that it completes, and the signing
// format that its access unit carries.
type looker = func(*rtp.Packet) (Picture, string, error)

// reader chooses the track whose pictures we can read, the strictest proof
// first.
func reader(desc *description.Session) (*description.Media, format.Format, looker, error) {
	var f4 *format.H264
	if track := desc.FindFormat(&f4); track != nil {
		dec, err := f4.CreateDecoder()
		if err != nil {
			return nil, nil, nil, err
		}
		p := &h264Picture{sps: f4.SPS, pps: f4.PPS}
		return track, f4, func(pkt *rtp.Packet) (Picture, string, error) {
			au, err := dec.Decode(pkt)
			if err != nil {
				return Picture{}, "", err
			}
			pic, err := p.look(au)
			return pic, signedH264(au), err
		}, nil
	}
	var f5 *format.H265
	if track := desc.FindFormat(&f5); track != nil {
		dec, err := f5.CreateDecoder()
		if err != nil {
			return nil, nil, nil, err
		}
		p := &h265Picture{vps: f5.VPS, sps: f5.SPS, pps: f5.PPS}
		return track, f5, func(pkt *rtp.Packet) (Picture, string, error) {
			au, err := dec.Decode(pkt)
			if err != nil {
				return Picture{}, "", err
			}
			pic, err := p.look(au)
			return pic, signedH265(au), err
		}, nil
	}
	var fj *format.MJPEG
	if track := desc.FindFormat(&fj); track != nil {
		dec, err := fj.CreateDecoder()
		if err != nil {
			return nil, nil, nil, err
		}
		return track, fj, func(pkt *rtp.Packet) (Picture, string, error) {
			b, err := dec.Decode(pkt)
			if err != nil {
				return Picture{}, "", err
			}
			pic, err := jpegPicture(b)
			return pic, "", err
		}, nil
	}
	return nil, nil, nil, ringwall.Errorf(ringwall.NotFound, "the description has no H.264, H.265 or JPEG track")
}

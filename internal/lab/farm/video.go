package farm

import (
	"image"
	"image/color"
	"image/jpeg"
	"net"
	"strings"
	"sync"
	"time"

	"bytes"

	"github.com/bluenviron/gortsplib/v5"
	"github.com/bluenviron/gortsplib/v5/pkg/auth"
	"github.com/bluenviron/gortsplib/v5/pkg/base"
	"github.com/bluenviron/gortsplib/v5/pkg/description"
	"github.com/bluenviron/gortsplib/v5/pkg/format"
	"github.com/bluenviron/gortsplib/v5/pkg/liberrors"

	"github.com/ringwall/ringwall/internal/lab/actor"
)

// video is a camera's RTSP server (RFC 2326, interleaved).
type video struct {
	user, password string // "" password = the box's own
	open           bool   // anybody may watch
	secure         bool   // RTSP inside TLS
	path           string // where the stream is
}

func (v video) serve(b *Box, l net.Listener) error {
	if v.password == "" {
		v.password = b.Password
	}
	h := &stream{video: v, lock: b.Lock}
	srv := &gortsplib.Server{
		Handler: h, RTSPAddress: l.Addr().String(), AuthMethods: []auth.VerifyMethod{auth.VerifyMethodDigestMD5},
		Listen: once(l),
	}
	if v.secure {
		srv.TLSConfig, srv.AuthMethods = b.cert, []auth.VerifyMethod{auth.VerifyMethodDigestSHA256}
	}
	if err := srv.Start(); err != nil {
		return err
	}
	defer srv.Close()
	units, sps, pps := actor.Pattern()
	forma := &format.H264{PayloadTyp: 96, PacketizationMode: 1, SPS: sps, PPS: pps}
	h.stream = &gortsplib.ServerStream{Server: srv, Desc: &description.Session{
		Medias: []*description.Media{{Type: description.MediaTypeVideo, Formats: []format.Format{forma}}},
	}}
	if err := h.stream.Initialize(); err != nil {
		return err
	}
	stop, fed := make(chan struct{}), make(chan error, 1)
	go func() { fed <- h.feed(forma, units, stop) }()
	_ = srv.Wait() // it ends when the listener does
	close(stop)
	err := <-fed
	h.stream.Close()
	return err
}

// once gives out the listener that is there.
func once(l net.Listener) func(string, string) (net.Listener, error) {
	var first sync.Once
	return func(network, address string) (out net.Listener, err error) {
		first.Do(func() { out = l })
		if out == nil {
			return net.Listen(network, address)
		}
		return out, nil
	}
}

type stream struct {
	video
	lock   *Lock
	stream *gortsplib.ServerStream
}

func (s *stream) feed(forma *format.H264, units [][][]byte, stop <-chan struct{}) error {
	enc, err := forma.CreateEncoder()
	if err != nil {
		return err
	}
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	var stamp uint32
	for i := 0; ; i++ {
		select {
		case <-stop:
			return nil
		case <-tick.C:
		}
		packets, err := enc.Encode(units[i%len(units)])
		if err != nil {
			return err
		}
		for _, p := range packets {
			p.Timestamp = stamp
			_ = s.stream.WritePacketRTP(s.stream.Desc.Medias[0], p) // nobody may be watching
		}
		stamp += 9000
	}
}

func (s *stream) OnDescribe(c *gortsplib.ServerHandlerOnDescribeCtx) (*base.Response, *gortsplib.ServerStream, error) {
	return s.answer(c.Conn, c.Request, c.Path)
}

func (s *stream) OnSetup(c *gortsplib.ServerHandlerOnSetupCtx) (*base.Response, *gortsplib.ServerStream, error) {
	return s.answer(c.Conn, c.Request, c.Path)
}

func (s *stream) OnPlay(*gortsplib.ServerHandlerOnPlayCtx) (*base.Response, error) {
	return &base.Response{StatusCode: base.StatusOK}, nil
}

func (s *stream) answer(c *gortsplib.ServerConn, r *base.Request, path string) (*base.Response, *gortsplib.ServerStream, error) {
	if s.lock.Shut("") {
		return &base.Response{StatusCode: base.StatusForbidden}, nil, nil
	}
	if !s.open && !c.VerifyCredentials(r, s.user, s.password) {
		if len(r.Header["Authorization"]) > 0 {
			s.lock.Wrong("")
		}
		return &base.Response{StatusCode: base.StatusUnauthorized}, nil, liberrors.ErrServerAuth{}
	}
	if strings.Trim(path, "/") != s.path {
		return &base.Response{StatusCode: base.StatusNotFound}, nil, nil
	}
	return &base.Response{StatusCode: base.StatusOK}, s.stream, nil
}

// picture is a small JPEG.
func picture() []byte {
	m := image.NewGray(image.Rect(0, 0, 64, 48))
	for i := range m.Pix {
		m.Pix[i] = byte(i)
	}
	m.Set(1, 1, color.White)
	var b bytes.Buffer
	if err := jpeg.Encode(&b, m, nil); err != nil {
		panic("farm: a picture in memory cannot be encoded: " + err.Error())
	}
	return b.Bytes()
}

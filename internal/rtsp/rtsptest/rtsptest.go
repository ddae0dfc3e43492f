// Package rtsptest is a camera's RTSP server for tests: it serves a real, tiny
// H.264 stream (every picture an IDR of I_PCM macroblocks, 64 by 48) over
// loopback, behind the authentication that the test asks for.
//
// It is for tests only; the range has a camera of its own (internal/lab). The
// server and the goroutine that feeds it end with the test.
package rtsptest

import (
	"crypto/tls"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/bluenviron/gortsplib/v5"
	"github.com/bluenviron/gortsplib/v5/pkg/auth"
	"github.com/bluenviron/gortsplib/v5/pkg/base"
	"github.com/bluenviron/gortsplib/v5/pkg/description"
	"github.com/bluenviron/gortsplib/v5/pkg/format"
	"github.com/bluenviron/gortsplib/v5/pkg/liberrors"
)

// Width and Height are those of the stream.
const (
	Width  = 64
	Height = 48
)

// Config describes a camera. Zero values: no login, any path, pictures come.
type Config struct {
	User, Password string // "" = no login
	Path           string // "" = any
	OpenPath       string // this one asks for no login
	Basic          bool   // Basic only, instead of Digest (SHA-256 and MD5)
	Silent         bool   // plays, but no packet ever comes
	LockAfter      int    // after so many wrong passwords nobody is let in
	TLS            *tls.Config
	SEI            []byte // an SEI unit in front of every picture
}

// Server is a running camera.
type Server struct {
	Address string
	Wrong   atomic.Int64 // wrong passwords seen
	Right   atomic.Int64
	cfg     Config
	stream  *gortsplib.ServerStream
}

// Start starts a camera on loopback; it ends with the test.
func Start(t testing.TB, cfg Config) *Server {
	t.Helper()
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &Server{Address: l.Addr().String(), cfg: cfg}
	methods := []auth.VerifyMethod{auth.VerifyMethodDigestSHA256, auth.VerifyMethodDigestMD5}
	if cfg.Basic {
		methods = []auth.VerifyMethod{auth.VerifyMethodBasic}
	}
	var once sync.Once
	srv := &gortsplib.Server{
		Handler: s, RTSPAddress: s.Address, AuthMethods: methods, TLSConfig: cfg.TLS,
		Listen: func(network, address string) (nl net.Listener, err error) {
			once.Do(func() { nl = l })
			if nl == nil {
				return net.Listen(network, address)
			}
			return nl, nil
		},
	}
	if err := srv.Start(); err != nil {
		t.Fatal(err)
	}
	sps, pps, idr := Picture()
	forma := &format.H264{PayloadTyp: 96, PacketizationMode: 1, SPS: sps, PPS: pps}
	s.stream = &gortsplib.ServerStream{Server: srv, Desc: &description.Session{
		Medias: []*description.Media{{Type: description.MediaTypeVideo, Formats: []format.Format{forma}}},
	}}
	if err := s.stream.Initialize(); err != nil {
		t.Fatal(err)
	}
	stop, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		s.feed(t, forma, idr, stop)
	}()
	t.Cleanup(func() {
		close(stop)
		<-done
		s.stream.Close()
		srv.Close()
	})
	return s
}

func (s *Server) feed(t testing.TB, forma *format.H264, idr []byte, stop <-chan struct{}) {
	enc, err := forma.CreateEncoder()
	if err != nil {
		t.Error(err)
		return
	}
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for stamp := uint32(0); ; stamp += 4500 {
		select {
		case <-stop:
			return
		case <-tick.C:
		}
		if s.cfg.Silent {
			continue
		}
		au := [][]byte{idr}
		if s.cfg.SEI != nil {
			au = [][]byte{s.cfg.SEI, idr}
		}
		packets, err := enc.Encode(au)
		if err != nil {
			t.Error(err)
			return
		}
		for _, p := range packets {
			p.Timestamp = stamp
			_ = s.stream.WritePacketRTP(s.stream.Desc.Medias[0], p) // nobody may be watching
		}
	}
}

// OnDescribe answers DESCRIBE.
func (s *Server) OnDescribe(ctx *gortsplib.ServerHandlerOnDescribeCtx) (*base.Response, *gortsplib.ServerStream, error) {
	return s.answer(ctx.Conn, ctx.Request, ctx.Path)
}

// OnSetup answers SETUP.
func (s *Server) OnSetup(ctx *gortsplib.ServerHandlerOnSetupCtx) (*base.Response, *gortsplib.ServerStream, error) {
	return s.answer(ctx.Conn, ctx.Request, ctx.Path)
}

// OnPlay answers PLAY.
func (s *Server) OnPlay(*gortsplib.ServerHandlerOnPlayCtx) (*base.Response, error) {
	return &base.Response{StatusCode: base.StatusOK}, nil
}

func (s *Server) answer(c *gortsplib.ServerConn, r *base.Request, path string) (*base.Response, *gortsplib.ServerStream, error) {
	if s.cfg.User != "" && (s.cfg.OpenPath == "" || !strings.HasPrefix(path, s.cfg.OpenPath)) {
		right := c.VerifyCredentials(r, s.cfg.User, s.cfg.Password)
		switch {
		case len(r.Header["Authorization"]) == 0:
		case right:
			s.Right.Add(1)
		default:
			s.Wrong.Add(1)
		}
		if s.cfg.LockAfter > 0 && s.Wrong.Load() >= int64(s.cfg.LockAfter) || !right {
			return &base.Response{StatusCode: base.StatusUnauthorized}, nil, liberrors.ErrServerAuth{}
		}
	}
	if s.cfg.Path != "" && path != s.cfg.Path {
		return &base.Response{StatusCode: base.StatusNotFound}, nil, nil
	}
	return &base.Response{StatusCode: base.StatusOK}, s.stream, nil
}

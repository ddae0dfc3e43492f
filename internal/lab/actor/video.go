package actor

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync/atomic"
	"time"

	"github.com/bluenviron/gortsplib/v5"
	"github.com/bluenviron/gortsplib/v5/pkg/auth"
	"github.com/bluenviron/gortsplib/v5/pkg/base"
	"github.com/bluenviron/gortsplib/v5/pkg/description"
	"github.com/bluenviron/gortsplib/v5/pkg/format"
	"github.com/bluenviron/gortsplib/v5/pkg/liberrors"

	"github.com/ringwall/ringwall/internal/onvif/device"
)

// streamPath is where a camera serves its video.
const streamPath = "live/ch0"

// video is a camera's RTSP server (RFC 2326 with interleaved RTP), serving the
// test pattern to whoever knows a password.
type video struct {
	users   *device.Users
	server  *gortsplib.Server
	stream  *gortsplib.ServerStream
	refused atomic.Uint64
	plays   atomic.Uint64
}

// videoConfig says how a camera serves video.
type videoConfig struct {
	Port    string
	TLS     *tls.Config // nil = plain
	Methods []auth.VerifyMethod
}

// serveVideo starts an RTSP server and the loop that feeds it.
func serveVideo(e *Env, users *device.Users, c videoConfig) (*video, error) {
	v := &video{users: users}
	v.server = &gortsplib.Server{
		Handler:     v,
		RTSPAddress: net.JoinHostPort(e.Addr.String(), c.Port),
		TLSConfig:   c.TLS,
		AuthMethods: c.Methods,
	}
	if err := v.server.Start(); err != nil {
		return nil, fmt.Errorf("serving RTSP on port %s: %w", c.Port, err)
	}
	units := accessUnits(patternFile)
	sps, pps := parameterSets(units)
	forma := &format.H264{PayloadTyp: 96, PacketizationMode: 1, SPS: sps, PPS: pps}
	v.stream = &gortsplib.ServerStream{
		Server: v.server,
		Desc:   &description.Session{Medias: []*description.Media{{Type: description.MediaTypeVideo, Formats: []format.Format{forma}}}},
	}
	if err := v.stream.Initialize(); err != nil {
		v.server.Close()
		return nil, fmt.Errorf("preparing the stream: %w", err)
	}
	e.Go("serving video", func(ctx context.Context) error {
		stop := context.AfterFunc(ctx, v.server.Close)
		defer stop()
		return v.server.Wait()
	})
	e.Go("feeding video", func(ctx context.Context) error { return v.feed(ctx, forma, units) })
	return v, nil
}

// feed sends the pattern round and round in real time.
func (v *video) feed(ctx context.Context, forma *format.H264, units [][][]byte) error {
	defer v.stream.Close()
	enc, err := forma.CreateEncoder()
	if err != nil {
		return err
	}
	medium := v.stream.Desc.Medias[0]
	t := time.NewTicker(patternRate)
	defer t.Stop()
	var stamp uint32
	for i := 0; ; i++ {
		select {
		case <-ctx.Done():
			return nil
		case <-t.C:
		}
		packets, err := enc.Encode(units[i%len(units)])
		if err != nil {
			return err
		}
		for _, p := range packets {
			p.Timestamp = stamp
			if err := v.stream.WritePacketRTP(medium, p); err != nil {
				return err
			}
		}
		stamp += uint32(forma.ClockRate() * int(patternRate) / int(time.Second))
	}
}

// allow checks a request's credentials against all accounts.
func (v *video) allow(c *gortsplib.ServerConn, r *base.Request) bool {
	for _, u := range v.users.List() {
		if pass, ok := v.users.Password(u.Username); ok && c.VerifyCredentials(r, u.Username, pass) {
			return true
		}
	}
	if len(r.Header["Authorization"]) > 0 {
		v.refused.Add(1)
	}
	return false
}

func (v *video) answer(c *gortsplib.ServerConn, r *base.Request, path string) (*base.Response, *gortsplib.ServerStream, error) {
	if !v.allow(c, r) {
		return &base.Response{StatusCode: base.StatusUnauthorized}, nil, liberrors.ErrServerAuth{}
	}
	if p := strings.Trim(path, "/"); p != "" && p != streamPath {
		return &base.Response{StatusCode: base.StatusNotFound}, nil, errors.New("no such stream")
	}
	return &base.Response{StatusCode: base.StatusOK}, v.stream, nil
}

// OnDescribe answers DESCRIBE.
func (v *video) OnDescribe(ctx *gortsplib.ServerHandlerOnDescribeCtx) (*base.Response, *gortsplib.ServerStream, error) {
	return v.answer(ctx.Conn, ctx.Request, ctx.Path)
}

// OnSetup answers SETUP.
func (v *video) OnSetup(ctx *gortsplib.ServerHandlerOnSetupCtx) (*base.Response, *gortsplib.ServerStream, error) {
	return v.answer(ctx.Conn, ctx.Request, ctx.Path)
}

// OnPlay answers PLAY.
func (v *video) OnPlay(*gortsplib.ServerHandlerOnPlayCtx) (*base.Response, error) {
	v.plays.Add(1)
	return &base.Response{StatusCode: base.StatusOK}, nil
}

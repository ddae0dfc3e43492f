// Package httpone makes one HTTP/1.1 request on one connection and closes it. It
// is for the gateway, which asks a handful of questions in its life: the standard
// library's client, with pools, proxies, cookies and HTTP/2, would add most of a
// mebibyte to a program that has twelve. It follows no redirect, uses no proxy and
// bounds what it reads. It starts no goroutine that outlives the call.
package httpone

import (
	"bufio"
	"context"
	"io"
	"net"
	"net/http"
	"time"

	"github.com/ringwall/ringwall"
)

// maxHeader bounds the head of an answer.
const maxHeader = 64 << 10

// Do sends req on conn, reads the whole answer, at most max bytes of body, and
// closes conn. It ends with ctx.
func Do(ctx context.Context, conn net.Conn, req *http.Request, max int) (body []byte, status int, err error) {
	defer conn.Close()
	stop := context.AfterFunc(ctx, func() { conn.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	req.Close = true
	if err := req.Write(conn); err != nil {
		return nil, 0, because(ctx, err)
	}
	resp, err := http.ReadResponse(bufio.NewReader(io.LimitReader(conn, int64(maxHeader+max)*2)), req)
	if err != nil {
		return nil, 0, because(ctx, err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(io.LimitReader(resp.Body, int64(max)+1))
	if err != nil {
		return nil, 0, because(ctx, err)
	}
	if len(b) > max {
		return nil, 0, ringwall.Errorf(ringwall.Invalid, "the answer is over %d bytes", max)
	}
	return b, resp.StatusCode, nil
}

// because prefers to say that the caller gave up.
func because(ctx context.Context, err error) error {
	if e := ctx.Err(); e != nil {
		return e
	}
	return err
}

package rtsptest

import (
	"bufio"
	"crypto/md5"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
)

// Manner is how a Gate treats who was refused.
type Manner uint8

// The manners that servers have.
const (
	Steady  Manner = iota // keeps the connection and its nonce
	Fresh                 // gives a new nonce each time, and takes no other
	HangsUp               // closes the connection
)

// Gate is an RTSP server's login and nothing behind it, by hand: digest with
// MD5 as the oldest cameras have it, no session, no media. It is as fast as a
// server can be, and has the manners that the library's server has not.
type Gate struct {
	User, Password string
	Manner         Manner
	LockAfter      int64 // after so many wrong passwords it answers 453
	Address        string
	Wrong, Right   atomic.Int64
	Open           atomic.Int64 // connections accepted
}

// StartGate starts g on loopback; it ends with the test.
func StartGate(t testing.TB, g *Gate) *Gate {
	t.Helper()
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	g.Address = l.Addr().String()
	var wg sync.WaitGroup
	var mu sync.Mutex
	conns := map[net.Conn]bool{}
	wg.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			g.Open.Add(1)
			mu.Lock()
			conns[c] = true
			mu.Unlock()
			wg.Go(func() {
				g.serve(c)
				_ = c.Close()
				mu.Lock()
				delete(conns, c)
				mu.Unlock()
			})
		}
	})
	t.Cleanup(func() {
		_ = l.Close()
		mu.Lock()
		for c := range conns {
			_ = c.Close()
		}
		mu.Unlock()
		wg.Wait()
	})
	return g
}

const gateSDP = "v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\ns=gate\r\nt=0 0\r\nm=video 0 RTP/AVP 96\r\na=rtpmap:96 H264/90000\r\n"

func (g *Gate) serve(c net.Conn) {
	br, bw := bufio.NewReader(c), bufio.NewWriter(c)
	nonce := rand.Text()
	for {
		var seq, auth string
		for {
			line, err := br.ReadString('\n')
			if err != nil {
				return
			}
			line = strings.TrimRight(line, "\r\n")
			if line == "" {
				break
			}
			if v, ok := strings.CutPrefix(line, "CSeq: "); ok {
				seq = v
			}
			if v, ok := strings.CutPrefix(line, "Authorization: Digest "); ok {
				auth = v
			}
		}
		right := auth != "" && g.right(auth, nonce)
		switch {
		case right:
			g.Right.Add(1)
		case auth != "":
			g.Wrong.Add(1)
		}
		if g.Manner == Fresh {
			nonce = rand.Text()
		}
		hangup := false
		switch {
		case g.LockAfter > 0 && g.Wrong.Load() >= g.LockAfter:
			_, _ = fmt.Fprintf(bw, "RTSP/1.0 453 Locked\r\nCSeq: %s\r\n\r\n", seq)
		case right:
			_, _ = fmt.Fprintf(bw, "RTSP/1.0 200 OK\r\nCSeq: %s\r\nContent-Type: application/sdp\r\nContent-Length: %d\r\n\r\n%s", seq, len(gateSDP), gateSDP)
		default:
			_, _ = io.WriteString(bw, "RTSP/1.0 401 Unauthorized\r\nCSeq: "+seq+"\r\nWWW-Authenticate: Digest realm=\"gate\", nonce=\""+nonce+"\"\r\n\r\n")
			hangup = auth != "" && g.Manner == HangsUp
		}
		if hangup || br.Buffered() == 0 {
			if bw.Flush() != nil || hangup {
				return
			}
		}
	}
}

// right checks a digest as in RFC 2069: no qop.
func (g *Gate) right(auth, nonce string) bool {
	p := map[string]string{}
	for f := range strings.SplitSeq(auth, ", ") {
		k, v, _ := strings.Cut(f, "=")
		p[k] = strings.Trim(v, `"`)
	}
	h := func(s string) string {
		d := md5.Sum([]byte(s))
		return hex.EncodeToString(d[:])
	}
	return p["username"] == g.User && p["nonce"] == nonce &&
		p["response"] == h(h(g.User+":gate:"+g.Password)+":"+nonce+":"+h("DESCRIBE:"+p["uri"]))
}

package actor

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ringwall/ringwall/internal/lab/attack"
)

// CloudStats count what came to the cloud.
type CloudStats struct {
	Reports uint64            `json:"reports"`
	ByAddr  map[string]uint64 `json:"byAddr"` // of ours
}

// cloud plays the vendor's cloud: reports by HTTP and HTTPS on every address.
func cloud(e *Env) (Ops, error) {
	conf, err := e.serverTLS()
	if err != nil {
		return nil, err
	}
	var mu sync.Mutex
	stats := CloudStats{ByAddr: map[string]uint64{}}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /v1/report", func(w http.ResponseWriter, r *http.Request) {
		if _, err := io.Copy(io.Discard, http.MaxBytesReader(w, r.Body, 64<<10)); err != nil {
			http.Error(w, "too long", http.StatusRequestEntityTooLarge)
			return
		}
		host := ""
		if a, ok := r.Context().Value(http.LocalAddrContextKey).(*net.TCPAddr); ok {
			host = a.IP.String()
		}
		mu.Lock()
		stats.Reports++
		stats.ByAddr[host]++
		mu.Unlock()
		_, _ = io.WriteString(w, `{"ok":true}`) // the device may be gone
	})
	// One listener a port, on all addresses: those of this host are the cloud's.
	plain, err := net.Listen("tcp4", ":80")
	if err != nil {
		return nil, err
	}
	secure, err := tls.Listen("tcp4", ":443", conf)
	if err != nil {
		return nil, err
	}
	for _, l := range []net.Listener{plain, secure} {
		serveHTTP(e, "serving reports", &http.Server{Handler: mux, ReadHeaderTimeout: 5 * time.Second, ErrorLog: quiet()}, l)
	}
	return Ops{"stats": op(func(context.Context, struct{}) (any, error) {
		mu.Lock()
		defer mu.Unlock()
		out := CloudStats{Reports: stats.Reports, ByAddr: map[string]uint64{}}
		for k, v := range stats.ByAddr {
			out.ByAddr[k] = v
		}
		return out, nil
	})}, nil
}

// Inert returns the program that the loader hands out: the head of an ELF file
// for a machine that no device of the range has, of no program segments, then
// words. It cannot run anywhere, and no line of it was anybody's malware.
func Inert() []byte {
	b := make([]byte, 52, 4096)
	copy(b, "\x7fELF\x01\x02\x01") // 32 bits, big endian
	b[17] = 1                      // type: relocatable, not executable
	b[19] = 0xff                   // machine: none that exists
	b[23] = 1
	b[41] = 52
	for len(b) < 4096 {
		b = append(b, "this file is inert: it belongs to the range of ringwall. "...)
	}
	return b[:4096]
}

// loader plays the host that hands out programs to infected devices.
func loader(e *Env) (Ops, error) {
	var fetched atomic.Uint64
	mux := http.NewServeMux()
	mux.HandleFunc("GET /bins/{name}", func(w http.ResponseWriter, r *http.Request) {
		fetched.Add(1)
		w.Header().Set("Content-Type", "application/octet-stream")
		_, _ = w.Write(Inert()) // the device may be gone
	})
	l, err := net.Listen("tcp4", net.JoinHostPort(e.Addr.String(), "80"))
	if err != nil {
		return nil, err
	}
	serveHTTP(e, "handing out the program", &http.Server{Handler: mux, ReadHeaderTimeout: 5 * time.Second, ErrorLog: quiet()}, l)
	return Ops{"stats": op(func(context.Context, struct{}) (any, error) {
		return map[string]uint64{"fetched": fetched.Load()}, nil
	})}, nil
}

// command plays the command server: it hears beacons and orders them to wait,
// and beside it a pool for which bots mine.
func command(e *Env) (Ops, error) {
	var calls atomic.Uint64
	if err := pool(e); err != nil {
		return nil, err
	}
	l, err := net.Listen("tcp4", net.JoinHostPort(e.Addr.String(), "48101"))
	if err != nil {
		return nil, err
	}
	e.Go("commanding", func(ctx context.Context) error {
		stop := context.AfterFunc(ctx, func() { l.Close() })
		defer stop()
		var wg sync.WaitGroup
		defer wg.Wait()
		for {
			c, err := l.Accept()
			if err != nil {
				return err
			}
			wg.Go(func() {
				defer c.Close()
				_ = c.SetDeadline(time.Now().Add(5 * time.Second)) // never fails on an open socket
				line, err := bufio.NewReaderSize(c, 64).ReadSlice('\n')
				if err == nil && string(line) == "HELLO range\n" {
					calls.Add(1)
					_, _ = io.WriteString(c, "WAIT\n") // the bot may be gone
				}
			})
		}
	})
	return Ops{"stats": op(func(context.Context, struct{}) (any, error) {
		return map[string]uint64{"calls": calls.Load()}, nil
	})}, nil
}

// update plays the vendor's update server, which a quarantined device may
// still reach.
func update(e *Env) (Ops, error) {
	conf, err := e.serverTLS()
	if err != nil {
		return nil, err
	}
	var asked atomic.Uint64
	mux := http.NewServeMux()
	mux.HandleFunc("GET /firmware/latest", func(w http.ResponseWriter, r *http.Request) {
		asked.Add(1)
		_, _ = io.WriteString(w, `{"version":"2.0.1"}`) // the device may be gone
	})
	plain, err := net.Listen("tcp4", net.JoinHostPort(e.Addr.String(), "80"))
	if err != nil {
		return nil, err
	}
	secure, err := tls.Listen("tcp4", net.JoinHostPort(e.Addr.String(), "443"), conf)
	if err != nil {
		return nil, err
	}
	for _, l := range []net.Listener{plain, secure} {
		serveHTTP(e, "serving updates", &http.Server{Handler: mux, ReadHeaderTimeout: 5 * time.Second, ErrorLog: quiet()}, l)
	}
	return Ops{"stats": op(func(context.Context, struct{}) (any, error) {
		return map[string]uint64{"asked": asked.Load()}, nil
	})}, nil
}

// laptop plays the owner's laptop. It does nothing of its own accord: the
// owner's assessments are made from its namespace.
func laptop(e *Env) (Ops, error) {
	ops := Ops{}
	newBots(e).ops(ops)
	return ops, nil
}

// StrangerConfig says whose video to read, and for how long.
type StrangerConfig struct {
	Target   netip.Addr    `json:"target"`
	User     string        `json:"user"`
	Password string        `json:"password"`
	Duration time.Duration `json:"duration"`
	Pictures int           `json:"pictures"` // at most
}

// StrangerResult tells what was seen.
type StrangerResult struct {
	Pictures int       `json:"pictures"`
	Keys     int       `json:"keys"`
	Bytes    int       `json:"bytes"`
	First    time.Time `json:"first"`
	Last     time.Time `json:"last"`
	Error    string    `json:"error,omitempty"`
}

// attacker plays somebody out there with bad intentions.
func attacker(e *Env) (Ops, error) {
	b := newBots(e)
	ops := Ops{
		"guess": op(func(ctx context.Context, c attack.GuessConfig) (any, error) {
			return b.run(ctx, func(ctx context.Context) (any, error) { return attack.Guess(ctx, c) })
		}),
		"exploit": op(func(ctx context.Context, c attack.ExploitConfig) (any, error) {
			return b.run(ctx, func(ctx context.Context) (any, error) { return attack.Exploit(ctx, c) })
		}),
		"video": op(func(ctx context.Context, c StrangerConfig) (any, error) {
			return b.run(ctx, func(ctx context.Context) (any, error) { return stranger(ctx, c) })
		}),
	}
	return ops, nil
}

// stranger reads a camera's video until it has seen enough.
func stranger(ctx context.Context, c StrangerConfig) (StrangerResult, error) {
	if !c.Target.IsValid() || c.Duration <= 0 || c.Pictures <= 0 {
		return StrangerResult{}, errors.New("reading video: out of bounds")
	}
	ctx, cancel := context.WithTimeout(ctx, c.Duration)
	defer cancel()
	r := StrangerResult{First: time.Now()}
	err := watchVideo(ctx, watchConfig{Addr: c.Target, User: c.User, Password: c.Password}, func(p picture) {
		if r.Pictures == c.Pictures {
			return
		}
		r.Pictures++
		r.Bytes += p.bytes
		if p.key {
			r.Keys++
		}
		if r.Pictures == c.Pictures {
			cancel()
		}
	})
	if err != nil {
		r.Error = err.Error()
	}
	r.Last = time.Now()
	return r, nil
}

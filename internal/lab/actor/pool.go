package actor

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"path"
	"strings"
	"sync"
	"time"
)

// pool plays a mining pool: it answers every line with yes.
func pool(e *Env) error {
	l, err := net.Listen("tcp4", net.JoinHostPort(e.Addr.String(), "3333"))
	if err != nil {
		return err
	}
	e.Go("serving miners", func(ctx context.Context) error {
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
				defer context.AfterFunc(ctx, func() { c.Close() })()
				defer c.Close()
				r := bufio.NewReaderSize(c, 1024)
				for n := 1; ; n++ {
					_ = c.SetDeadline(time.Now().Add(10 * time.Second)) // never fails on an open socket
					if _, err := r.ReadSlice('\n'); err != nil {
						return
					}
					if _, err := fmt.Fprintf(c, `{"id": %d, "result": true, "error": null}`+"\n", n); err != nil {
						return
					}
				}
			})
		}
	})
	return nil
}

// line runs one line as the shell of the device would: the few commands that
// attackers use, fetched files below /tmp.
func (t *telnet) line(ctx context.Context, text string) string {
	var out strings.Builder
	for part := range strings.SplitSeq(text, ";") {
		args := strings.Fields(part)
		switch {
		case len(args) == 0:
		case args[0] == "wget" && len(args) == 2: // the name is that of the address
			_, _ = io.WriteString(&out, t.wget(ctx, []string{"-O", "/tmp/" + path.Base(args[1]), args[1]}))
		default:
			_, _ = io.WriteString(&out, t.command(ctx, args))
		}
	}
	return out.String()
}

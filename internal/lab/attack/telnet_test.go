package attack

import (
	"bufio"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"
)

// door is a telnet door that opens to one pair; it tells who tried.
func door(t *testing.T, opens Pair) (netip.AddrPort, func() []Pair) {
	t.Helper()
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	var mu sync.Mutex
	var tried []Pair
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				r := bufio.NewReader(c)
				line := func(prompt string) string {
					fmt.Fprint(c, prompt)
					s, _ := r.ReadString('\n')
					return strings.TrimSpace(s)
				}
				p := Pair{line("\xff\xfb\x01login: "), ""}
				p.Password = line("Password: ")
				mu.Lock()
				tried = append(tried, p)
				mu.Unlock()
				if p != opens {
					fmt.Fprint(c, "\r\nLogin incorrect\r\n")
					return
				}
				for {
					if cmd := line("# "); cmd == "exit" || cmd == "" {
						return
					} else if strings.Contains(cmd, "wget") {
						fmt.Fprint(c, "FETCHED\r\n")
					} else if strings.Contains(cmd, token) {
						fmt.Fprint(c, token+": applet not found\r\n")
					}
				}
			}()
		}
	}()
	return netip.MustParseAddrPort(l.Addr().String()), func() []Pair {
		mu.Lock()
		defer mu.Unlock()
		return tried
	}
}

func TestGuess(t *testing.T) {
	pairs := MiraiPairs()
	right := pairs[len(pairs)-1]
	at, tried := door(t, right)
	r, err := Guess(t.Context(), GuessConfig{
		Seed: 1, Target: at, Pairs: pairs, Every: time.Millisecond, Duration: 10 * time.Second, Fetch: "http://192.0.2.1/x",
	})
	if err != nil || !r.In || !r.Fetched || r.User != right.User || r.Tries != uint64(len(pairs)) {
		t.Errorf("guessing: %+v, %v", r, err)
	}
	if got := tried(); len(got) != len(pairs) {
		t.Errorf("%d pairs tried, want %d", len(got), len(pairs))
	}
}

func TestGuess_shutDoor(t *testing.T) {
	at, _ := door(t, Pair{"nobody", "knows"})
	r, err := Guess(t.Context(), GuessConfig{Seed: 1, Target: at, Pairs: MiraiPairs(), Every: time.Millisecond, Duration: 10 * time.Second})
	if err != nil || r.In || r.Tries != uint64(len(MiraiPairs())) || r.Error != "" {
		t.Errorf("guessing at a shut door: %+v, %v", r, err)
	}
	if _, err := Guess(t.Context(), GuessConfig{Target: at, Every: time.Second, Duration: time.Second}); err == nil {
		t.Error("guessing without pairs was taken")
	}
}

func FuzzTalk_until(f *testing.F) {
	f.Add([]byte("\xff\xfb\x01\r\nlogin: "), []byte("Password: "))
	f.Add([]byte(""), []byte("ogin: ogin: "))
	f.Fuzz(func(t *testing.T, first, second []byte) {
		a, b := net.Pipe()
		go func() {
			defer b.Close()
			b.Write(first)
			b.Write(second)
		}()
		defer a.Close()
		talk := &talk{conn: a}
		for range 4 {
			got, err := talk.until("ogin: ", "assword: ")
			if len(talk.seen) > maxSeen+1024 {
				t.Fatalf("%d bytes are kept", len(talk.seen))
			}
			if err != nil {
				return
			}
			if !strings.HasSuffix(got, "ogin: ") && !strings.HasSuffix(got, "assword: ") {
				t.Fatalf("until gave %q", got)
			}
		}
	})
}

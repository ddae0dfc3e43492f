package attack

import (
	"bufio"
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"time"
)

// BeaconConfig says whom to call, and how often.
type BeaconConfig struct {
	Seed uint64         `json:"seed"`
	To   netip.AddrPort `json:"to"`
	// Interface binds the calls to one interface, such as a modem; "" = by route.
	Interface string        `json:"interface,omitempty"`
	Period    time.Duration `json:"period"`
	// Jitter is the share of the period by which it varies, 0 to 1.
	Jitter   float64       `json:"jitter"`
	Duration time.Duration `json:"duration"`
	Tries    int           `json:"tries"`
}

// BeaconResult tells how the calls went.
type BeaconResult struct {
	Tries    uint64    `json:"tries"`
	Answered uint64    `json:"answered"`
	First    time.Time `json:"first"`
	Last     time.Time `json:"last"`
	Error    string    `json:"error,omitempty"` // of the last call that failed
}

// callTimeout is how long one call may take.
const callTimeout = 2 * time.Second

// Beacon calls a controller again and again, as an infected device does, and
// reads its orders, of which there is only "wait".
func Beacon(ctx context.Context, c BeaconConfig) (BeaconResult, error) {
	if !c.To.IsValid() || c.Period <= 0 || c.Duration <= 0 || c.Duration > maxDuration || c.Tries <= 0 || c.Jitter < 0 || c.Jitter > 1 {
		return BeaconResult{}, fmt.Errorf("beacon to %s every %s for %s, %d tries: out of bounds", c.To, c.Period, c.Duration, c.Tries)
	}
	rng := rand.New(rand.NewPCG(c.Seed, 0xc2))
	ctx, cancel := context.WithTimeout(ctx, c.Duration)
	defer cancel()
	r := BeaconResult{First: time.Now()}
	for r.Tries < uint64(c.Tries) {
		if ctx.Err() != nil {
			break
		}
		r.Tries++
		if err := call(ctx, c); err != nil {
			r.Error = err.Error()
		} else {
			r.Answered++
		}
		r.Last = time.Now()
		if !pause(ctx, time.Duration(float64(c.Period)*(1+c.Jitter*(rng.Float64()-0.5)))) {
			break
		}
	}
	return r, nil
}

func call(ctx context.Context, c BeaconConfig) error {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	d := net.Dialer{Control: BindTo(c.Interface)}
	conn, err := d.DialContext(ctx, "tcp4", c.To.String())
	if err != nil {
		return err
	}
	defer conn.Close()
	deadline, _ := ctx.Deadline()
	if err := conn.SetDeadline(deadline); err != nil {
		return err
	}
	if _, err := conn.Write([]byte("HELLO range\n")); err != nil {
		return err
	}
	line, err := bufio.NewReaderSize(conn, 64).ReadSlice('\n')
	if err != nil {
		return err
	}
	if string(line) != "WAIT\n" {
		return fmt.Errorf("the controller ordered %q, which is not in the range's book", line)
	}
	return nil
}

package ports

import "time"

// How a scan paces itself. The numbers are those of TCP (RFC 6298 section 2)
// where TCP has them.
const (
	// firstTimeout is how long an answer may take before one was seen.
	firstTimeout = 500 * time.Millisecond
	// minTimeout is long against a small device's hiccups, and what a filtered
	// port costs; maxTimeout bounds what one bad sample can do.
	minTimeout, maxTimeout = 100 * time.Millisecond, 1250 * time.Millisecond
	// startWindow is how many questions may be unanswered at first.
	startWindow = 128
	// silentWindow is as far as the window opens on silence alone: ports that
	// a filter swallows tell nothing of what the way can carry.
	silentWindow = 2048
	maxWindow    = 4096
	minWindow    = 16
	// minTries is how often a silent port is asked, maxTries how often when
	// answers are known to get lost.
	minTries, maxTries = 2, 6
)

// standing is what is known of one port.
type standing uint8

const (
	unasked standing = iota
	waiting
	silent
	refused
	isOpen
)

type track struct {
	at    time.Duration // when it was asked last, from the start of the scan
	state standing
	tries uint8
}

// flight keeps account of one scan: which port to ask next, how many questions
// may be in the air, and when one counts as lost. It knows no sockets and no
// clock: every method is told the time since the scan began.
//
// The window opens with every answer and halves when an answer to a repeated
// question proves that one was lost; each such proof also raises how often
// silent ports are asked, those given up before included. So a lossy way costs
// time and loses nothing, and a filter costs two questions a port.
type flight struct {
	list  []uint16 // to be asked, in this order
	next  int      // first of list not asked yet
	again []uint16 // to be asked once more
	fifo  []uint16 // asked, oldest first; some are answered by now
	head  int

	ports    []track // by port number
	inFlight int
	answers  int

	// The window opens fast up to limit, then slowly up to ceiling.
	window, limit, ceiling float64
	lost                   bool // loss was proven
	lastCut                time.Duration
	allowed                uint8 // tries

	rtt, spread, timeout time.Duration
}

func newFlight(list []uint16, ceiling int) *flight {
	most := float64(min(maxWindow, ceiling))
	return &flight{
		list: list, ports: make([]track, 1<<16), window: min(startWindow, most), limit: most, ceiling: most, allowed: minTries, timeout: firstTimeout,
	}
}

// ask returns the next port to ask, if one may be asked now.
func (f *flight) ask(now time.Duration) (port uint16, ok bool) {
	if f.inFlight >= int(f.window) {
		return 0, false
	}
	for len(f.again) > 0 {
		port, f.again = f.again[0], f.again[1:]
		if f.ports[port].state == silent { // it may have answered late
			f.sent(port, now)
			return port, true
		}
	}
	for f.next < len(f.list) {
		port = f.list[f.next]
		f.next++
		if f.ports[port].state == unasked { // else the list has it twice
			f.sent(port, now)
			return port, true
		}
	}
	return 0, false
}

func (f *flight) sent(port uint16, now time.Duration) {
	t := &f.ports[port]
	t.state, t.at = waiting, now
	t.tries++
	f.inFlight++
	f.fifo = append(f.fifo, port)
}

// answered notes what a port said, and reports whether that was news.
func (f *flight) answered(port uint16, now time.Duration, what standing) bool {
	t := &f.ports[port]
	switch t.state {
	case waiting:
		f.inFlight--
	case silent: // late
	default:
		return false
	}
	f.answers++
	late := t.state == silent
	t.state = what
	switch {
	case t.tries == 1:
		// Only an answer to a question asked once tells how long it took (RFC
		// 6298 section 3); one that came late tells that too.
		f.sample(now - t.at)
	case !late && now-t.at >= f.rtt/2:
		f.loss(t.tries, now)
	}
	if !late {
		switch {
		case f.window < f.limit:
			f.window++
		default:
			f.window = min(f.window+1/f.window, f.ceiling)
		}
	}
	return true
}

// loss notes that question number tries was answered and those before it were
// not.
func (f *flight) loss(tries uint8, now time.Duration) {
	f.lost = true
	f.allowed = max(f.allowed, min(tries+2, maxTries))
	if now-f.lastCut < max(f.rtt, time.Millisecond) && f.lastCut > 0 {
		return // one event, many witnesses
	}
	f.lastCut = now
	f.window = max(f.window/2, minWindow)
	f.limit = f.window
}

func (f *flight) sample(d time.Duration) {
	if f.rtt == 0 {
		f.rtt, f.spread = d, d/2
	} else {
		f.spread += ((f.rtt - d).Abs() - f.spread) / 4
		f.rtt += (d - f.rtt) / 8
	}
	f.timeout = min(max(f.rtt+4*f.spread, minTimeout), maxTimeout)
}

// expire gives up waiting for what was asked too long ago and calls gone for
// each such port.
func (f *flight) expire(now time.Duration, gone func(uint16)) {
	n := 0
	for f.head < len(f.fifo) {
		port := f.fifo[f.head]
		t := &f.ports[port]
		if t.state == waiting {
			if now-t.at < f.timeout {
				break
			}
			t.state = silent
			f.inFlight--
			n++
			if t.tries < f.allowed {
				f.again = append(f.again, port)
			}
			gone(port)
		}
		f.head++
	}
	if f.head > 4096 && f.head*2 > len(f.fifo) {
		f.fifo = append(f.fifo[:0], f.fifo[f.head:]...)
		f.head = 0
	}
	if n > 0 && !f.lost {
		// Nothing has shown that the way is narrow, so silence is a filter's.
		f.window = max(f.window, min(f.window+float64(n), silentWindow, f.ceiling))
	}
	if f.inFlight == 0 && f.next == len(f.list) && len(f.again) == 0 && f.allowed > minTries {
		for _, p := range f.list { // those given up before losses were known
			if t := f.ports[p]; t.state == silent && t.tries < f.allowed {
				f.again = append(f.again, p)
			}
		}
	}
}

// wake is when expire has something to do next.
func (f *flight) wake() (time.Duration, bool) {
	for i := f.head; i < len(f.fifo); i++ {
		if t := f.ports[f.fifo[i]]; t.state == waiting {
			return t.at + f.timeout, true
		}
	}
	return 0, false
}

// done reports whether every port is settled.
func (f *flight) done() bool {
	return f.inFlight == 0 && f.next == len(f.list) && len(f.again) == 0
}

// result is what the scan came to.
func (f *flight) result() Result {
	var r Result
	for p, t := range f.ports {
		switch t.state {
		case isOpen:
			r.Open = append(r.Open, uint16(p))
		case refused:
			r.Closed++
		case silent, waiting:
			r.Silent++
		}
	}
	return r
}

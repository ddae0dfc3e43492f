package dnsguard

import (
	"cmp"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/ringwall/ringwall/internal/resolved"
)

const (
	// maxBound is the most addresses that one device may have bound at a time. One
	// that owns a domain below an allowed wildcard could otherwise fill the kernel's
	// set, and take the names of all others away.
	maxBound = 4096
	// maxUnseen is how long an address is kept for a name that is still asked for
	// and whose answers do not have it any more, unless a flow uses it: a delivery
	// network shows a few of its addresses at a time, and in the end gives one to
	// somebody else.
	maxUnseen = time.Hour
	// staleKept is how long it is remembered that an address had a name, so that who
	// still uses it can be told why it does not work.
	staleKept = time.Hour
)

// book keeps what is bound: in memory, and in a file, so that the next guard
// goes on where this one died, and others can ask.
type book struct {
	mu   sync.Mutex
	file *resolved.Book // nil = memory only
	by   map[uint64]*holder
}

// holder is one device and what it holds.
type holder struct {
	count int
	names map[string]*held
	addrs map[netip.Addr]int // by how many names
}

// held is one name of one device.
type held struct {
	asked time.Duration
	addrs map[netip.Addr]*hold
}

// hold is one address of one name of one device.
type hold struct {
	resolved.Entry
	slot uint32
}

// openBook takes over what the file at path holds; "" keeps no file.
func openBook(path string) (*book, error) {
	b := &book{by: map[uint64]*holder{}}
	if path == "" {
		return b, nil
	}
	file, have, err := resolved.Open(path, 0)
	if err != nil {
		return nil, err
	}
	b.file = file
	for slot, e := range have {
		n := b.name(e.Key, e.Name)
		if n.addrs[e.Addr] != nil {
			if err := file.Remove(slot, e); err != nil {
				return nil, err
			}
			continue
		}
		n.asked = max(n.asked, e.Asked)
		b.insert(n, &hold{e, slot})
	}
	return b, nil
}

func (b *book) close() error {
	if b.file == nil {
		return nil
	}
	return b.file.Close()
}

func (b *book) holder(key uint64) *holder {
	h := b.by[key]
	if h == nil {
		h = &holder{names: map[string]*held{}, addrs: map[netip.Addr]int{}}
		b.by[key] = h
	}
	return h
}

func (b *book) name(key uint64, name string) *held {
	h := b.holder(key)
	n := h.names[name]
	if n == nil {
		n = &held{addrs: map[netip.Addr]*hold{}}
		h.names[name] = n
	}
	return n
}

func (b *book) insert(n *held, x *hold) {
	n.addrs[x.Addr] = x
	h := b.by[x.Key]
	h.count++
	h.addrs[x.Addr]++
}

// remove forgets a hold. What it was bound to in the kernel runs out by itself.
func (b *book) remove(x *hold) {
	h := b.by[x.Key]
	n := h.names[x.Name]
	if n.addrs[x.Addr] != x {
		return
	}
	delete(n.addrs, x.Addr)
	if len(n.addrs) == 0 {
		delete(h.names, x.Name)
	}
	h.count--
	if h.addrs[x.Addr]--; h.addrs[x.Addr] == 0 {
		delete(h.addrs, x.Addr)
	}
	if len(h.names) == 0 {
		delete(b.by, x.Key)
	}
	if b.file != nil {
		// What cannot be removed runs out: its time is in it.
		_ = b.file.Remove(x.slot, x.Entry)
	}
}

// admit makes room for addresses of a name. It answers which holds have to end
// in the kernel for that, and whether there is room. used tells which addresses
// of the device are in use; it is asked only when somebody has to go.
func (b *book) admit(key uint64, name string, addrs []netip.Addr, now time.Duration, used func() map[netip.Addr]bool) (end []*hold, ok bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	h := b.by[key]
	if h == nil {
		return nil, true
	}
	var mine map[netip.Addr]*hold
	if n := h.names[name]; n != nil {
		mine = n.addrs
	}
	fresh := 0
	for _, a := range addrs {
		if mine[a] == nil {
			fresh++
		}
	}
	if h.count+fresh > maxBound {
		for _, n := range h.names {
			for _, x := range n.addrs {
				if x.Until <= now {
					b.remove(x)
				}
			}
		}
		if h.count+fresh > maxBound {
			return nil, false
		}
	}
	if len(mine)+fresh <= MaxAddrs {
		return nil, true
	}
	var inUse map[netip.Addr]bool
	if used != nil {
		inUse = used()
	}
	list := make([]*hold, 0, len(mine))
	for a, x := range mine {
		if !slices.Contains(addrs, a) {
			list = append(list, x)
		}
	}
	// Who is not used goes before who is, and the older before the younger.
	slices.SortFunc(list, func(x, y *hold) int {
		if u, v := inUse[x.Addr], inUse[y.Addr]; u != v {
			if u {
				return 1
			}
			return -1
		}
		return cmp.Compare(x.Until, y.Until)
	})
	for _, x := range list[:min(len(list), len(mine)+fresh-MaxAddrs)] {
		if inUse[x.Addr] {
			return end, false
		}
		if x.Until > now && h.addrs[x.Addr] == 1 {
			end = append(end, x)
		}
		b.remove(x)
	}
	return end, true
}

// note writes down what has been bound. When it returns without error, others
// know it.
func (b *book) note(who asker, name string, addrs []netip.Addr, life, now time.Duration, remedy bool) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	n := b.name(who.key, name)
	n.asked = now
	for _, a := range addrs {
		x := n.addrs[a]
		if x == nil {
			x = &hold{Entry: resolved.Entry{Key: who.key, Addr: a, Name: name}}
			if err := b.write(x, who, life, now, now, remedy); err != nil {
				if len(n.addrs) == 0 {
					delete(b.by[who.key].names, name)
				}
				return err
			}
			b.insert(n, x)
			continue
		}
		if err := b.write(x, who, life, now, now, remedy); err != nil {
			return err
		}
	}
	return nil
}

func (b *book) write(x *hold, who asker, life, now, seen time.Duration, remedy bool) (err error) {
	x.Mark, x.Life, x.Until, x.Seen, x.Remedy = who.mark, life, now+life, seen, remedy
	if n := b.by[who.key].names[x.Name]; n != nil {
		x.Asked = n.asked
	}
	switch {
	case b.file == nil:
	case x.slot == 0:
		x.slot, err = b.file.Add(x.Entry)
	default:
		err = b.file.Set(x.slot, x.Entry)
	}
	return err
}

// due is a hold that has lived half its life.
type due struct {
	key    uint64
	mark   uint32
	name   string
	addr   netip.Addr
	life   time.Duration
	seen   time.Duration
	wanted bool // its name was asked for since it was bound, and its answers had it lately
	remedy bool
}

// due answers which holds have lived half their lives, and forgets those that
// keep refuses and those that ended long ago.
func (b *book) due(now time.Duration, keep func(*hold) bool) []due {
	b.mu.Lock()
	defer b.mu.Unlock()
	var out []due
	for _, h := range b.by {
		for _, n := range h.names {
			for _, x := range n.addrs {
				switch {
				case x.Until+staleKept <= now || !keep(x):
					b.remove(x)
				case x.Until <= now || x.Until-now > x.Life/2:
				default:
					bound := x.Until - x.Life
					out = append(out, due{x.Key, x.Mark, x.Name, x.Addr, x.Life, x.Seen, n.asked > bound && now-x.Seen <= maxUnseen, x.Remedy})
				}
			}
		}
	}
	slices.SortFunc(out, func(a, b due) int {
		return cmp.Or(cmp.Compare(a.mark, b.mark), cmp.Compare(a.name, b.name), a.addr.Compare(b.addr))
	})
	return out
}

// holds answers what of these devices holds now.
func (b *book) holds(now time.Duration, devices map[uint64]bool) []due {
	b.mu.Lock()
	defer b.mu.Unlock()
	var out []due
	for key := range devices {
		h := b.by[key]
		if h == nil {
			continue
		}
		for _, n := range h.names {
			for _, x := range n.addrs {
				if x.Until > now {
					out = append(out, due{key: x.Key, mark: x.Mark, name: x.Name, addr: x.Addr, life: x.Until - now})
				}
			}
		}
	}
	return out
}

// renewed writes down that a hold was bound anew.
func (b *book) renewed(d due, who asker, now time.Duration) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	h := b.by[d.key]
	if h == nil || h.names[d.name] == nil {
		return nil
	}
	x := h.names[d.name].addrs[d.addr]
	if x == nil {
		return nil
	}
	return b.write(x, who, d.life, now, d.seen, d.remedy)
}

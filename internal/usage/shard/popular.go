package shard

// popular counts how often shards ask about peers of which nothing can be said any
// more. When it is often, all shards are told, and spare their logs for the day
// what would change nothing (see rules.Usual). A shard that was not told, or forgot
// it, sends what nobody needs: so this is in no snapshot, and may forget too.
type popular struct {
	slots [1 << 12]asked
	news  []settled
}

type asked struct {
	settled
	times uint16
}

type settled struct {
	peer     uint64
	settings uint32
	day      uint16
}

// often is how many observations of a day make a peer one that all are told of.
const often = 32

// note counts one observation.
func (p *popular) note(settings uint32, peer uint64, day uint16) {
	s := settled{peer, settings, day}
	a := &p.slots[(peer^uint64(settings)<<20)*0x9e3779b97f4a7c15>>52]
	if a.settled != s {
		*a = asked{settled: s}
	}
	if a.times++; a.times == often {
		p.news = append(p.news, s)
	}
	if a.times > often {
		a.times = often + 1
	}
}

// settled hears of a peer of which nothing can be said any more.
func (m *Engine) settled(settings uint32, peer uint64, day uint16) {
	m.spare(settings, peer, day)
	m.popular.note(settings, peer, day)
}

// spare has the engine pass over what cards with some settings do at a peer. Numbers
// that the Book does not have are left to cards with allowed uses of their own.
func (m *Engine) spare(settings uint32, peer uint64, day uint16) {
	if settings < uint32(m.e.Book().Count()) {
		m.usual.Add(settings, peer, day)
	}
}

// spread tells all other shards what is popular by now.
func (m *Engine) spread(out *Output) {
	for _, s := range m.popular.news {
		m.broadcast(usual, s.settings, s.peer, uint32(s.day)*86400, out)
	}
	m.popular.news = m.popular.news[:0]
}

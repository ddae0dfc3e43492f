package detect

import "unsafe"

// Limits says how many of each thing the engine remembers. The numbers are
// rounded up to powers of two.
type Limits struct {
	Conns     int // connections
	Endpoints int // services, each as one source has used it
	Pairs     int // source and target, for scans of many ports
	Hosts     int // sources of the local networks that are no known device
	Strangers int // sources from outside
	Newcomers int // sources that have not yet earned state of their own
	Names     int // addresses that DNS answers led to
	Devices   int // known devices; more than these share Hosts
}

// loginShare is how many endpoints there are for each place for refusals.
const loginShare = 4

// Gateway is the size for a small gateway, about 7 MiB with 100 devices. It is
// what the zero value of Limits means.
func Gateway() Limits {
	return Limits{Conns: 16384, Endpoints: 4096, Pairs: 4096, Hosts: 256, Strangers: 64, Newcomers: 16384, Names: 2048, Devices: 1024}
}

// Workstation is the size for judging captures on a computer.
func Workstation() Limits {
	return Limits{Conns: 131072, Endpoints: 32768, Pairs: 32768, Hosts: 4096, Strangers: 1024, Newcomers: 131072, Names: 32768, Devices: 65536}
}

func (l Limits) orDefault() Limits {
	d := Gateway()
	for _, f := range []struct{ v, d *int }{
		{&l.Conns, &d.Conns}, {&l.Endpoints, &d.Endpoints}, {&l.Pairs, &d.Pairs}, {&l.Hosts, &d.Hosts},
		{&l.Strangers, &d.Strangers}, {&l.Newcomers, &d.Newcomers}, {&l.Names, &d.Names}, {&l.Devices, &d.Devices},
	} {
		if *f.v <= 0 {
			*f.v = *f.d
		}
	}
	return l
}

// Bytes returns the most memory that the tables take, with this many known
// devices that all do what is to be noted; those that do not take a tenth of theirs. What the devices themselves hold (their learned peers) is the
// caller's and not counted.
func (l Limits) Bytes(devices int) int {
	l = l.orDefault()
	const tag = 8
	n := pow2(l.Conns) * int(tag+unsafe.Sizeof(conn{}))
	n += (pow2(l.Endpoints) + pow2(l.Endpoints/loginShare)) * int(tag+unsafe.Sizeof(endpoint{}))
	n += pow2(l.Pairs) * int(tag+unsafe.Sizeof(pair{}))
	one := int(unsafe.Sizeof(host{}) + 2*unsafe.Sizeof(contacts{}) + unsafe.Sizeof(dayset{}) + unsafe.Sizeof(targets16{}))
	n += (pow2(l.Hosts) + pow2(l.Strangers)) * (tag + one)
	n += min(devices, l.Devices) * (int(unsafe.Sizeof(known{})) + one)
	n += 2 * pow2(l.Newcomers) * int(unsafe.Sizeof(newcomer{}))
	n += pow2(l.Names) * (64 + 2*256)
	n += int(ruleCount) * toldSize * int(unsafe.Sizeof(told{}))
	return n
}

// pow2 returns the smallest power of two that is at least n, and at least one
// bucket.
func pow2(n int) int {
	p := ways
	for p < n {
		p *= 2
	}
	return p
}

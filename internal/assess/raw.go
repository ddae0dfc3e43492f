package assess

// RawNetwork is a Network in which a probe may open sockets of its own kinds:
// packet and raw sockets, or many plain ones at once. It is asked for by a type
// assertion; a Network that is none still dials, and a probe falls back to that.
//
// Do runs f on a thread of this network. Sockets that f opens stay in it for
// their whole life and may be used from anywhere; what f starts beside that
// need not be. Whether the process may open raw sockets is another question,
// which the kernel answers.
type RawNetwork interface {
	Network
	Do(f func() error) error
}

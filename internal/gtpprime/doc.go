// Package gtpprime is a charging gateway that speaks GTP′ (3GPP TS 32.295): network
// elements hand it their charging records over UDP or TCP.
//
// A packet is acknowledged only when Sink has made its records durable; a sink that
// cannot is answered "no resources available", and the network element keeps its
// packet and turns to another gateway. A packet that comes again, because the
// answer was lost, is told by its peer, sequence number and contents, and answered
// "already fulfilled"; a number that comes again with other contents is another
// packet (the peer started anew). Packets that another gateway may have received
// before it failed (section 6.2.4.5.2, "send possibly duplicated") are held, on disk,
// until the network element cancels or releases them. GoDown redirects peers to
// other gateways before this one stops (section 6.2.3).
//
// GTP′ has neither authentication nor encryption: only peers of Config.Allow are
// heard, others are counted and not answered, and the exchange belongs on a network
// of its own. Memory is bounded by Config.MaxPeers and Config.MaxHeld. What is in the
// records is not looked at here: who reads the sink's log tells of bad ones.
//
// Serve owns the goroutines and ends them with its context; the sockets are closed
// by it. The directory of held packets is the Server's, until Close.
package gtpprime

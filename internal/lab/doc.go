// Package lab is the range: a home behind a gateway, an internet behind that,
// and attacks that are programs of ours, so that all of Ringwall can be tried
// on real packets without harming anything.
//
// Every actor (a camera, a phone, the vendor's cloud, an attacker …) is a
// process of its own in network, mount, process, host name and IPC namespaces
// of its own: package actor. The gateway is a namespace with a bridge; what
// runs in it is the caller's agent, or nothing: then it is a plain router.
//
//	badcam goodcam meter phone laptop          10.77.0.0/24
//	   └──────┴───┬───┴─────┴────┘
//	           gateway  (br-lan 10.77.0.1, one port p-NAME a device)
//	              │ up0
//	          internet ── attacker 203.0.113.5
//	              ├────── sink     198.18.0.0/15: where scans go
//	              └ dns ntp cloud loader c2 operator update platform  198.51.100.0/24
//
// The home is exposed: it is routed without address translation, so that the
// internet reaches it. The meter has a second way out, its SIM: a cable to the
// operator, who makes usage records of what really passes there.
//
// The host's routes, settings, passwords, firewall and files are never
// touched. Namespaces have no names: when the range ends, also by SIGKILL, its
// processes are killed by the kernel and all else goes with them. Should one
// survive, the next Up ends it by the mark in its environment.
//
// A Range owns its processes, its sockets in their namespaces and its
// goroutines; Down ends all of them and proves it. Its methods may be called
// concurrently, but for Down, which is the last.
//
// The program must call MaybeActor first thing, because actors are the running
// program started again. Up needs root on Linux; elsewhere it says so, and
// Recorded gives what the range recorded once, for Player to play.
package lab

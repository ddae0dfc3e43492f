// Package agent is the gateway: it puts the packet filter, the DNS guard, the
// detectors, the write-ahead log and the spine together into one program.
//
// It fails static. Before anything else it loads a closed base into the
// kernel, unless the rules of an earlier run are still whole; then it puts the
// last verified desired state from disk in force, and only then does it
// bring up ports, watch or talk. When it ends, by whatever cause, it takes
// nothing out of the kernel: devices keep what they were allowed, and nothing
// more. It never needs the platform to act.
//
// # An alert
//
// Taps hand every packet to the detectors and the meter, ahead of the packet
// filter. An alert goes into the log (synced); then, if a reflex of the desired
// state speaks of it, a hold is made durable, one element is changed in the
// kernel, which cuts the device off packet by packet, its tracked flows are
// flushed, and what was done is logged. The whole plan is applied soon after,
// so that the DNS guard's policy follows and the hold lasts.
//
// All changes of holds and of the kernel are made under one mutex (Agent.kernel),
// so that no apply of an older plan can undo a newer hold.
//
// # Reports
//
// Everything reported is a record of the log. The uploader sends batches until
// they are acknowledged, trims, and goes on from what the platform says it
// has. If the log's disk fails, the agent goes on enforcing, says so, and opens
// the log again every minute.
//
// # Documents
//
// A document that comes is on trial until the platform answers to what the gateway
// said after it was in force (see control); then it is confirmed. If it is not in
// time, what both it and the one before allow is in force (enforce.Fallback), until
// the platform is heard and it is tried again. What a document means at a moment
// is worked out for that moment: the addresses of SIM cards, the windows by the
// clock that enforce.Timepiece trusts, and the end of MaxAge.
//
// # The state directory
//
//	identity.json   who this gateway is: organisation, id, spine, signing keys
//	gateway.pem     its private key, which never leaves it, and its certificate;
//	                one file, so that both change at once when it is renewed
//	ca.crt          the platform's authority
//	enforce/        the last desired state and the holds (package enforce)
//	wal/            the write-ahead log (package wal)
//	sims.json       sessions of SIM cards
//	counts.json     the kernel's counters as they were last reported
//	dns.json        what the DNS guard may answer; dns.json.lock beside it
//	inspect.json    what the inspector judges by, replaced with dns.json
//	dns.pid         the DNS guard's process, locked by it while it runs
//	inspect.pid     the inspector's
//	agent.lock      locked while an agent runs on this directory
//	agent.sock      answers "ringwall-agent status"
//	report.sock     takes the reports of the two (datagrams)
//
// # The DNS guard and the inspector
//
// Each is this program started again, with "dns" or "inspect", in a session of its
// own, so that it outlives the agent; an agent that starts adopts the one that
// runs, and replaces one that runs another program (see guard). Their reports come
// by datagrams that are dropped, and counted, when nobody takes them.
//
// Agent owns all goroutines; Tasks gives them to package task. The agent works
// in the network namespace that it was started in.
package agent

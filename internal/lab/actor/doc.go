// Package actor holds the programs of the range: the devices of the home and
// the hosts of its internet, each a process of ours in namespaces of its own.
//
// The range starts the running program again with EnvName in its environment;
// Main then plays the actor that the range describes in a Spec, over a socket
// on descriptor 3. The same socket carries orders (Call) for as long as the
// actor lives: change a password, run a bot, tell statistics. When the socket
// closes, because the range has ended or was killed, the actor ends.
//
// An actor sees the host's files read-only and its own /proc, /tmp, /run,
// /etc/passwd and terminals: see isolate. It holds no malware. What an attack
// does it does with programs of package attack, each bounded.
//
// Every goroutine of an actor is started by Env.Go; the first that fails ends
// the actor. Programs keep their state behind one mutex each.
package actor

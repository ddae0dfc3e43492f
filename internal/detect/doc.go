// Package detect finds attacks in packets, as they come from a tap or a
// capture, and in flow records.
//
// Engine takes one packet at a time and calls Config.Alert for each statement
// it has to make. It keeps three kinds of state: connections (who opened, was
// it answered), endpoints (how one source has treated one service over time)
// and hosts (whom one source has contacted). Rules read the facts that these
// give. No rule reads another's state or alerts: switching one off changes
// nothing in what the others say.
//
// What an alert claims is in its Nature. An attack is claimed only of what
// devices and people do not do by themselves: scans, guessing, a program
// fetched from a bare address, a command server that is called in vain, video
// opened from the Internet. What is new or regular but may be honest is a
// deviation.
//
// The subject of an alert is the device that misbehaves or is misused, or an
// address where no device is known. Evidence.Facts["role"] is "source" when
// the subject does it and "target" when it is done to the subject; an alert
// about a target is never above severity medium, so that a reflex on severity
// high never cuts off a victim; but for stranger-video, since cutting off the
// camera is what stops the leak. A device is known by its MAC and its address
// together; a packet that bears the address of a device and another MAC is
// nobody's (address-spoof).
//
// The id of an alert is derived from rule, subject, what sets it apart, and
// the hour (the day, for slow scans and beacons): the same packets judged again give the
// same ids, and one attack gives one alert an hour or a day.
//
// # Memory
//
// All tables are allocated by New and never grow; Limits.Bytes says how much
// they take, and Gateway and Workstation say how many entries they have. A
// device that SetDevices names has its state to itself. Everybody else shares
// the tables, which are cut into buckets of eight by a keyed hash with a secret
// seed, so that nobody can aim at a bucket. In a full bucket the entry with
// the least evidence gives way, and one with more evidence loses a little each
// time it is passed over: to wash out evidence of k contacts, an attacker must
// send about k packets for every entry of the whole table, many times what it
// hides. A source that spoofs millions of addresses is kept in a small table
// of newcomers (16 bytes each) and gets state of its own at the fourth contact
// only. Alerts about addresses are limited to MaxAddressAlerts a minute and
// rule, those about devices are not.
//
// # Limits of what it can see
//
// Names are known from DNS answers that passed by in clear; a device that asks
// over HTTPS calls bare addresses. Payload is looked at in order and only at
// the first bytes of a message. Nothing is said of what travels inside TLS.
//
// An Engine belongs to one goroutine and starts none. Time is that of the
// packets: a capture is judged as if it were now. ATT&CK techniques are those
// of the Enterprise and ICS matrices.
package detect

// Package incident joins what detectors say of one device, and of the SIM in
// it, into the story of an attack.
//
// Alerts of one subject gather in an Incident by stage of the kill chain:
// infection, command, action, propagation. At first it is only watched: alerts
// that are evidence but no proof weigh a little and are forgotten after
// Config.Window. It opens when an attack is stated outright (an attack alert of
// severity high or more), when two stages are reached within the window, or
// when deviations of several kinds add up. Deviations alone never open it above
// medium severity, however many there are.
//
// Apply takes one Input (an alert, a response that changed, a re-assessment, a
// change of trust or grade) and returns the incident as it is now, with the
// Effects that have to happen. Nothing is done here: an effect is a value that
// the platform records, authorises and performs. Plan turns the matching rules
// into responses that wait for a person (ask) or may be done (act); Approve,
// Start, Finish, Lift and their kin move a response through its life and refuse,
// with code Conflict, what its state does not allow.
//
// The same input applied twice changes nothing: alerts are known by id, what
// they say again is counted and not listed again. An incident is bounded
// however long an attack lasts: see the Max constants. Late alerts find their
// place in the story by their own time.
//
// Project shows an incident to a party as far as its part entitles it: the
// operator its SIM and no address behind the gateway, the manufacturer the model
// and the method and no owner, the owner everything about the device and no
// subscriber number.
//
// The package is pure: no clock, no goroutine, no I/O; an Incident is a value
// kept as JSON, and no function changes one that it was given. Severity numbers
// are those of OCSF 1.8, Incident Finding [2005]; techniques are MITRE ATT&CK's.
package incident

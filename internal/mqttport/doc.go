// Package mqttport is the platform's MQTT door: applications that link the SDK,
// and terminals too small for the spine, report and get their policy over MQTT
// 5.0 or 3.1.1.
//
// It is not a broker between them. A terminal talks with the platform and with
// nobody else: what it publishes goes to the Desk and to no subscriber, and it
// can subscribe only to its own topics (api.Topic). Who it is, its certificate
// says; the client identifier must be empty or that name, a user name and
// password are not looked at. Nobody comes in without a certificate that the
// platform's authority has signed and the Desk admits.
//
// A report is acknowledged (PUBACK, MQTT 5.0 section 4.3.2) after the Desk has
// it on disk, and not before. A report that is not taken is answered with a
// reason code above 0x80 in MQTT 5.0; in 3.1.1, which has none, the connection
// ends unacknowledged, so that the terminal sends it again. The acknowledgement
// itself, which says up to where the platform has the log, goes to the response
// topic with the correlation data (sections 3.3.2.3.5 and 3.3.2.3.6), or to
// api.TopicAck, if the terminal has subscribed to it.
//
// It refuses: wildcards and shared subscriptions, retained messages and wills,
// sessions that outlive the connection, packets over the size of a batch,
// connections past the limits, and a terminal that does not read: what is
// written to it must be taken within seconds, and its queue is short. A second
// connection of the same terminal ends the first.
//
// The library is mochi-mqtt/server/v2, which only this package imports; the
// agent does not link it. Port owns the listener and all goroutines; Run ends
// them and waits. All methods may be called concurrently.
package mqttport

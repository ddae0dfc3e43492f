// Package hub puts devices that do not speak IP under policy: those that a hub
// reaches by Zigbee, Bluetooth Low Energy or LoRaWAN and shows on an MQTT broker.
//
// A Hub stands between applications and the broker's device topics. It reads
// what the hub's software publishes (Dialect): who has joined, what each leaf
// says. Each leaf is reported to the platform as a device of its own (sdk.Leaf)
// and has a policy of its own. Applications do not touch the device topics: they
// publish commands under rw/app/<name>/cmd/ and read under rw/app/<name>/data/,
// with the hub software's own topic behind it. A command that the leaf's policy
// allows is passed on as it came; one that it refuses is answered on
// rw/app/<name>/refused with the reason. A report of a leaf is passed on to each
// application that may read it.
//
// The broker has to keep applications to their own prefix, by its access
// control: with Mosquitto, "pattern readwrite rw/app/%u/#" for them, and all
// topics for the hub's software and for this program. A command that somebody
// publishes on a device topic all the same cannot be stopped here; it is
// reported.
//
// It refuses: commands to leaves that it has not heard of, requests to the hub's
// software itself (such as letting devices join), applications that the
// configuration does not name, payloads that are not what the dialect says.
//
// Dialects are of Zigbee2MQTT 1.x and 2.x, ChirpStack 4 (MQTT integration, JSON),
// and for BLE a simple form of topics and that of OpenMQTTGateway.
//
// A Hub owns one goroutine, which keeps the connection, and those of the MQTT
// client; Close ends them and waits.
package hub

package enforce

import "github.com/ringwall/ringwall/api"

// compact gives a document that was just read the form in which it is kept for as
// long as it is in force: texts that terms have in common stand in memory once, and
// lists take the room of what is in them. It means the same. Of 1,000 devices with
// 25 terms each this is nearly half.
func compact(d *api.Desired) {
	terms := 0
	for i := range d.Devices {
		terms += len(d.Devices[i].Terms)
	}
	room := make([]api.Term, 0, terms)
	texts := map[string]string{}
	devices := make([]api.DevicePolicy, len(d.Devices))
	copy(devices, d.Devices)
	for i := range devices {
		dev := &devices[i]
		if dev.Terms == nil {
			continue // "none" is not the same as "an empty list" to whoever compares documents
		}
		from := len(room)
		room = append(room, dev.Terms...)
		dev.Terms = room[from:len(room):len(room)]
		for k := range dev.Terms {
			t := &dev.Terms[k]
			t.Action, t.Direction = once(texts, t.Action), once(texts, t.Direction)
			t.ID, t.Proto, t.Domain = once(texts, t.ID), once(texts, t.Proto), once(texts, t.Domain)
		}
	}
	d.Devices = devices
}

// once returns the first text that was equal to s.
func once[T ~string](texts map[string]string, s T) T {
	if known, ok := texts[string(s)]; ok {
		return T(known)
	}
	texts[string(s)] = string(s)
	return s
}

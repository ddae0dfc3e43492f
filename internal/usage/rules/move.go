package rules

import "github.com/ringwall/ringwall/cdr"

// move takes in what is not as it was last time.
func move(l *Line, s *Settings, e *cdr.Event, env *Env, differs, place uint32) (out Fired) {
	if differs&otherEquipment != 0 {
		out = l.moveEquipment(s, e, env)
	}
	if differs&otherPlace != 0 && l.movePlace(s, e, place, env) {
		out |= Arrived
	}
	if differs&strangePlace != 0 {
		l.strangeStay(s, env)
	}
	if differs&called != 0 {
		tally(l, s, e, env)
	}
	return out
}

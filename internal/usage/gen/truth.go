package gen

// Truth is one thing that happened and that charging records show: misuse, which
// must be found, or something that even a careful analyst with the same books and
// records could not tell from misuse.
type Truth struct {
	Kind  string   `json:"kind"`
	Card  uint64   `json:"card"`            // key, as cdr.CardKey gives it
	Cards []uint64 `json:"cards,omitempty"` // all of them when there are several; it is enough to name one
	// Rules are those one of which must find it; when it is ambiguous, those that may
	// speak of it.
	Rules []string `json:"rules,omitempty"`
	// First is the id of the first record that shows it, and From its time; until
	// Until whatever any rule says of a card that is misused is about it.
	First string `json:"first,omitempty"`
	From  int64  `json:"from"`
	Until int64  `json:"until"`
	// ByRecord is the record with which it must have been found, By that record's
	// time.
	ByRecord string `json:"byRecord,omitempty"`
	By       int64  `json:"by,omitempty"`
	// Ambiguous says why nobody could tell; "" = it must be found.
	Ambiguous string `json:"ambiguous,omitempty"`
}

// Truth is what happened, by the time at which it began.
func (w *World) Truth() []Truth { return w.truth }

package api

// Said is a sentence for people: Text is English; where Key is set, programs that
// speak other languages have it by Key and Params.
type Said struct {
	Key    string            `json:"key,omitempty"`
	Params map[string]string `json:"params,omitempty"`
	Text   string            `json:"text"`
}

func (s Said) String() string { return s.Text }

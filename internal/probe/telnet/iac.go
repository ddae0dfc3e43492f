package telnet

// Telnet commands and options (RFC 854, RFC 857, RFC 858).
const (
	cmdSE   = 240
	cmdSB   = 250
	cmdWILL = 251
	cmdWONT = 252
	cmdDO   = 253
	cmdDONT = 254
	cmdIAC  = 255

	optEcho = 1
	optSGA  = 3
)

// maxReplies bounds how many option requests are answered: a peer that asks
// for ever is answered no more.
const maxReplies = 64

// filter separates text from negotiation in what a peer sends. It agrees to
// the peer's echo and to no-go-ahead, and to nothing else.
type filter struct {
	state   filterState
	command byte
	replies int
	told    map[[2]byte]bool // answers given: the same is not said twice (RFC 854, loops)
}

type filterState uint8

const (
	inText filterState = iota
	afterIAC
	afterCommand
	inSub
	inSubIAC
)

// feed consumes b and returns its text, and what must be answered.
func (f *filter) feed(b []byte) (text, answer []byte) {
	for _, c := range b {
		switch f.state {
		case inText:
			if c == cmdIAC {
				f.state = afterIAC
			} else {
				text = append(text, c)
			}
		case afterIAC:
			switch c {
			case cmdIAC:
				text = append(text, c)
				f.state = inText
			case cmdSB:
				f.state = inSub
			case cmdWILL, cmdWONT, cmdDO, cmdDONT:
				f.command, f.state = c, afterCommand
			default:
				f.state = inText
			}
		case afterCommand:
			answer = append(answer, f.reply(c)...)
			f.state = inText
		case inSub:
			if c == cmdIAC {
				f.state = inSubIAC
			}
		case inSubIAC:
			f.state = inSub
			if c == cmdSE {
				f.state = inText
			}
		}
	}
	return text, answer
}

func (f *filter) reply(option byte) []byte {
	var c byte
	switch f.command {
	case cmdWILL:
		c = cmdDONT
		if option == optEcho || option == optSGA {
			c = cmdDO
		}
	case cmdDO:
		c = cmdWONT
		if option == optSGA {
			c = cmdWILL
		}
	default:
		return nil // WONT and DONT need no answer from who never asked
	}
	if f.told == nil {
		f.told = map[[2]byte]bool{}
	}
	if f.told[[2]byte{c, option}] || f.replies >= maxReplies {
		return nil
	}
	f.told[[2]byte{c, option}] = true
	f.replies++
	return []byte{cmdIAC, c, option}
}

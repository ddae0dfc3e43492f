package agent

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"os"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/api"
	"github.com/ringwall/ringwall/internal/enforce"
	"github.com/ringwall/ringwall/internal/enrol"
)

// Status is what "ringwall-agent status" tells.
type Status struct {
	Running    bool               `json:"running"`
	Version    string             `json:"version"`
	Org        ringwall.OrgID     `json:"org"`
	Gateway    ringwall.GatewayID `json:"gateway"`
	Connected  bool               `json:"connected"` // to the platform
	Generation uint64             `json:"generation"`
	Newest     uint64             `json:"newest"`          // generation of the newest document, which may not be in force
	Phase      enforce.Phase      `json:"phase,omitempty"` // of the newest document
	Issued     time.Time          `json:"issued,omitzero"`
	Hash       string             `json:"hash,omitempty"` // of the rules, as read back from the kernel
	Devices    int                `json:"devices"`
	Holds      []api.Hold         `json:"holds"`
	Tier       string             `json:"tier,omitempty"`
	DNS        int                `json:"dnsPid,omitempty"`
	Inspector  int                `json:"inspectPid,omitempty"`
	FailOpen   int                `json:"failOpen,omitempty"` // devices to which the end of MaxAge has come
	FailClosed int                `json:"failClosed,omitempty"`
	Epoch      uint64             `json:"epoch,omitempty"`
	LastSeq    uint64             `json:"lastSeq,omitempty"`
	Unsent     uint64             `json:"unsent"` // records that the platform may not have yet
	Lost       uint64             `json:"lost"`
	// Losses is Lost by kind of record, LogShare how much of the log's room is taken, 0 to 1.
	Losses    map[api.RecordKind]uint64 `json:"losses,omitempty"`
	LogShare  float64                   `json:"logShare,omitempty"`
	Packets   uint64                    `json:"packets"`
	TapDrops  uint64                    `json:"tapDrops"`
	Unwatched []string                  `json:"unwatched,omitempty"` // interfaces of which no packet is seen now
	RSSBytes  int64                     `json:"rssBytes"`            // agent and DNS guard
	Uptime    api.Duration              `json:"uptime,omitzero"`
	Posture   *PostureStatus            `json:"posture,omitempty"` // nil: the agent does not speak of this machine
	Faults    []string                  `json:"faults,omitempty"`
}

// PostureStatus tells of the agent's word on the state of its machine.
type PostureStatus struct {
	Only bool      `json:"only,omitempty"` // the agent does nothing else
	Made time.Time `json:"made,omitzero"`  // when the newest was made
	Sent time.Time `json:"sent,omitzero"`  // when one last reached the platform
}

// status describes the running agent.
func (a *Agent) status() Status {
	if a.keeper == nil {
		return a.statusOnDevice()
	}
	v := a.keeper.View()
	s := Status{
		Running: true, Version: Version, Org: a.id.Org, Gateway: a.id.Gateway,
		Generation: v.Desired.Generation, Issued: v.Desired.Issued, Devices: len(v.Desired.Devices), Holds: v.Holds,
		Tier: a.tier(), DNS: a.guard.running(), Newest: v.Newest, Phase: v.Phase,
		Uptime: api.Duration(a.cfg.Now().Sub(a.started).Round(time.Second)), Lost: a.books.unwritten.Load(),
	}
	if a.inspector != nil {
		s.Inspector = a.inspector.running()
	}
	for _, n := range a.processes() {
		s.RSSBytes += n
	}
	old := a.control.aged()
	s.FailOpen, s.FailClosed = len(old.Open), len(old.Closed)
	if old.Any() {
		s.Faults = append(s.Faults, fmt.Sprintf("the platform was not heard for longer than the document allows: %d devices open, %d closed", s.FailOpen, s.FailClosed))
	}
	if v.Phase == enforce.RolledBack {
		s.Faults = append(s.Faults, fmt.Sprintf("generation %d was rolled back: what both it and the one before allow is in force", v.Newest))
	}
	a.kernel.Lock()
	s.Hash = a.hash
	a.kernel.Unlock()
	if c := a.up.conn.Load(); c != nil {
		s.Connected = c.Connected()
	}
	if l := a.books.current(); l != nil {
		s.Epoch, s.LastSeq, s.Lost = l.Epoch(), l.Last(), s.Lost+l.Lost()
		s.Losses, s.LogShare = a.books.losses(), l.Pressure().Share()
		s.Unsent = l.Last() + 1 - min(l.First(), l.Last()+1)
	} else {
		s.Faults = append(s.Faults, "the write-ahead log cannot be written")
	}
	if v.Unsure {
		s.Faults = append(s.Faults, "it is not known which holds are in force; every device is quarantined")
	}
	s.Posture = a.posture.status()
	s.Packets, s.TapDrops = a.watch.counts()
	if s.Unwatched = a.watch.unwatched(); len(s.Unwatched) > 0 {
		s.Faults = append(s.Faults, fmt.Sprintf("not watched: %s", strings.Join(s.Unwatched, ", ")))
	}
	return s
}

// serveStatus answers each connection to the socket with the status.
func (a *Agent) serveStatus(ctx context.Context, ready func()) error {
	path := a.cfg.path(agentSocket)
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	l, err := net.Listen("unix", path)
	if err != nil {
		return fmt.Errorf("listening for status: %w", err)
	}
	stop := context.AfterFunc(ctx, func() { l.Close() })
	defer stop()
	if err := os.Chmod(path, 0o600); err != nil {
		return err
	}
	ready()
	for {
		c, err := l.Accept()
		if err != nil {
			if ctx.Err() != nil {
				return nil
			}
			return fmt.Errorf("listening for status: %w", err)
		}
		_ = c.SetDeadline(time.Now().Add(2 * time.Second)) // whoever asks and does not listen is left
		_ = json.NewEncoder(c).Encode(a.status())
		c.Close()
	}
}

// ReadStatus asks the agent that runs on a state directory, or, if none does,
// reads what is on disk.
func ReadStatus(ctx context.Context, c Config) (s Status, err error) {
	var d net.Dialer
	conn, err := d.DialContext(ctx, "unix", c.path(agentSocket))
	if err == nil {
		defer conn.Close()
		_ = conn.SetDeadline(time.Now().Add(5 * time.Second))
		if err := json.NewDecoder(io.LimitReader(conn, 16<<20)).Decode(&s); err != nil {
			return s, fmt.Errorf("reading the agent's status: %w", err)
		}
		return s, nil
	}
	id, err := c.loadIdentity()
	if err != nil {
		return s, err
	}
	v, faults := enforce.ReadKeeper(c.path(enforceDir), enforce.Config{Org: id.Org, Gateway: id.Gateway, Keys: enrol.Keys(id.SigningKeys), Now: c.Now})
	s = Status{
		Version: Version, Org: id.Org, Gateway: id.Gateway, Generation: v.Desired.Generation, Issued: v.Desired.Issued,
		Devices: len(v.Desired.Devices), Holds: v.Holds, Newest: v.Newest, Phase: v.Phase,
	}
	for _, e := range faults {
		s.Faults = append(s.Faults, e.Error())
	}
	if note, alive, err := readGuard(c.path(dnsPID)); err == nil && alive {
		s.DNS = note.PID
	}
	return s, nil
}

// Print writes the status for people.
func (s Status) Print(w io.Writer) error {
	t := tabwriter.NewWriter(w, 0, 8, 2, ' ', 0)
	row := func(k, format string, args ...any) { fmt.Fprintf(t, "%s\t"+format+"\n", append([]any{k}, args...)...) }
	state := "not running (what was in the kernel stays in force)"
	if s.Running {
		state = "running for " + time.Duration(s.Uptime).String()
	}
	row("gateway", "%s", s.Gateway)
	row("organisation", "%s", s.Org)
	if s.Posture != nil && s.Posture.Only {
		state = "running for " + time.Duration(s.Uptime).String() + ", on the device only"
	}
	row("agent", "%s, version %s", state, s.Version)
	if s.Running {
		row("platform", "%s", map[bool]string{true: "connected", false: "NOT CONNECTED"}[s.Connected])
		row("unsent records", "%d (lost %d), the log is full to %.0f %%", s.Unsent, s.Lost, 100*s.LogShare)
		for _, kind := range slices.Sorted(maps.Keys(s.Losses)) {
			row("lost", "%d of kind %s", s.Losses[kind], cmp.Or(string(kind), "unknown"))
		}
		if p := s.Posture; p != nil {
			row("posture", "made %s, last sent %s", clock(p.Made), clock(p.Sent))
		}
		if s.Posture != nil && s.Posture.Only {
			s.printFaults(row)
			return t.Flush()
		}
		row("packets seen", "%d (dropped by the tap %d)", s.Packets, s.TapDrops)
		row("memory", "%.1f MiB", float64(s.RSSBytes)/(1<<20))
		row("kernel", "%s", s.Tier)
	}
	if s.DNS != 0 {
		row("DNS guard", "process %d", s.DNS)
	} else {
		row("DNS guard", "not running")
	}
	row("generation", "%d, %d devices%s", s.Generation, s.Devices, map[enforce.Phase]string{
		enforce.Trial: "; waits for its confirmation", enforce.RolledBack: fmt.Sprintf("; %d was rolled back", s.Newest),
	}[s.Phase])
	row("holds", "%d", len(s.Holds))
	for _, h := range s.Holds {
		until := "until released"
		if !h.Expires.IsZero() {
			until = "until " + h.Expires.Format(time.RFC3339)
		}
		row("", "%s: %s by %s %s (%s)", h.Device, h.Do, h.By, until, h.ID)
	}
	s.printFaults(row)
	return t.Flush()
}

func (s Status) printFaults(row func(k, format string, args ...any)) {
	for _, f := range s.Faults {
		row("FAULT", "%s", f)
	}
}

func clock(t time.Time) string {
	if t.IsZero() {
		return "never"
	}
	return t.Format(time.RFC3339)
}

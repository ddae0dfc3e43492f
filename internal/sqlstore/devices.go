package sqlstore

import (
	"strings"
	"time"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/api"
	"github.com/ringwall/ringwall/internal/audit"
)

// CreateDevice adds a device with the mark that its gateway knows it by.
func (tx *Tx) CreateDevice(scope audit.Scope, d api.Device, mark uint32) error {
	org, err := need(scope, audit.DeviceWrite)
	if err != nil {
		return err
	}
	if err := own(org, d.Org, "device", string(d.ID)); err != nil {
		return err
	}
	if d.Gateway != "" {
		var n int
		if err := tx.row("gateway", string(d.Gateway), `SELECT 1 FROM gateways WHERE org = $1 AND id = $2`, []any{org, string(d.Gateway)}, &n); err != nil {
			return err
		}
	}
	d.Org, d.Version = ringwall.OrgID(org), 1
	doc, err := encodeDevice(d)
	if err != nil {
		return err
	}
	_, err = tx.exec(`INSERT INTO devices (org, id, gateway, mac, ip, mark, name, type, sim, presence, seen, grade, trust, enrolled, version, search, due, doc)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18)`,
		org, string(d.ID), string(d.Gateway), d.Binding.MAC, ipText(d), int64(mark), d.Name, d.Type, string(d.SIM),
		int64(d.Presence), micros(d.Seen), int64(d.Grade), int64(d.Trust), flag(d.Enrolled), int64(d.Version), searchText(d), micros(d.Due), doc)
	return err
}

func ipText(d api.Device) string {
	if !d.Binding.IP.IsValid() {
		return ""
	}
	return d.Binding.IP.String()
}

// searchText is what a device is found by; the parts cannot run together.
func searchText(d api.Device) string {
	return strings.ToLower(strings.Join([]string{d.Name, d.Vendor, d.Model, d.Binding.MAC, ipText(d)}, "\n"))
}

// encodeDevice leaves out what is read from other tables.
func encodeDevice(d api.Device) (string, error) {
	d.Holds, d.Incident, d.Generation = nil, "", 0
	return encode(d)
}

const deviceColumns = `doc, presence, seen, version`

func (tx *Tx) scanDevice(scan func(...any) error) (api.Device, error) {
	var doc string
	var presence, seen, version int64
	if err := scan(&doc, &presence, &seen, &version); err != nil {
		return api.Device{}, err
	}
	d, err := decode[api.Device](doc)
	d.Presence, d.Seen, d.Version = ringwall.Presence(presence), at(seen), uint64(version)
	return d, err
}

// fill adds what is kept in other tables: holds in force, the open incident
// and the generation that the gateway has acknowledged.
func (tx *Tx) fill(org string, ds []api.Device) error {
	at := map[ringwall.DeviceID]int{}
	for i := range ds {
		at[ds[i].ID] = i
		ds[i].Holds = []api.Hold{}
		if ds[i].Terms == nil {
			ds[i].Terms = []api.Term{}
		}
		if ds[i].TrustReasons == nil {
			ds[i].TrustReasons = []api.TrustReason{}
		}
	}
	which, args := "", []any{org, micros(tx.now())}
	if len(ds) == 1 {
		which, args = " AND device = $3", append(args, string(ds[0].ID))
	}
	holds, err := docs[api.Hold](tx, `SELECT doc FROM holds WHERE org = $1 AND lifted = 0 AND released = 0 AND (expires = 0 OR expires > $2)`+which+` ORDER BY made, id`, args...)
	if err != nil {
		return err
	}
	for _, h := range holds {
		if i, ok := at[h.Device]; ok {
			ds[i].Holds = append(ds[i].Holds, h)
		}
	}
	which, args = "", []any{org, string(ringwall.SubjectDevice)}
	if len(ds) == 1 {
		which, args = " AND subject = $3", append(args, string(ds[0].ID))
	}
	err = tx.rows(`SELECT subject, id FROM incidents WHERE org = $1 AND kind = $2 AND open = 2`+which, args, func(scan func(...any) error) error {
		var device ringwall.DeviceID
		var id string
		if err := scan(&device, &id); err != nil {
			return fail(err)
		}
		if i, ok := at[device]; ok {
			ds[i].Incident = id
		}
		return nil
	})
	if err != nil {
		return err
	}
	inForce := map[ringwall.GatewayID]uint64{}
	for i := range ds {
		g := ds[i].Gateway
		if g == "" {
			continue
		}
		if _, ok := inForce[g]; !ok {
			var doc string
			if err := tx.row("gateway", string(g), `SELECT doc FROM gateways WHERE org = $1 AND id = $2`, []any{org, string(g)}, &doc); err != nil {
				return err
			}
			gw, err := decode[api.Gateway](doc)
			if err != nil {
				return err
			}
			inForce[g] = gw.InForce
		}
		ds[i].Generation = inForce[g]
	}
	return nil
}

// deviceWhere returns the first device of a condition; NotFound of id.
func (tx *Tx) deviceWhere(scope audit.Scope, id, where string, args ...any) (api.Device, error) {
	org, err := need(scope, audit.DeviceRead)
	if err != nil {
		return api.Device{}, err
	}
	d, err := tx.scanDevice(func(dest ...any) error {
		return tx.row("device", id, `SELECT `+deviceColumns+` FROM devices WHERE org = $1 AND `+where+` LIMIT 1`, append([]any{org}, args...), dest...)
	})
	if err != nil {
		return api.Device{}, err
	}
	one := []api.Device{d}
	err = tx.fill(org, one)
	return one[0], err
}

// Device returns one device.
func (tx *Tx) Device(scope audit.Scope, id ringwall.DeviceID) (api.Device, error) {
	return tx.deviceWhere(scope, string(id), `id = $2`, string(id))
}

// DeviceByMAC returns the device of a hardware address behind one gateway.
func (tx *Tx) DeviceByMAC(scope audit.Scope, gw ringwall.GatewayID, mac string) (api.Device, error) {
	return tx.deviceWhere(scope, mac, `gateway = $2 AND mac = $3`, string(gw), mac)
}

// DeviceElsewhere returns the device of a hardware address that was last seen
// behind another gateway of the organisation.
func (tx *Tx) DeviceElsewhere(scope audit.Scope, not ringwall.GatewayID, mac string) (api.Device, error) {
	return tx.deviceWhere(scope, mac, `mac = $2 AND gateway <> $3`, mac, string(not))
}

// DeviceBySIM returns the device that a card sits in.
func (tx *Tx) DeviceBySIM(scope audit.Scope, sim ringwall.SIMID) (api.Device, error) {
	if sim == "" {
		return api.Device{}, notFound("device", "")
	}
	return tx.deviceWhere(scope, string(sim), `sim = $2`, string(sim))
}

// Mark returns the mark of a device on its gateway.
func (tx *Tx) Mark(scope audit.Scope, id ringwall.DeviceID) (uint32, error) {
	org, err := need(scope, audit.DeviceRead)
	if err != nil {
		return 0, err
	}
	var mark int64
	err = tx.row("device", string(id), `SELECT mark FROM devices WHERE org = $1 AND id = $2`, []any{org, string(id)}, &mark)
	return uint32(mark), err
}

// MoveDevice puts a device behind another gateway, with a mark of that one.
func (tx *Tx) MoveDevice(scope audit.Scope, id ringwall.DeviceID, gw ringwall.GatewayID, mark uint32) error {
	org, err := need(scope, audit.DeviceWrite)
	if err != nil {
		return err
	}
	var one int
	if err := tx.row("gateway", string(gw), `SELECT 1 FROM gateways WHERE org = $1 AND id = $2`, []any{org, string(gw)}, &one); err != nil {
		return err
	}
	if _, err := tx.UpdateDevice(scope, id, func(d *api.Device) error { d.Gateway = gw; return nil }); err != nil {
		return err
	}
	_, err = tx.exec(`UPDATE devices SET mark = $1 WHERE org = $2 AND id = $3`, int64(mark), org, string(id))
	return err
}

// UpdateDevice changes a device and counts its version up; its id and
// organisation stay, and so does what other tables hold.
func (tx *Tx) UpdateDevice(scope audit.Scope, id ringwall.DeviceID, f func(*api.Device) error) (api.Device, error) {
	org, err := need(scope, audit.DeviceWrite)
	if err != nil {
		return api.Device{}, err
	}
	d, err := tx.Device(scope, id)
	if err != nil {
		return api.Device{}, err
	}
	if err := f(&d); err != nil {
		return api.Device{}, err
	}
	d.ID, d.Org = id, ringwall.OrgID(org)
	d.Version++
	doc, err := encodeDevice(d)
	if err != nil {
		return api.Device{}, err
	}
	_, err = tx.exec(`UPDATE devices SET gateway = $1, mac = $2, ip = $3, name = $4, type = $5, sim = $6, presence = $7, seen = $8, grade = $9,
		trust = $10, enrolled = $11, version = $12, search = $13, due = $14, doc = $15 WHERE org = $16 AND id = $17`,
		string(d.Gateway), d.Binding.MAC, ipText(d), d.Name, d.Type, string(d.SIM), int64(d.Presence), micros(d.Seen), int64(d.Grade),
		int64(d.Trust), flag(d.Enrolled), int64(d.Version), searchText(d), micros(d.Due), doc, org, string(id))
	return d, err
}

// TouchDevice notes that a device was seen, without a new version.
func (tx *Tx) TouchDevice(scope audit.Scope, id ringwall.DeviceID, p ringwall.Presence, seen time.Time) error {
	org, err := need(scope, audit.DeviceWrite)
	if err != nil {
		return err
	}
	n, err := tx.exec(`UPDATE devices SET presence = $1, seen = CASE WHEN seen > $2 THEN seen ELSE $2 END WHERE org = $3 AND id = $4`, int64(p), micros(seen), org, string(id))
	if err == nil && n == 0 {
		return notFound("device", string(id))
	}
	return err
}

// DeviceFilter narrows a list of devices; zero fields do not.
type DeviceFilter struct {
	Text     string // part of the name, vendor, model, MAC or IP
	Gateway  ringwall.GatewayID
	Type     string
	Grade    *ringwall.Grade
	Trust    *ringwall.Trust
	Presence *ringwall.Presence
	Enrolled *bool
}

// Devices returns a page of devices, by name.
func (tx *Tx) Devices(scope audit.Scope, f DeviceFilter, p Paging) (api.Page[api.Device], error) {
	page := api.Page[api.Device]{Items: []api.Device{}}
	org, err := need(scope, audit.DeviceRead)
	if err != nil {
		return page, err
	}
	after, err := p.after(2)
	if err != nil {
		return page, err
	}
	q := `SELECT ` + deviceColumns + ` FROM devices WHERE org = $1 AND (name > $2 OR name = $2 AND id > $3)`
	args := []any{org, after[0], after[1]}
	and := func(cond string, v any) {
		args = append(args, v)
		q += " AND " + strings.ReplaceAll(cond, "?", placeholder(len(args)))
	}
	if f.Text != "" {
		// The pattern's own wildcards are taken literally.
		like := "%" + strings.NewReplacer(`\`, `\\`, `%`, `\%`, `_`, `\_`).Replace(strings.ToLower(f.Text)) + "%"
		and(`search LIKE ? ESCAPE '\'`, like)
	}
	if f.Gateway != "" {
		and(`gateway = ?`, string(f.Gateway))
	}
	if f.Type != "" {
		and(`type = ?`, f.Type)
	}
	if f.Grade != nil {
		and(`grade = ?`, int64(*f.Grade))
	}
	if f.Trust != nil {
		and(`trust = ?`, int64(*f.Trust))
	}
	if f.Presence != nil {
		and(`presence = ?`, int64(*f.Presence))
	}
	if f.Enrolled != nil {
		and(`enrolled = ?`, flag(*f.Enrolled))
	}
	args = append(args, p.limit()+1)
	q += ` ORDER BY name, id LIMIT ` + placeholder(len(args))
	more := false
	err = tx.rows(q, args, func(scan func(...any) error) error {
		if len(page.Items) == p.limit() {
			more = true
			return nil
		}
		d, err := tx.scanDevice(scan)
		page.Items = append(page.Items, d)
		return err
	})
	if err != nil || len(page.Items) == 0 {
		return page, err
	}
	if last := page.Items[len(page.Items)-1]; more {
		page.Next = cursor(last.Name, string(last.ID))
	}
	return page, tx.fill(org, page.Items)
}

// DevicesBehind returns all devices of one gateway with their marks, in the
// order of the marks.
func (tx *Tx) DevicesBehind(scope audit.Scope, gw ringwall.GatewayID) ([]api.Device, []uint32, error) {
	org, err := need(scope, audit.DeviceRead)
	if err != nil {
		return nil, nil, err
	}
	all, marks := []api.Device{}, []uint32{}
	err = tx.rows(`SELECT mark, `+deviceColumns+` FROM devices WHERE org = $1 AND gateway = $2 ORDER BY mark`, []any{org, string(gw)}, func(scan func(...any) error) error {
		var mark int64
		d, err := tx.scanDevice(func(dest ...any) error { return scan(append([]any{&mark}, dest...)...) })
		all, marks = append(all, d), append(marks, uint32(mark))
		return err
	})
	if err != nil || len(all) == 0 {
		return all, marks, err
	}
	return all, marks, tx.fill(org, all)
}

// QuietDevices returns up to limit devices of a presence that were last seen
// before t, the quietest first.
func (tx *Tx) QuietDevices(scope audit.Scope, p ringwall.Presence, t time.Time, limit int) ([]api.Device, error) {
	org, err := need(scope, audit.DeviceRead)
	if err != nil {
		return nil, err
	}
	all := []api.Device{}
	err = tx.rows(`SELECT `+deviceColumns+` FROM devices WHERE org = $1 AND presence = $2 AND seen < $3 ORDER BY seen LIMIT $4`,
		[]any{org, int64(p), micros(t), limit}, func(scan func(...any) error) error {
			d, err := tx.scanDevice(scan)
			all = append(all, d)
			return err
		})
	return all, err
}

// CountDevices counts the devices by grade, trust and presence.
func (tx *Tx) CountDevices(scope audit.Scope) (total int, byGrade, byTrust, byPresence map[string]int, err error) {
	org, err := need(scope, audit.DeviceRead)
	if err != nil {
		return 0, nil, nil, nil, err
	}
	byGrade, byTrust, byPresence = map[string]int{}, map[string]int{}, map[string]int{}
	err = tx.rows(`SELECT grade, trust, presence, COUNT(*) FROM devices WHERE org = $1 GROUP BY grade, trust, presence`, []any{org}, func(scan func(...any) error) error {
		var g, t, p int64
		var n int
		if err := scan(&g, &t, &p, &n); err != nil {
			return fail(err)
		}
		total += n
		byGrade[ringwall.Grade(g).String()] += n
		byTrust[ringwall.Trust(t).String()] += n
		byPresence[ringwall.Presence(p).String()] += n
		return nil
	})
	return total, byGrade, byTrust, byPresence, err
}

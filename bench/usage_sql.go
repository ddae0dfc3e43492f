package main

import (
	"fmt"
	"strings"
)

// schema are the tables of what is known, with columns and types that all peers
// understand.
var schema = map[string]string{
	"cards":   "imsi bigint, bound bigint, tariff integer, suspended bigint",
	"tariffs": "tariff integer, d integer, s integer, v integer, apn text, addresses integer, numbers integer, fixed integer, cap bigint, quiet bigint, hfrom integer, hto integer, places integer, mbytes bigint, mcalls bigint, mmessages bigint, daily integer",
	"peers":   "tariff integer, peer text",
	"homes":   "tariff integer, mcc integer",
	"risks":   "mcc integer",
	"areas":   "tariff integer, area integer",
	"pools":   "tariff integer, tac integer",
	"places":  "plmn integer, cell bigint, lat double precision, lon double precision, reach integer",
}

// recordColumns are those of the file of records.
const recordColumns = "id text, t bigint, imsi bigint, imei text, service text, direction text, peer text, apn text, up bigint, down bigint, area integer, cell bigint, secs integer, plmn integer, flags text"

// dialect is how a peer says what others say otherwise.
type dialect struct {
	div   func(a, b string) string // of whole numbers, rounded down
	least string
}

var plainDialect = dialect{div: func(a, b string) string { return "((" + a + ")/(" + b + "))" }, least: "least"}

// kmSQL is the distance on the sphere, in whole kilometres.
func (d dialect) kmSQL(lat1, lon1, lat2, lon2 string) string {
	a := fmt.Sprintf("sin(radians(%s-%s)/2)", lat2, lat1)
	b := fmt.Sprintf("sin(radians(%s-%s)/2)", lon2, lon1)
	h := fmt.Sprintf("%s*%s+cos(radians(%s))*cos(radians(%s))*%s*%s", a, a, lat1, lat2, b, b)
	return fmt.Sprintf("cast(round(2*6371*asin(sqrt(%s(%s,1.0)))) as bigint)", d.least, h)
}

// rulesSQL says the rules, over the table r of records and those of schema. What it
// leaves is the table answers(imsi, rule, day).
func (d dialect) rulesSQL() []string {
	day := d.div("t", "86400")
	say := func(rule, from string) string {
		return fmt.Sprintf("insert into answers select distinct imsi, '%s', day from %s", rule, from)
	}
	return []string{
		// What a rule needs of a record, beside what is known of its card and place.
		`create TABLEKIND e as select r.t, r.imsi, ` + day + ` as day, cast(substr(r.imei,1,14) as bigint) as imei, r.service, r.direction, r.peer, r.apn, r.up+r.down as vol, r.area, r.secs,
		 ` + d.div("r.plmn", "100") + ` as mcc, c.tariff, c.bound, c.suspended, p.lat, p.lon, p.reach,
		 f.d, f.s, f.v, f.apn as fapn, f.addresses, f.numbers, f.fixed, f.cap, f.quiet, f.hfrom, f.hto, f.places, f.mbytes, f.mcalls, f.mmessages, f.daily
		 from r join cards c on c.imsi=r.imsi join tariffs f on f.tariff=c.tariff left join places p on p.plmn=r.plmn and p.cell=r.cell`,
		`create TABLEKIND w as select imsi, day, t, fixed, quiet, lat, lon, reach, lag(t) over q as t0, lag(lat) over q as lat0, lag(lon) over q as lon0, lag(reach) over q as reach0
		 from e window q as (partition by imsi order by t)`,
		// Home of what does not move: where it was before its first change of place after
		// its first day with use.
		`create TABLEKIND f as select imsi, min(day) as first from (select imsi, day from e where fixed=1 group by imsi, day having sum(vol)>=2) x group by imsi`,
		`create TABLEKIND h as select imsi, t, lat0, lon0, reach0 from (select w.imsi, w.t, w.lat0, w.lon0, w.reach0, row_number() over (partition by w.imsi order by w.t) as n
		 from w join f on f.imsi=w.imsi where w.fixed=1 and w.day>f.first and w.t0 is not null and (w.lat<>w.lat0 or w.lon<>w.lon0)) x where n=1`,
		`create table answers (imsi bigint, rule text, day bigint)`,

		say("separation", "e where bound is not null and imei<>bound and not exists (select 1 from pools p where p.tariff=e.tariff and p.tac="+d.div("e.imei", "1000000")+")"),
		say("separation", "(select imsi, day, tariff, imei, first_value(imei) over (partition by imsi order by t) as first from e where bound is null) x where imei<>first and not exists (select 1 from pools p where p.tariff=x.tariff and p.tac="+d.div("x.imei", "1000000")+")"),
		say("sim-service", "e where (service='data' and d=0) or (service='sms' and s=0) or (service='voice' and v=0)"),
		say("sim-peer", "e where service='data' and ((addresses=1 and not exists (select 1 from peers p where p.tariff=e.tariff and p.peer=e.peer)) or (apn<>'' and apn<>fapn))"),
		say("sim-peer", "e where service<>'data' and numbers=1 and not exists (select 1 from peers p where p.tariff=e.tariff and p.peer=e.peer)"),
		say("sim-roaming", "e where not exists (select 1 from homes h where h.tariff=e.tariff and h.mcc=e.mcc) or exists (select 1 from risks k where k.mcc=e.mcc)"),
		say("sim-volume", "(select imsi, min(day) as day from e group by imsi, "+d.div("t", "3600")+" having sum(vol)>max(cap)) x"),
		say("sim-dormant", "w where t-t0>quiet"),
		say("sim-travel", "(select imsi, day, t, t0, reach, reach0, "+d.kmSQL("lat0", "lon0", "lat", "lon")+" as km from w where t0 is not null and (lat<>lat0 or lon<>lon0)) x"+
			fmt.Sprintf(" where km > %d+reach+reach0+2+%s", travelSlack, d.div(fmt.Sprintf("%d*(t-%s*64+64)", travelKMH, d.div("t0", "64")), "3600"))),
		say("sim-moved", "(select w.imsi, w.day, w.reach, h.reach0, "+d.kmSQL("h.lat0", "h.lon0", "w.lat", "w.lon")+" as km from w join h on h.imsi=w.imsi where w.t>=h.t) x"+
			fmt.Sprintf(" where km > %d+reach+reach0+2", movedKM)),
		say("sim-burst", fmt.Sprintf("(select imsi, min(day) as day from e where service='sms' and direction<>'mt' group by imsi, %s having count(*)>=%d) x", d.div("t", "3600"), messagesHour)),
		say("sim-burst", fmt.Sprintf("(select imsi, min(day) as day from e where service='voice' and direction<>'mt' group by imsi, %s having count(*)>=%d) x", d.div("t", "3600"), callsHour)),
		say("sim-burst", "(select imsi, day from e where service='sms' and direction<>'mt' group by imsi, day having count(*)>=max(daily)) x"),
		say("sim-burst", "(select imsi, day from e where service='voice' and direction<>'mt' group by imsi, day having count(*)>=max(daily)) x"),
		say("sim-burst", fmt.Sprintf("(select imsi, day from e where service='voice' group by imsi, day having sum(%s)>=%d) x", d.div("secs", "15"), 4*minutesDay)),
		say("sim-burst", fmt.Sprintf("e where service='voice' and %s>=%d", d.div("secs", "60"), callMinutes)),
		say("sim-lifecycle", fmt.Sprintf("e where suspended is not null and t>=suspended+%d", graceMinutes*60)),
		// All windows of hours begin in the evening (UTC) and end in the afternoon.
		say("sim-hours", "e where hfrom>=0 and "+d.div("t", "3600")+"%24>=hto and "+d.div("t", "3600")+"%24<hfrom"),
		say("sim-place", "e where places=1 and not exists (select 1 from areas a where a.tariff=e.tariff and a.area=e.area)"),
		say("sim-quota", "(select imsi, day, mbytes, mcalls, mmessages, sum(vol) over q as b, sum(case when service='voice' then 1 else 0 end) over q as c, sum(case when service='sms' then 1 else 0 end) over q as m "+
			"from e where mbytes>0 or mcalls>0 or mmessages>0 window q as (partition by imsi, MONTHOF order by t)) x "+
			"where (mbytes>0 and b>mbytes) or (mcalls>0 and c>mcalls) or (mmessages>0 and m>mmessages)"),
	}
}

// script fills in what differs by peer.
func (d dialect) script(tableKind, month string) []string {
	r := strings.NewReplacer("TABLEKIND", tableKind, "MONTHOF", month)
	out := d.rulesSQL()
	for i := range out {
		out[i] = r.Replace(out[i])
	}
	return out
}

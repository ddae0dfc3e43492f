package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

// clickhouse starts a server of its own, with tables in memory, loads and asks on
// one thread, and stops it. Its time is that of the server and of the clients.
func clickhouse(ctx context.Context, dir, out string) (s cost, err error) {
	bin, err := program("clickhouse-server")
	if err != nil {
		return s, err
	}
	talk, err := program("clickhouse-client")
	if err != nil {
		return s, err
	}
	b, err := exec.CommandContext(ctx, talk, "--version").Output()
	if err != nil {
		return s, fmt.Errorf("%s: %w", talk, err)
	}
	s.Version = strings.Trim(strings.TrimPrefix(string(b), "ClickHouse client version "), ".\n ")
	tmp, err := os.MkdirTemp("", "usage-clickhouse-*")
	if err != nil {
		return s, err
	}
	defer os.RemoveAll(tmp)
	if err := os.Chmod(tmp, 0o755); err != nil {
		return s, err
	}
	port, err := freePort()
	if err != nil {
		return s, err
	}
	if err := errors.Join(os.WriteFile(filepath.Join(tmp, "config.xml"), fmt.Appendf(nil, clickhouseConfig, port, tmp), 0o644),
		os.WriteFile(filepath.Join(tmp, "users.xml"), []byte(clickhouseUsers), 0o644)); err != nil {
		return s, err
	}
	var talked float64
	client := func(query, in, to string) error {
		cmd := exec.CommandContext(ctx, talk, "--port", strconv.Itoa(port), "--multiquery", "--query", query)
		var said bytes.Buffer
		cmd.Stderr, cmd.Stdout = &said, &said
		if in != "" {
			f, err := os.Open(in)
			if err != nil {
				return err
			}
			defer f.Close()
			cmd.Stdin = f
		}
		if to != "" {
			f, err := os.Create(to)
			if err != nil {
				return err
			}
			defer f.Close()
			cmd.Stdout = f
		}
		if err := cmd.Run(); err != nil {
			return fmt.Errorf("%.120s: %w: %.500s", strings.ReplaceAll(query, "\n", " "), err, said.String())
		}
		t, _ := used(cmd.ProcessState)
		talked += t
		return nil
	}
	cmd := exec.Command(bin, "--config-file="+filepath.Join(tmp, "config.xml"))
	cmd.Env = append(os.Environ(), "TZ=UTC")
	server, err := startServer(cmd, tmp, syscall.SIGTERM, func() error { return client("select 1", "", "") })
	if err != nil {
		return s, err
	}
	defer server.stop() // when something fails
	talked = 0
	spent := func() (t float64, err error) {
		t, err = server.spent()
		return t + talked, err
	}
	start, err := spent()
	if err != nil {
		return s, err
	}
	for name, columns := range clickhouseSchema {
		if err := client(fmt.Sprintf("create table %s (%s) engine=Memory", name, columns), "", ""); err != nil {
			return s, err
		}
		file, format := filepath.Join(dir, name+".csv"), "CSV"
		if name == "r" {
			file, format = filepath.Join(dir, "records.csv"), "CSVWithNames"
		}
		if info, err := os.Stat(file); err != nil {
			return s, err
		} else if info.Size() == 0 {
			continue
		}
		if err := client(fmt.Sprintf("insert into %s format %s", name, format), file, ""); err != nil {
			return s, err
		}
	}
	loaded, err := spent()
	if err != nil {
		return s, err
	}
	s.Load = loaded - start
	for _, q := range clickhouseRules() {
		if err := client(q, "", ""); err != nil {
			return s, err
		}
	}
	if err := client("select distinct concat(toString(imsi), ',', rule, ',', toString(day)) from answers format TSVRaw", "", out); err != nil {
		return s, err
	}
	done, err := spent()
	if err != nil {
		return s, err
	}
	s.Rules = done - loaded
	if err := server.stop(); err != nil {
		return s, err
	}
	s.Peak = server.peak()
	return s, nil
}

// freePort is a port that nobody listens on now.
func freePort() (int, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	return l.Addr().(*net.TCPAddr).Port, l.Close()
}

// clickhouseConfig is a server for one client: %d is its port, %s its directory.
const clickhouseConfig = `<yandex><logger><level>warning</level><console>1</console></logger><tcp_port>%d</tcp_port><listen_host>127.0.0.1</listen_host>
<path>%[2]s/data/</path><tmp_path>%[2]s/tmp/</tmp_path><users_config>%[2]s/users.xml</users_config><default_profile>default</default_profile><default_database>default</default_database>
<mark_cache_size>5368709</mark_cache_size><timezone>UTC</timezone></yandex>
`

const clickhouseUsers = `<yandex><profiles><default><max_threads>1</max_threads><max_memory_usage>16000000000</max_memory_usage><log_queries>0</log_queries></default></profiles>
<users><default><password></password><networks><ip>127.0.0.1</ip></networks><profile>default</profile><quota>default</quota></default></users>
<quotas><default></default></quotas></yandex>
`

// clickhouseSchema is schema in its types. What is unknown of a card is NULL in the
// files; what cannot be known of a place is told by its column located. Names
// that two tables share would be joined by, so tariffs have their own.
var clickhouseSchema = map[string]string{
	"cards": "imsi Int64, bound Nullable(Int64), tariff Int32, suspended Nullable(Int64)",
	"tariffs": "tariff Int32, d Int8, s Int8, v Int8, fapn String, addresses Int8, numbers Int8, fixed Int8, cap Int64, quiet Int64, hfrom Int32, hto Int32, places Int8, mbytes Int64, " +
		"mcalls Int64, mmessages Int64, daily Int32",
	"peers":  "tariff Int32, peer String",
	"homes":  "tariff Int32, mcc Int32",
	"risks":  "mcc Int32",
	"areas":  "tariff Int32, area Int32",
	"pools":  "tariff Int32, tac Int32",
	"places": "plmn Int32, cell Int64, lat Float64, lon Float64, reach Int32",
	"r": "id String, t Int64, imsi Int64, imei String, service String, direction String, peer String, apn String, up Int64, down Int64, area Int32, cell Int64, secs Int32, plmn Int32, " +
		"flags String",
}

// clickhouseRules are the rules of rulesSQL as the version that Debian has can say
// them: it has no window functions (they came with 21.1), no subqueries that refer
// to the row and one join a query, but arrays.
func clickhouseRules() []string {
	km := func(lat1, lon1, lat2, lon2 string) string {
		rad := func(s string) string { return "((" + s + ")*pi()/180)" }
		a, b := "sin("+rad(lat2+"-"+lat1)+"/2)", "sin("+rad(lon2+"-"+lon1)+"/2)"
		return fmt.Sprintf("toInt64(round(2*6371*asin(sqrt(least(%s*%s+cos(%s)*cos(%s)*%s*%s, 1.0)))))", a, a, rad(lat1), rad(lat2), b, b)
	}
	say := func(rule, from string) string {
		return fmt.Sprintf("insert into answers select distinct imsi, '%s', day from %s", rule, from)
	}
	const tac = "(tariff, toInt32(intDiv(imei, 1000000)))"
	return []string{
		`create table e engine=Memory as select t, imsi, intDiv(t,86400) as day, toInt64(substring(imei,1,14)) as imei, service, direction, peer, apn, up+down as vol, area, secs,
		 toInt32(intDiv(plmn,100)) as mcc, tariff, ifNull(bound,0) as bound, ifNull(suspended,0) as suspended, lat, lon, reach, located,
		 d, s, v, fapn, addresses, numbers, fixed, cap, quiet, hfrom, hto, places, mbytes, mcalls, mmessages, daily
		 from (select * from (select * from r any inner join cards using imsi) any inner join tariffs using tariff)
		 any left join (select plmn, cell, lat, lon, reach, toUInt8(1) as located from places) using plmn, cell`,
		`create table w engine=Memory as select imsi, fixed, quiet, t, day, lat, lon, reach, located, t0, lat0, lon0, reach0, located0 from
		 (select imsi, any(fixed) as fixed, any(quiet) as quiet, groupArray(t) as ts, groupArray(day) as days, groupArray(lat) as lats, groupArray(lon) as lons, groupArray(reach) as reaches,
		 groupArray(located) as known from (select imsi, fixed, quiet, t, day, lat, lon, reach, located from e order by imsi, t) group by imsi)
		 array join ts as t, days as day, lats as lat, lons as lon, reaches as reach, known as located, arrayPushFront(arrayPopBack(ts), toInt64(-1)) as t0,
		 arrayPushFront(arrayPopBack(lats), 0.) as lat0, arrayPushFront(arrayPopBack(lons), 0.) as lon0, arrayPushFront(arrayPopBack(reaches), toInt32(0)) as reach0,
		 arrayPushFront(arrayPopBack(known), toUInt8(0)) as located0`,
		`create table f engine=Memory as select imsi, min(day) as first from (select imsi, day from e where fixed=1 group by imsi, day having sum(vol)>=2) group by imsi`,
		`create table h engine=Memory as select imsi, min(t) as th, argMin(lat0,t) as hlat, argMin(lon0,t) as hlon, argMin(reach0,t) as hreach from
		 (select * from w any inner join f using imsi) where fixed=1 and day>first and t0>=0 and located=1 and located0=1 and (lat<>lat0 or lon<>lon0) group by imsi`,
		`create table answers (imsi Int64, rule String, day Int64) engine=Memory`,

		say("separation", "e where bound<>0 and imei<>bound and "+tac+" not in (select tariff, tac from pools)"),
		say("separation", "(select imsi, day, tariff, imei, first from (select * from e where bound=0) any inner join (select imsi, argMin(imei,t) as first from e where bound=0 group by imsi) using imsi) where imei<>first and "+tac+" not in (select tariff, tac from pools)"),
		say("sim-service", "e where (service='data' and d=0) or (service='sms' and s=0) or (service='voice' and v=0)"),
		say("sim-peer", "e where service='data' and ((addresses=1 and (tariff, peer) not in (select tariff, peer from peers)) or (apn<>'' and apn<>fapn))"),
		say("sim-peer", "e where service<>'data' and numbers=1 and (tariff, peer) not in (select tariff, peer from peers)"),
		say("sim-roaming", "e where (tariff, mcc) not in (select tariff, mcc from homes) or mcc in (select mcc from risks)"),
		say("sim-volume", "(select imsi, min(day) as day from e group by imsi, intDiv(t,3600) having sum(vol)>max(cap))"),
		say("sim-dormant", "w where t0>=0 and t-t0>quiet"),
		say("sim-travel", "(select imsi, day, t, t0, reach, reach0, "+km("lat0", "lon0", "lat", "lon")+" as km from w where t0>=0 and located=1 and located0=1 and (lat<>lat0 or lon<>lon0))"+
			fmt.Sprintf(" where km > %d+reach+reach0+2+intDiv(%d*(t-intDiv(t0,64)*64+64),3600)", travelSlack, travelKMH)),
		say("sim-moved", "(select imsi, day, reach, hreach, "+km("hlat", "hlon", "lat", "lon")+" as km from (select * from w any inner join h using imsi) where t>=th and located=1)"+
			fmt.Sprintf(" where km > %d+reach+hreach+2", movedKM)),
		say("sim-burst", fmt.Sprintf("(select imsi, min(day) as day from e where service='sms' and direction<>'mt' group by imsi, intDiv(t,3600) having count()>=%d)", messagesHour)),
		say("sim-burst", fmt.Sprintf("(select imsi, min(day) as day from e where service='voice' and direction<>'mt' group by imsi, intDiv(t,3600) having count()>=%d)", callsHour)),
		say("sim-burst", "(select imsi, day from e where service='sms' and direction<>'mt' group by imsi, day having count()>=max(daily))"),
		say("sim-burst", "(select imsi, day from e where service='voice' and direction<>'mt' group by imsi, day having count()>=max(daily))"),
		say("sim-burst", fmt.Sprintf("(select imsi, day from e where service='voice' group by imsi, day having sum(intDiv(secs,15))>=%d)", 4*minutesDay)),
		say("sim-burst", fmt.Sprintf("e where service='voice' and intDiv(secs,60)>=%d", callMinutes)),
		say("sim-lifecycle", fmt.Sprintf("e where suspended<>0 and t>=suspended+%d", graceMinutes*60)),
		say("sim-hours", "e where hfrom>=0 and intDiv(t,3600)%24>=hto and intDiv(t,3600)%24<hfrom"),
		say("sim-place", "e where places=1 and (tariff, area) not in (select tariff, area from areas)"),
		say("sim-quota", "(select imsi, day, mbytes, mcalls, mmessages, b, c, m from (select imsi, any(mbytes) as mbytes, any(mcalls) as mcalls, any(mmessages) as mmessages, groupArray(day) as days, "+
			"arrayCumSum(groupArray(vol)) as bs, arrayCumSum(groupArray(toInt64(service='voice'))) as cs, arrayCumSum(groupArray(toInt64(service='sms'))) as ms from "+
			"(select imsi, t, day, mbytes, mcalls, mmessages, vol, service from e where mbytes>0 or mcalls>0 or mmessages>0 order by imsi, t) group by imsi, toStartOfMonth(toDateTime(t))) "+
			"array join days as day, bs as b, cs as c, ms as m) where (mbytes>0 and b>mbytes) or (mcalls>0 and c>mcalls) or (mmessages>0 and m>mmessages)"),
	}
}

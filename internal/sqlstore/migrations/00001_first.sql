-- +goose Up
-- Every key and every index begins with the organisation: no query can be
-- written that finds another organisation's row by accident.
-- Times are microseconds since 1970 in UTC, 0 = never. Booleans are 0 and 1.
-- Documents (doc) are JSON of the type that the method beside them names;
-- columns beside a doc are what queries need and are written with it.

CREATE TABLE orgs (
  id      TEXT   NOT NULL PRIMARY KEY,
  name    TEXT   NOT NULL,
  created BIGINT NOT NULL
);

CREATE TABLE party (
  org     TEXT NOT NULL REFERENCES orgs (id),
  subject TEXT NOT NULL,
  part    TEXT NOT NULL,
  PRIMARY KEY (org, subject, part)
);

CREATE TABLE users (
  org     TEXT   NOT NULL REFERENCES orgs (id),
  id      TEXT   NOT NULL,
  name    TEXT   NOT NULL,
  hash    TEXT   NOT NULL,
  created BIGINT NOT NULL,
  PRIMARY KEY (org, id)
);
CREATE UNIQUE INDEX users_by_name ON users (org, name);

CREATE TABLE tokens (
  org     TEXT   NOT NULL REFERENCES orgs (id),
  id      TEXT   NOT NULL,
  name    TEXT   NOT NULL,
  hash    BLOB   NOT NULL,
  made_by TEXT   NOT NULL,
  created BIGINT NOT NULL,
  expires BIGINT NOT NULL,
  PRIMARY KEY (org, id)
);

CREATE TABLE enrol_tokens (
  org     TEXT   NOT NULL REFERENCES orgs (id),
  id      TEXT   NOT NULL,
  hash    BLOB   NOT NULL,
  created BIGINT NOT NULL,
  expires BIGINT NOT NULL,
  used    BIGINT NOT NULL,
  gateway TEXT   NOT NULL,
  PRIMARY KEY (org, id)
);

CREATE TABLE sessions (
  org     TEXT   NOT NULL REFERENCES orgs (id),
  id      TEXT   NOT NULL,
  subject TEXT   NOT NULL,
  hash    BLOB   NOT NULL,
  created BIGINT NOT NULL,
  expires BIGINT NOT NULL,
  PRIMARY KEY (org, id)
);
CREATE INDEX sessions_by_expiry ON sessions (org, expires);

CREATE TABLE gateways (
  org       TEXT   NOT NULL REFERENCES orgs (id),
  id        TEXT   NOT NULL,
  name      TEXT   NOT NULL,
  seen      BIGINT NOT NULL,
  online    BIGINT NOT NULL,
  serial    TEXT   NOT NULL, -- of the certificate that counts
  next_mark BIGINT NOT NULL, -- marks are never given twice on one gateway
  doc       TEXT   NOT NULL,
  PRIMARY KEY (org, id)
);

CREATE TABLE devices (
  org      TEXT   NOT NULL REFERENCES orgs (id),
  id       TEXT   NOT NULL,
  gateway  TEXT   NOT NULL,
  mac      TEXT   NOT NULL,
  ip       TEXT   NOT NULL,
  mark     BIGINT NOT NULL,
  name     TEXT   NOT NULL,
  type     TEXT   NOT NULL,
  sim      TEXT   NOT NULL,
  presence BIGINT NOT NULL,
  seen     BIGINT NOT NULL,
  grade    BIGINT NOT NULL,
  trust    BIGINT NOT NULL,
  enrolled BIGINT NOT NULL,
  version  BIGINT NOT NULL,
  search   TEXT   NOT NULL, -- what a person may look for, in lower case
  doc      TEXT   NOT NULL,
  state    BLOB,             -- of package trust, which alone reads it
  PRIMARY KEY (org, id)
);
CREATE INDEX devices_by_name ON devices (org, name, id);
CREATE INDEX devices_by_mac ON devices (org, mac);
CREATE UNIQUE INDEX devices_by_mark ON devices (org, gateway, mark);
CREATE INDEX devices_by_seen ON devices (org, presence, seen);
CREATE INDEX devices_by_sim ON devices (org, sim);

CREATE TABLE peers (
  org    TEXT   NOT NULL,
  device TEXT   NOT NULL,
  peer   TEXT   NOT NULL, -- direction, other end, protocol and port
  first  BIGINT NOT NULL,
  doc    TEXT   NOT NULL,
  PRIMARY KEY (org, device, peer),
  FOREIGN KEY (org, device) REFERENCES devices (org, id)
);

CREATE TABLE terms (
  org    TEXT NOT NULL,
  device TEXT NOT NULL,
  doc    TEXT NOT NULL, -- the owner's terms, all of them
  PRIMARY KEY (org, device),
  FOREIGN KEY (org, device) REFERENCES devices (org, id)
);

CREATE TABLE sims (
  org        TEXT   NOT NULL REFERENCES orgs (id),
  id         TEXT   NOT NULL,
  imsi_key   BLOB   NOT NULL, -- keyed hash, to find a card without reading it
  iccid_key  BLOB   NOT NULL,
  imsi       BLOB   NOT NULL, -- sealed
  iccid      BLOB   NOT NULL, -- sealed
  imei       BLOB,            -- sealed: the equipment it is bound to
  seen_imei  BLOB,            -- sealed: the equipment it was last seen in
  device     TEXT   NOT NULL,
  state      TEXT   NOT NULL,
  doc        TEXT   NOT NULL, -- masked
  usage      BLOB,            -- of package usage, which alone reads it; sealed
  PRIMARY KEY (org, id)
);
CREATE UNIQUE INDEX sims_by_imsi ON sims (org, imsi_key);
CREATE UNIQUE INDEX sims_by_iccid ON sims (org, iccid_key);
CREATE INDEX sims_by_device ON sims (org, device);

CREATE TABLE assessments (
  org    TEXT   NOT NULL REFERENCES orgs (id),
  id     TEXT   NOT NULL,
  device TEXT   NOT NULL,
  ended  BIGINT NOT NULL,  -- 0 = under way
  started BIGINT NOT NULL,
  doc    TEXT   NOT NULL,
  PRIMARY KEY (org, id)
);
CREATE INDEX assessments_by_device ON assessments (org, device, started);

CREATE TABLE findings (
  org       TEXT   NOT NULL,
  device    TEXT   NOT NULL,
  indicator TEXT   NOT NULL,
  time      BIGINT NOT NULL,
  doc       TEXT   NOT NULL,
  PRIMARY KEY (org, device, indicator),
  FOREIGN KEY (org, device) REFERENCES devices (org, id)
);

CREATE TABLE incidents (
  org     TEXT   NOT NULL REFERENCES orgs (id),
  id      TEXT   NOT NULL,
  kind    TEXT   NOT NULL, -- of the subject
  subject TEXT   NOT NULL,
  open    BIGINT NOT NULL, -- 0 = over, 1 = only watched, 2 = open
  opened  BIGINT NOT NULL,
  updated BIGINT NOT NULL,
  doc     TEXT   NOT NULL,
  state   BLOB,            -- of package incident, which alone reads it
  PRIMARY KEY (org, id)
);
CREATE INDEX incidents_by_update ON incidents (org, updated);
CREATE INDEX incidents_by_subject ON incidents (org, kind, subject, open);
CREATE INDEX incidents_open ON incidents (org, open, updated);

CREATE TABLE alerts (
  org      TEXT   NOT NULL REFERENCES orgs (id),
  id       TEXT   NOT NULL,
  kind     TEXT   NOT NULL,
  subject  TEXT   NOT NULL,
  time     BIGINT NOT NULL,
  incident TEXT   NOT NULL,
  doc      TEXT   NOT NULL,
  PRIMARY KEY (org, id)
);
CREATE INDEX alerts_by_subject ON alerts (org, kind, subject, time);
CREATE INDEX alerts_by_incident ON alerts (org, incident, time);

CREATE TABLE responses (
  org      TEXT   NOT NULL REFERENCES orgs (id),
  id       TEXT   NOT NULL,
  incident TEXT   NOT NULL,
  kind     TEXT   NOT NULL, -- of the target
  target   TEXT   NOT NULL,
  status   TEXT   NOT NULL,
  made     BIGINT NOT NULL,
  expires  BIGINT NOT NULL,
  doc      TEXT   NOT NULL,
  PRIMARY KEY (org, id)
);
CREATE INDEX responses_by_made ON responses (org, made);
CREATE INDEX responses_by_incident ON responses (org, incident, made);
CREATE INDEX responses_by_target ON responses (org, kind, target, made);
CREATE INDEX responses_by_status ON responses (org, status, expires);

CREATE TABLE holds (
  org      TEXT   NOT NULL,
  id       TEXT   NOT NULL,
  device   TEXT   NOT NULL,
  gateway  TEXT   NOT NULL,
  local    BIGINT NOT NULL, -- made by the gateway itself
  made     BIGINT NOT NULL,
  expires  BIGINT NOT NULL,
  released BIGINT NOT NULL, -- when a person or rule lifted it
  by_whom  TEXT   NOT NULL, -- who did
  lifted   BIGINT NOT NULL, -- when the gateway reported it gone
  doc      TEXT   NOT NULL,
  PRIMARY KEY (org, id)
);
CREATE INDEX holds_by_device ON holds (org, device, lifted);
CREATE INDEX holds_by_gateway ON holds (org, gateway, lifted);

CREATE TABLE desired (
  org        TEXT   NOT NULL,
  gateway    TEXT   NOT NULL,
  generation BIGINT NOT NULL,
  digest     TEXT   NOT NULL, -- of the content without generation and time
  doc        TEXT   NOT NULL, -- signed
  PRIMARY KEY (org, gateway),
  FOREIGN KEY (org, gateway) REFERENCES gateways (org, id)
);

CREATE TABLE events (
  org     TEXT   NOT NULL REFERENCES orgs (id),
  id      TEXT   NOT NULL,
  kind    TEXT   NOT NULL, -- of the subject
  subject TEXT   NOT NULL,
  time    BIGINT NOT NULL,
  doc     TEXT   NOT NULL,
  PRIMARY KEY (org, id)
);
CREATE INDEX events_by_subject ON events (org, kind, subject, time, id);
CREATE INDEX events_by_time ON events (org, time, id);

CREATE TABLE outbox (
  org   TEXT   NOT NULL,
  n     BIGINT NOT NULL, -- order within the organisation
  event TEXT   NOT NULL,
  PRIMARY KEY (org, n),
  FOREIGN KEY (org, event) REFERENCES events (org, id)
);

CREATE TABLE outbox_count (
  org TEXT   NOT NULL PRIMARY KEY,
  n   BIGINT NOT NULL
);

CREATE TABLE consumed (
  org      TEXT   NOT NULL,
  consumer TEXT   NOT NULL,
  event    TEXT   NOT NULL,
  at       BIGINT NOT NULL,
  PRIMARY KEY (org, consumer, event)
);
CREATE INDEX consumed_by_time ON consumed (org, consumer, at);

-- What belongs to the platform itself has org ''.
CREATE TABLE settings (
  org   TEXT NOT NULL,
  name  TEXT NOT NULL,
  value TEXT NOT NULL,
  PRIMARY KEY (org, name)
);

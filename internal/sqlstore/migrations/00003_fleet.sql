-- +goose Up
-- Named sets of devices. Who is in one by name stands in group_members; who is
-- in it by a selector or by its gateway is worked out when it is asked.
CREATE TABLE device_groups (
  org     TEXT   NOT NULL REFERENCES orgs (id),
  id      TEXT   NOT NULL,
  name    TEXT   NOT NULL,
  version BIGINT NOT NULL,
  doc     TEXT   NOT NULL,
  PRIMARY KEY (org, id)
);
CREATE UNIQUE INDEX device_groups_by_name ON device_groups (org, name);

CREATE TABLE group_members (
  org    TEXT NOT NULL,
  grp    TEXT NOT NULL,
  device TEXT NOT NULL,
  PRIMARY KEY (org, grp, device),
  FOREIGN KEY (org, grp) REFERENCES device_groups (org, id),
  FOREIGN KEY (org, device) REFERENCES devices (org, id)
);
CREATE INDEX group_members_by_device ON group_members (org, device);

-- Changes of policy that are put in force by stages.
CREATE TABLE rollouts (
  org    TEXT   NOT NULL REFERENCES orgs (id),
  id     TEXT   NOT NULL,
  status TEXT   NOT NULL,
  made   BIGINT NOT NULL,
  doc    TEXT   NOT NULL,
  PRIMARY KEY (org, id)
);
CREATE INDEX rollouts_by_status ON rollouts (org, status);

-- Settings of sites, by name; every version is kept.
CREATE TABLE templates (
  org     TEXT   NOT NULL REFERENCES orgs (id),
  id      TEXT   NOT NULL,
  name    TEXT   NOT NULL,
  version BIGINT NOT NULL,
  doc     TEXT   NOT NULL,
  PRIMARY KEY (org, id)
);
CREATE UNIQUE INDEX templates_by_name ON templates (org, name);

CREATE TABLE template_versions (
  org      TEXT   NOT NULL,
  template TEXT   NOT NULL,
  version  BIGINT NOT NULL,
  doc      TEXT   NOT NULL,
  PRIMARY KEY (org, template, version),
  FOREIGN KEY (org, template) REFERENCES templates (org, id)
);

-- What an enrolment token gives: bulk = 1 is one that is good for every line of
-- its manifest, once each.
ALTER TABLE enrol_tokens ADD COLUMN bulk BIGINT NOT NULL DEFAULT 0;
CREATE TABLE enrol_lines (
  org     TEXT   NOT NULL,
  token   TEXT   NOT NULL,
  line    BIGINT NOT NULL,
  serial  TEXT   NOT NULL,
  name    TEXT   NOT NULL,
  used    BIGINT NOT NULL,
  gateway TEXT   NOT NULL,
  doc     TEXT   NOT NULL,
  PRIMARY KEY (org, token, line),
  FOREIGN KEY (org, token) REFERENCES enrol_tokens (org, id)
);
CREATE INDEX enrol_lines_by_serial ON enrol_lines (org, token, serial);
CREATE INDEX enrol_lines_by_name ON enrol_lines (org, token, name);

-- What gateways noticed, the newest of each kind about each device.
CREATE TABLE notices (
  org     TEXT   NOT NULL,
  gateway TEXT   NOT NULL,
  kind    TEXT   NOT NULL,
  about   TEXT   NOT NULL, -- device or MAC; '' = the gateway itself
  first   BIGINT NOT NULL,
  last    BIGINT NOT NULL,
  count   BIGINT NOT NULL,
  doc     TEXT   NOT NULL,
  PRIMARY KEY (org, gateway, kind, about),
  FOREIGN KEY (org, gateway) REFERENCES gateways (org, id)
);
CREATE INDEX notices_by_time ON notices (org, gateway, last);

-- Usage descriptions of devices (RFC 8520): what is known of each, and the file.
CREATE TABLE muds (
  org    TEXT   NOT NULL,
  device TEXT   NOT NULL,
  next   BIGINT NOT NULL, -- when it is to be fetched again; 0 = never
  doc    TEXT   NOT NULL,
  file   BLOB,
  PRIMARY KEY (org, device),
  FOREIGN KEY (org, device) REFERENCES devices (org, id)
);
CREATE INDEX muds_by_next ON muds (org, next);

-- What a SIM may be used for; every version is kept, to go back to.
CREATE TABLE sim_profiles (
  org     TEXT   NOT NULL,
  sim     TEXT   NOT NULL,
  version BIGINT NOT NULL,
  made    BIGINT NOT NULL,
  asked   BIGINT NOT NULL, -- 1 = the operator is still to be asked
  doc     TEXT   NOT NULL,
  PRIMARY KEY (org, sim, version),
  FOREIGN KEY (org, sim) REFERENCES sims (org, id)
);
CREATE INDEX sim_profiles_asked ON sim_profiles (org, asked);

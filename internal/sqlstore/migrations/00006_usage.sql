-- +goose Up
-- What cards are found and counted by. The backfill reads documents as SQLite
-- does; a database of another kind begins with this schema.
ALTER TABLE sims ADD COLUMN customer TEXT NOT NULL DEFAULT '';
ALTER TABLE sims ADD COLUMN tariff TEXT NOT NULL DEFAULT '';
ALTER TABLE sims ADD COLUMN seller TEXT NOT NULL DEFAULT '';
ALTER TABLE sims ADD COLUMN area TEXT NOT NULL DEFAULT '';
ALTER TABLE sims ADD COLUMN last_used BIGINT NOT NULL DEFAULT 0;
ALTER TABLE sims ADD COLUMN separated BIGINT NOT NULL DEFAULT 0;
-- When what its records are judged by last changed.
ALTER TABLE sims ADD COLUMN changed BIGINT NOT NULL DEFAULT 0;
-- What it used over time and where: package usage/curve.
ALTER TABLE sims ADD COLUMN curve BLOB;
UPDATE sims SET
  last_used = COALESCE(CAST(strftime('%s', json_extract(doc, '$.lastUsage')) AS BIGINT), 0) * 1000000,
  separated = COALESCE(CAST(strftime('%s', json_extract(doc, '$.separated')) AS BIGINT), 0) * 1000000;
CREATE INDEX sims_by_customer ON sims (org, customer, id);
CREATE INDEX sims_by_seller ON sims (org, seller, id);
CREATE INDEX sims_by_state ON sims (org, state, id);
CREATE INDEX sims_by_use ON sims (org, last_used, id);
CREATE INDEX sims_by_change ON sims (org, changed);
CREATE INDEX sims_by_area ON sims (org, area);
CREATE INDEX sims_separated ON sims (org, separated);

-- What rules said of cards, and what people made of it.
CREATE TABLE sim_alerts (
  org         TEXT   NOT NULL,
  id          TEXT   NOT NULL,
  sim         TEXT   NOT NULL,
  customer    TEXT   NOT NULL,
  seller      TEXT   NOT NULL,
  rule        TEXT   NOT NULL,
  severity    BIGINT NOT NULL,
  time        BIGINT NOT NULL,
  area        TEXT   NOT NULL,
  muted       TEXT   NOT NULL,
  disposition TEXT   NOT NULL,
  doc         TEXT   NOT NULL,
  PRIMARY KEY (org, id),
  FOREIGN KEY (org, sim) REFERENCES sims (org, id)
);
CREATE INDEX sim_alerts_by_sim ON sim_alerts (org, sim, time, id);
CREATE INDEX sim_alerts_by_time ON sim_alerts (org, time, id);
CREATE INDEX sim_alerts_by_customer ON sim_alerts (org, customer, time);
CREATE INDEX sim_alerts_by_seller ON sim_alerts (org, seller, time);

-- What usage records are judged by; every version is kept.
CREATE TABLE usage_settings (
  org      TEXT   NOT NULL REFERENCES orgs (id),
  customer TEXT   NOT NULL,
  tariff   TEXT   NOT NULL,
  version  BIGINT NOT NULL,
  made     BIGINT NOT NULL,
  doc      TEXT   NOT NULL,
  PRIMARY KEY (org, customer, tariff, version)
);

CREATE TABLE usage_exceptions (
  org      TEXT   NOT NULL REFERENCES orgs (id),
  id       TEXT   NOT NULL,
  kind     TEXT   NOT NULL,
  sim      TEXT   NOT NULL, -- '' = of a customer, or of all
  customer TEXT   NOT NULL,
  until    BIGINT NOT NULL, -- when it ends or was ended
  made     BIGINT NOT NULL,
  imei     BLOB,            -- of a planned swap, sealed
  doc      TEXT   NOT NULL,
  PRIMARY KEY (org, id)
);
CREATE INDEX usage_exceptions_by_end ON usage_exceptions (org, until);
CREATE INDEX usage_exceptions_by_time ON usage_exceptions (org, made, id);

CREATE TABLE imei_pools (
  org   TEXT NOT NULL REFERENCES orgs (id),
  name  TEXT NOT NULL,
  imeis BLOB, -- sealed
  doc   TEXT NOT NULL,
  PRIMARY KEY (org, name)
);

CREATE TABLE usage_areas (
  org  TEXT NOT NULL REFERENCES orgs (id),
  area TEXT NOT NULL,
  doc  TEXT NOT NULL,
  PRIMARY KEY (org, area)
);

-- To whom warnings go, and those that are on their way.
CREATE TABLE warning_routes (
  org    TEXT NOT NULL REFERENCES orgs (id),
  id     TEXT NOT NULL,
  secret BLOB NOT NULL, -- sealed
  doc    TEXT NOT NULL,
  PRIMARY KEY (org, id)
);
CREATE TABLE warnings (
  org   TEXT   NOT NULL,
  id    TEXT   NOT NULL,
  route TEXT   NOT NULL,
  made  BIGINT NOT NULL,
  next  BIGINT NOT NULL, -- when it is tried; 0 = no more
  state TEXT   NOT NULL,
  doc   TEXT   NOT NULL,
  body  TEXT   NOT NULL,
  PRIMARY KEY (org, id),
  FOREIGN KEY (org, route) REFERENCES warning_routes (org, id)
);
CREATE INDEX warnings_due ON warnings (org, next);
CREATE INDEX warnings_by_time ON warnings (org, made, id);

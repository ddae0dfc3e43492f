-- +goose Up
-- An answer stands beside those of other sources, no longer in their place:
-- which of them counts is decided when a grade is reckoned. origin is the
-- source of the examination that an answer came with.
CREATE TABLE answers (
  org       TEXT   NOT NULL,
  device    TEXT   NOT NULL,
  origin    TEXT   NOT NULL,
  indicator TEXT   NOT NULL,
  source    TEXT   NOT NULL,
  time      BIGINT NOT NULL,
  doc       TEXT   NOT NULL,
  PRIMARY KEY (org, device, origin, indicator, source),
  FOREIGN KEY (org, device) REFERENCES devices (org, id)
);
INSERT INTO answers (org, device, origin, indicator, source, time, doc)
  SELECT org, device, CASE WHEN indicator = 'observed-compromise' THEN 'incident' ELSE 'probe' END, indicator, '', time, doc FROM findings;
DROP TABLE findings;

-- The newest examination of each source; what it answers is in answers.
CREATE TABLE examinations (
  org    TEXT   NOT NULL,
  device TEXT   NOT NULL,
  source TEXT   NOT NULL,
  id     TEXT   NOT NULL,
  kind   TEXT   NOT NULL,
  made   BIGINT NOT NULL,
  doc    TEXT   NOT NULL,
  PRIMARY KEY (org, device, source),
  FOREIGN KEY (org, device) REFERENCES devices (org, id)
);

-- Marks of secrets, to find the same one in two devices. No secret is here.
CREATE TABLE secrets (
  org    TEXT NOT NULL,
  mark   TEXT NOT NULL,
  device TEXT NOT NULL,
  source TEXT NOT NULL,
  doc    TEXT NOT NULL,
  PRIMARY KEY (org, mark, device, source),
  FOREIGN KEY (org, device) REFERENCES devices (org, id)
);
CREATE INDEX secrets_by_device ON secrets (org, device, source);

CREATE TABLE remedials (
  org    TEXT   NOT NULL,
  id     TEXT   NOT NULL,
  device TEXT   NOT NULL,
  status TEXT   NOT NULL,
  party  TEXT   NOT NULL,
  opened BIGINT NOT NULL,
  doc    TEXT   NOT NULL,
  PRIMARY KEY (org, id),
  FOREIGN KEY (org, device) REFERENCES devices (org, id)
);
CREATE INDEX remedials_by_device ON remedials (org, device);
CREATE INDEX remedials_by_time ON remedials (org, opened, id);

-- Questionnaires that somebody is still filling in.
CREATE TABLE drafts (
  org     TEXT   NOT NULL,
  device  TEXT   NOT NULL,
  name    TEXT   NOT NULL,
  updated BIGINT NOT NULL,
  doc     TEXT   NOT NULL,
  PRIMARY KEY (org, device, name),
  FOREIGN KEY (org, device) REFERENCES devices (org, id)
);

-- When a device is to be assessed again; 0 = never.
ALTER TABLE devices ADD COLUMN due BIGINT NOT NULL DEFAULT 0;
CREATE INDEX devices_by_due ON devices (org, due);

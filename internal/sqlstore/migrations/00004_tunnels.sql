-- +goose Up
-- Ways of people to devices: asked for, approved, open for a while.
CREATE TABLE tunnels (
  org     TEXT   NOT NULL,
  id      TEXT   NOT NULL,
  device  TEXT   NOT NULL,
  gateway TEXT   NOT NULL,
  state   TEXT   NOT NULL,
  asked   BIGINT NOT NULL,
  due     BIGINT NOT NULL, -- when time decides next; 0 = never
  doc     TEXT   NOT NULL,
  PRIMARY KEY (org, id),
  FOREIGN KEY (org, device) REFERENCES devices (org, id)
);
CREATE INDEX tunnels_by_time ON tunnels (org, asked, id);
CREATE INDEX tunnels_by_gateway ON tunnels (org, gateway, state);
CREATE INDEX tunnels_by_device ON tunnels (org, device, asked);
CREATE INDEX tunnels_due ON tunnels (org, due);

-- +goose Up
-- The signature of a usage description, so that it can be checked again when other
-- roots are trusted, and whether it waits for a person.
ALTER TABLE muds ADD COLUMN signature BLOB;
ALTER TABLE muds ADD COLUMN waits BIGINT NOT NULL DEFAULT 0;
CREATE INDEX muds_by_waits ON muds (org, waits, device);
UPDATE muds SET waits = 1 WHERE doc LIKE '%"status":"proposed"%' OR doc LIKE '%"changed":{%';

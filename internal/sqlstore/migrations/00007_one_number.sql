-- +goose Up
-- A number (IMSI) is one card's on the whole platform: usage records name cards by
-- it alone. A keyed hash, for all organisations; NULL = not reckoned yet (Open does
-- it), or another had the number first.
ALTER TABLE sims ADD COLUMN number_key BLOB;
CREATE UNIQUE INDEX sims_by_number ON sims (number_key);

-- +goose Up
-- Tables and columns have the names that the program uses now; what they hold is
-- the same.
ALTER TABLE holes RENAME TO gaps;
ALTER TABLE gaps RENAME COLUMN hole_id TO gap_id;
ALTER TABLE gaps RENAME COLUMN found_at TO detected_at;
ALTER TABLE gaps RENAME COLUMN waiting TO unmeasured;
DROP INDEX open_holes;
DROP INDEX holes_of_cp;
CREATE INDEX open_gaps ON gaps (cp_id) WHERE open = 1;
CREATE INDEX gaps_of_cp ON gaps (cp_id);
UPDATE alarms SET kind = 'gap', alarm_id = 'gap' || substr(alarm_id, 5) WHERE kind = 'hole' AND alarm_id LIKE 'hole.%';

ALTER TABLE wishes RENAME TO desired_states;
ALTER TABLE desired_states RENAME COLUMN asked_at TO requested_at;
DROP INDEX wishes_to_load;
DROP INDEX wishes_to_prune;
CREATE INDEX desired_states_to_load ON desired_states (requested_at) WHERE ended_at = 0;
CREATE INDEX desired_states_to_prune ON desired_states (ended_at) WHERE ended_at > 0;

ALTER TABLE cps RENAME COLUMN first_heard TO first_seen_at;
ALTER TABLE sessions RENAME COLUMN heard_at TO first_seen_at;
ALTER TABLE reservations RENAME COLUMN gone TO released;
ALTER TABLE reservations RENAME COLUMN told TO announced;
ALTER TABLE requests RENAME COLUMN asked TO tried;
ALTER TABLE requests RENAME COLUMN asked_at TO tried_at;
ALTER TABLE requests RENAME COLUMN silent TO ignored;

-- +goose Down
ALTER TABLE requests RENAME COLUMN ignored TO silent;
ALTER TABLE requests RENAME COLUMN tried_at TO asked_at;
ALTER TABLE requests RENAME COLUMN tried TO asked;
ALTER TABLE reservations RENAME COLUMN announced TO told;
ALTER TABLE reservations RENAME COLUMN released TO gone;
ALTER TABLE sessions RENAME COLUMN first_seen_at TO heard_at;
ALTER TABLE cps RENAME COLUMN first_seen_at TO first_heard;

DROP INDEX desired_states_to_prune;
DROP INDEX desired_states_to_load;
ALTER TABLE desired_states RENAME COLUMN requested_at TO asked_at;
ALTER TABLE desired_states RENAME TO wishes;
CREATE INDEX wishes_to_load ON wishes (asked_at) WHERE ended_at = 0;
CREATE INDEX wishes_to_prune ON wishes (ended_at) WHERE ended_at > 0;

UPDATE alarms SET kind = 'hole', alarm_id = 'hole' || substr(alarm_id, 4) WHERE kind = 'gap' AND alarm_id LIKE 'gap.%';
DROP INDEX gaps_of_cp;
DROP INDEX open_gaps;
ALTER TABLE gaps RENAME COLUMN unmeasured TO waiting;
ALTER TABLE gaps RENAME COLUMN detected_at TO found_at;
ALTER TABLE gaps RENAME COLUMN gap_id TO hole_id;
ALTER TABLE gaps RENAME TO holes;
CREATE INDEX open_holes ON holes (cp_id) WHERE open = 1;
CREATE INDEX holes_of_cp ON holes (cp_id);

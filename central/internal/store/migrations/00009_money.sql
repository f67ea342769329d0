-- +goose Up
-- Money is in the minor unit of its currency by ISO 4217. Prices are finer, in
-- ten-thousandths of the minor unit, so that 0.4275 EUR per kWh can be written;
-- those that were in whole minor units mean the same as before.
ALTER TABLE tariffs RENAME COLUMN start_fee_cents TO start_fee_e4;
ALTER TABLE tariffs RENAME COLUMN per_kwh_cents TO per_kwh_e4;
UPDATE tariffs SET
  start_fee_e4 = min(start_fee_e4, 900000000000000) * 10000,
  per_kwh_e4   = min(per_kwh_e4, 900000000000000) * 10000;
ALTER TABLE tickets RENAME COLUMN cost_cents TO cost_minor;

-- +goose Down
UPDATE tariffs SET start_fee_e4 = start_fee_e4 / 10000, per_kwh_e4 = per_kwh_e4 / 10000;
ALTER TABLE tariffs RENAME COLUMN start_fee_e4 TO start_fee_cents;
ALTER TABLE tariffs RENAME COLUMN per_kwh_e4 TO per_kwh_cents;
ALTER TABLE tickets RENAME COLUMN cost_minor TO cost_cents;

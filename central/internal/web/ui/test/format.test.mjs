// The page writes money in the currency of the ticket or session, with the decimals
// that Central writes, durations exactly, and all numbers by the language.
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { test } from 'node:test'
import { transformWithOxc } from 'vite'

const source = readFileSync(new URL('../src/lib/format.ts', import.meta.url), 'utf8')
const { code } = await transformWithOxc(source, 'format.ts')
const f = await import('data:text/javascript,' + encodeURIComponent(code))

const rows = [
  [f.money('3.42', 'EUR', 'en'), '€3.42'],
  [f.money('3.42', 'EUR', 'es'), '3,42 €'],
  [f.money('11.82', 'HRK', 'en'), 'HRK 11.82'],
  [f.money('342', 'JPY', 'en'), '¥342'],
  [f.money('3.420', 'KWD', 'en'), 'KWD 3.420'],
  [f.money('12.50', 'RSD', 'en'), 'RSD 12.50'], // two decimals by ISO 4217, none in the tables of browsers
  [f.money('90071992547409.93', 'EUR', 'en'), '€90,071,992,547,409.93'],
  [f.duration(7140), '1 h 59 min'],
  [f.duration(7199), '1 h 59 min 59 s'],
  [f.duration(131), '2 min 11 s'],
  [f.duration(3600), '1 h'],
  [f.duration(90061), '1 d 1 h 1 min 1 s'],
  [f.duration(59), '59 s'],
  [f.duration(0), '0 s'],
  [f.duration(-5), '0 s'],
  [f.age(7199999), '1 h 59 min'],
  [f.age(59999), '59 s'],
  [f.age(86400000 * 3 + 5000), '3 d'],
  [f.countdown(127000), '2:07'],
  [f.countdown(3727000), '1:02:07'],
  [f.countdown(-1), '0:00'],
  [f.energy(1830, 'en'), '1.830 kWh'],
  [f.energy(1830, 'es'), '1,830 kWh'],
  [f.energy(1234567, 'es'), '1.234,567 kWh'],
  [f.power(7200, 'en'), '7.2 kW'],
  [f.power(7200, 'es'), '7,2 kW'],
  [f.number(1000, 'es'), '1.000'],
]

for (const [got, want] of rows) {
  test(want, () => assert.equal(got.replaceAll('\u00a0', ' '), want))
}

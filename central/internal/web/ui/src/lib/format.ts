// How values are written, in one place. Functions here depend on their arguments
// alone; fmt in i18n.svelte.ts binds them to the language of the page.

const cache = new Map<string, Intl.NumberFormat>()

function formatter(locale: string, options: Intl.NumberFormatOptions): Intl.NumberFormat {
  const key = locale + JSON.stringify(options)
  let f = cache.get(key)
  if (!f) cache.set(key, (f = new Intl.NumberFormat(locale, options)))
  return f
}

const fixed = (value: number, decimals: number, locale: string) =>
  formatter(locale, { minimumFractionDigits: decimals, maximumFractionDigits: decimals, useGrouping: 'always' }).format(value)

export const number = (n: number, locale: string): string => fixed(n, 0, locale)

/** Watts as kilowatts: "7.2 kW". */
export const power = (w: number, locale: string): string => fixed(w / 1000, 1, locale) + '\u00a0kW'

/** Milliamperes as amperes: "13.5 A". */
export const current = (ma: number, locale: string): string => fixed(ma / 1000, 1, locale) + '\u00a0A'

/** Watt-hours as kilowatt-hours, to the watt-hour: "1.830 kWh". */
export const energy = (wh: number, locale: string): string => fixed(wh / 1000, 3, locale) + '\u00a0kWh'

/** An amount in its own currency. It is a decimal string with as many decimals as the
 *  currency has, which Intl may not know; it is never converted to a float. */
export function money(amount: string, currency: string, locale: string): string {
  const decimals = amount.split('.')[1]?.length ?? 0
  const options = { style: 'currency', currency, minimumFractionDigits: decimals, maximumFractionDigits: decimals } as const
  return formatter(locale, options).format(amount as `${number}`)
}

/** Whole seconds exactly: 7140 is "1 h 59 min". most limits the number of units, for
 *  ages that are shown while they grow. The units are symbols, the same in every language. */
export function duration(seconds: number, most = 4): string {
  const s = Math.max(0, Math.floor(seconds))
  const parts: [number, string][] = [
    [Math.floor(s / 86400), 'd'],
    [Math.floor(s / 3600) % 24, 'h'],
    [Math.floor(s / 60) % 60, 'min'],
    [s % 60, 's'],
  ]
  const first = parts.findIndex(([n]) => n > 0)
  if (first < 0) return '0\u00a0s'
  return parts
    .slice(first, first + most)
    .filter(([n]) => n > 0)
    .map(([n, unit]) => n + '\u00a0' + unit)
    .join(' ')
}

export const age = (ms: number): string => duration(ms / 1000, 2)

/** What remains of a countdown: "2:07", "1:02:07". */
export function countdown(ms: number): string {
  const s = Math.max(0, Math.ceil(ms / 1000))
  const two = (n: number) => String(n).padStart(2, '0')
  const h = Math.floor(s / 3600)
  return h > 0 ? `${h}:${two(Math.floor(s / 60) % 60)}:${two(s % 60)}` : `${Math.floor(s / 60)}:${two(s % 60)}`
}

export const time = (at: number, locale: string): string =>
  new Date(at).toLocaleTimeString(locale, { hour: '2-digit', minute: '2-digit', second: '2-digit' })

/** Date and time; the date is left out if it is the day of now. */
export function moment(at: number, locale: string, now: number): string {
  const date = new Date(at)
  if (date.toDateString() === new Date(now).toDateString()) return time(at, locale)
  return date.toLocaleDateString(locale, { day: 'numeric', month: 'short', year: 'numeric' }) + ', ' + time(at, locale)
}

export const full = (at: number, locale: string): string => moment(at, locale, 0)

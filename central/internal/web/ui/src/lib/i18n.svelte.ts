// The texts of the page. en.ts is the type: es.ts must have the same keys, or the
// type check fails.
import { en } from './en'
import { es } from './es'
import * as f from './format'
import { settings } from './settings.svelte'
import { clock } from './clock.svelte'

export type Messages = typeof en

const dictionaries: { en: Messages; es: Messages } = { en, es }

/** The texts in the chosen language. Reading one in a component follows the choice. */
export const t = new Proxy({} as Messages, {
  get: (_, key) => dictionaries[settings.lang][key as keyof Messages],
})

/** The text of a code of Central; a code without one is shown with its underscores as spaces. */
export function word(group: Readonly<{ [code: string]: string }>, code: string | undefined): string {
  if (!code) return ''
  return group[code] ?? code.replaceAll('_', ' ')
}

const ms = (at: string | number): number => (typeof at === 'number' ? at : Date.parse(at))

/** The functions of format.ts in the chosen language. Absent values are "–". */
export const fmt = {
  number: (n: number) => f.number(n, settings.locale),
  current: (ma: number) => f.current(ma, settings.locale),
  power: (w: number | undefined) => (w === undefined ? '–' : f.power(w, settings.locale)),
  energy: (wh: number | undefined) => (wh === undefined ? '–' : f.energy(wh, settings.locale)),
  money: (amount: string | undefined, currency: string | undefined) => (amount && currency ? f.money(amount, currency, settings.locale) : '–'),
  time: (at: string | number | undefined) => (at ? f.time(ms(at), settings.locale) : '–'),
  moment: (at: string | number | undefined) => (at ? f.moment(ms(at), settings.locale, clock.now) : '–'),
  full: (at: string | number | undefined) => (at ? f.full(ms(at), settings.locale) : '–'),
  duration: f.duration,
  age: f.age,
  countdown: f.countdown,
  /** How long ago something was. */
  since: (at: string | number | undefined) => (at ? f.age(clock.now - ms(at)) : '–'),
}

// What a session may have at most. Central and the charging point keep it.
import { fmt } from './i18n.svelte'
import { decimal, typed } from './price'

/** As the API has it: Wh, or minor units of the currency; empty: until unplugged. */
export type Limit = { limit_wh?: number; limit_amount?: number }

/** The limit of an energy that a person typed in kWh; null if it is none. */
export function energyLimit(text: string): Limit | null {
  const wh = decimal(typed(text), false) ? Math.round(Number(typed(text)) * 1000) : 0
  return wh >= 1 && wh <= 1e9 ? { limit_wh: wh } : null
}

/** The decimals of a currency. */
const decimalsOf = (currency: string): number => new Intl.NumberFormat('en', { style: 'currency', currency }).resolvedOptions().maximumFractionDigits ?? 2

/** The limit of an amount that a person typed in the main unit of a currency; null if it is none. */
export function moneyLimit(text: string, currency: string): Limit | null {
  const minor = decimal(typed(text), false) ? Math.round(Number(typed(text)) * 10 ** decimalsOf(currency)) : 0
  return minor >= 1 && minor <= 1e9 ? { limit_amount: minor } : null
}

/** An amount in minor units as Central writes amounts: 350 EUR is "3.50". */
export const amountOf = (minor: number, currency: string): string => (minor / 10 ** decimalsOf(currency)).toFixed(decimalsOf(currency))

/** A limit as people read it: the amount, and the energy, which may follow from it; '' for none. */
export const limitText = (x: { limit_wh?: number; limit_cost?: string; currency?: string }): string =>
  [x.limit_cost ? fmt.money(x.limit_cost, x.currency) : '', x.limit_wh ? fmt.energy(x.limit_wh) : ''].filter(Boolean).join(' · ')

/** The same of a limit with its amount in minor units. */
export const limitOf = (x: Limit, currency: string): string =>
  limitText({ limit_wh: x.limit_wh, ...(x.limit_amount && currency ? { limit_cost: amountOf(x.limit_amount, currency), currency } : {}) })

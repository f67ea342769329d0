// What a driver wants of a charge at most. Central and the charging point keep it.
import { decimal, typed } from '../lib/price'

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

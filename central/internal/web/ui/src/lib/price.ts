// Prices as people write them and as Central does.
import { settings } from './settings.svelte'

/** A rate of Central, "19.00", as a percentage: "19 %". */
export const percent = (rate: string | undefined): string =>
  new Intl.NumberFormat(settings.locale, { style: 'percent', maximumFractionDigits: 2 }).format(Number(rate ?? 0) / 100)

/** A number that a person typed, as Central reads it: "0,45" is "0.45". */
export const typed = (text: string): string => text.trim().replace(',', '.')

/** Whether it is a decimal from 0; with nothing typed it is the value of empty. */
export const decimal = (text: string, empty: boolean): boolean => (text === '' ? empty : /^[0-9]{1,12}(\.[0-9]{1,8})?$/.test(text))

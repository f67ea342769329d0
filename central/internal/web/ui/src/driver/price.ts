// The price of a charge that begins now, as Central publishes it. A Central that does
// not publish it has no such list.
import { maybe } from '../lib/api'

export type Price = {
  version: string
  currency: string
  start_fee?: string
  per_kwh?: string
  per_minute?: string
  per_idle_minute?: string
  tax_percent?: string | number
}

export async function readPrice(): Promise<Price | null> {
  const list = await maybe<{ items?: Price[]; current?: Price }>('tariffs', { limit: 1 })
  return list?.current ?? list?.items?.[0] ?? null
}

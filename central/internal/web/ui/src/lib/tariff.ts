// The price of a charge that begins now.
import { type Tariff, maybe } from './api'

/** The version that is valid now; null if Central publishes none. */
export async function readPrice(): Promise<Tariff | null> {
  const list = await maybe<{ items: Tariff[] }>('tariffs')
  return list?.items.find((v) => v.state === 'current') ?? null
}

// The latest values of the connectors of one charging point, for its curve: what Central
// kept, and what has arrived since. Energy is that in the time which is shown.
import { get } from '../lib/api'
import { clock } from '../lib/clock.svelte'
import type { Row } from '../lib/live.svelte'

export type Points = { t: number[]; w: (number | null)[]; e: (number | null)[] }
type Series = { connector: number; t: number[]; w: number[]; e: number[] } // e: the register

const most = 3600
const shown = 3600_000

export class Curves {
  points: { [connector: number]: Points } = $state.raw({})
  failed = $state(false)
  #registers: { [connector: number]: number } = {} // where each curve begins
  #cp = ''

  async load(cp: string, connectors: number[]): Promise<void> {
    this.#cp = cp
    this.points = {}
    this.#registers = {}
    this.failed = false
    const from = new Date(clock.now - shown).toISOString()
    await Promise.all(
      connectors.map(async (connector) => {
        try {
          const s = await get<Series>(`cps/${cp}/series`, { connector, from, points: 720 })
          if (this.#cp !== cp || s.t.length === 0) return
          const since = this.points[connector]
          const begin = (this.#registers[connector] ?? 0) - s.e[0]! // of what has arrived meanwhile
          this.#registers[connector] = s.e[0]!
          const last = s.t.at(-1)!
          const k = since ? since.t.findIndex((x) => x > last) : -1
          const later = since && k >= 0 ? { t: since.t.slice(k), w: since.w.slice(k), e: since.e.slice(k).map((x) => (x === null ? null : x + begin)) } : { t: [], w: [], e: [] }
          this.points = { ...this.points, [connector]: { t: [...s.t, ...later.t], w: [...s.w, ...later.w], e: [...s.e.map((x) => x - s.e[0]!), ...later.e] } }
        } catch {
          this.failed = true // the curve begins now
        }
      }),
    )
  }

  add(row: Row): void {
    const v = row.values
    if (!v.t) return
    const n = row.state.connector
    const p = this.points[n] ?? { t: [], w: [], e: [] }
    if ((p.t.at(-1) ?? 0) >= v.t) return
    const begin = (this.#registers[n] ??= v.r)
    const cut = Math.max(0, p.t.length + 1 - most)
    this.points = { ...this.points, [n]: { t: [...p.t.slice(cut), v.t], w: [...p.w.slice(cut), v.w], e: [...p.e.slice(cut), v.r - begin] } }
  }
}

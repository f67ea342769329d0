// The latest values of the connectors of one charging point, for its curve: what Central
// kept, if it keeps them, and what has arrived since.
import { maybe } from '../lib/api'
import { clock } from '../lib/clock.svelte'
import type { Row } from '../lib/live.svelte'

export type Points = { t: number[]; w: (number | null)[]; e: (number | null)[] }
type Kept = { connector: number; t: number[]; w: (number | null)[]; e: (number | null)[] }

const most = 3600

export class Curves {
  points: { [connector: number]: Points } = $state.raw({})
  kept = $state(false)

  async load(cp: string): Promise<void> {
    this.points = {}
    this.kept = false
    try {
      const from = new Date(clock.now - 3600_000).toISOString()
      const answer = await maybe<Kept | Kept[] | { series?: Kept[]; items?: Kept[] }>(`cps/${cp}/series`, { from })
      if (!answer) return
      const list = Array.isArray(answer) ? answer : 'connector' in answer ? [answer] : (answer.series ?? answer.items ?? [])
      const points: { [connector: number]: Points } = {}
      for (const k of list) points[k.connector] = { t: k.t ?? [], w: k.w ?? [], e: k.e ?? [] }
      this.points = points
      this.kept = true
    } catch {
      // The curve begins now.
    }
  }

  add(row: Row): void {
    const v = row.values
    if (!v.t) return
    const n = row.state.connector
    const p = this.points[n] ?? { t: [], w: [], e: [] }
    if ((p.t.at(-1) ?? 0) >= v.t) return
    const cut = Math.max(0, p.t.length + 1 - most)
    const running = !!row.state.session_id
    this.points = { ...this.points, [n]: { t: [...p.t.slice(cut), v.t], w: [...p.w.slice(cut), v.w], e: [...p.e.slice(cut), running ? v.e : null] } }
  }
}

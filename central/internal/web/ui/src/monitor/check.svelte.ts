// The checklist of an installation. A step that has happened stays ticked, with its time,
// also after a reload, until the check begins again.
import type { Page, Ticket } from '../lib/api'
import { get } from '../lib/api'
import { clock } from '../lib/clock.svelte'
import type { Row } from '../lib/live.svelte'
import { kept } from '../lib/settings.svelte'

export const steps = ['message', 'admitted', 'plug', 'contactor', 'meter', 'ticket'] as const
export type Step = (typeof steps)[number]

const plugged = new Set(['preparing', 'charging', 'suspended_ev', 'suspended_evse', 'finishing'])

export class Check {
  done: { [step in Step]?: number } = $state.raw({})
  ticket: Ticket | null = $state.raw(null)
  #since: number
  #session = ''
  #start = -1 // the register when the check first saw power
  #asking = false
  readonly #key: string

  constructor(cp: string, connector: number) {
    this.#key = `check.${cp}.${connector}`
    this.#since = clock.now
    try {
      const k = JSON.parse(kept.get(this.#key) ?? 'null') as { since: number; done: Check['done']; ticket: Ticket | null } | null
      if (k) {
        this.#since = k.since
        this.done = k.done
        this.ticket = k.ticket
      }
    } catch {
      // What is kept is of another version.
    }
    this.#keep()
  }

  get count(): number {
    return steps.filter((s) => this.done[s]).length
  }

  again(): void {
    this.#since = clock.now
    this.#session = ''
    this.#start = -1
    this.done = {}
    this.ticket = null
    this.#keep()
  }

  /** Ticks what a row shows. */
  see(row: Row | undefined): void {
    if (!row) return
    const s = row.state
    const v = row.values
    this.#tick('message')
    if (!s.admitted) return
    this.#tick('admitted')
    if (plugged.has(s.status)) this.#tick('plug')
    if (s.status === 'charging') this.#tick('contactor')
    if (s.session_id) {
      this.#session = s.session_id
      if (this.#start < 0 && v.t) this.#start = v.r
      if (v.e > 0 || (this.#start >= 0 && v.r > this.#start)) {
        this.#tick('contactor')
        this.#tick('meter')
      }
    } else if (!this.done.ticket && (this.#session || this.done.contactor)) void this.#find(s.cp_id, s.connector)
  }

  /** Looks for the ticket of a session that has ended since the check began. */
  async #find(cp: string, connector: number): Promise<void> {
    if (this.#asking) return
    this.#asking = true
    try {
      const page = await get<Page<Ticket>>('tickets', { cp_id: cp, limit: 10 })
      const k = page.items.find((x) => x.connector === connector && Date.parse(x.stopped_at ?? '') >= this.#since)
      if (k) {
        this.ticket = k
        if (k.energy_wh > 0) this.#tick('meter')
        this.#tick('ticket')
      }
    } catch {
      // It is asked for again.
    }
    setTimeout(() => (this.#asking = false), 1000)
  }

  #tick(step: Step): void {
    if (this.done[step]) return
    this.done = { ...this.done, [step]: clock.now }
    this.#keep()
  }

  #keep(): void {
    kept.set(this.#key, JSON.stringify({ since: this.#since, done: this.done, ticket: this.ticket }))
  }
}

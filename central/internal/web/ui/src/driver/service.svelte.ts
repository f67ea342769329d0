// One charge from the request to the ticket. Every step is an order with a key that is
// kept, so a step that is repeated after a reload or an outage has no second effect.
import { type Answer, type Command, type Page, Problem, type Reservation, type Session, type Ticket, get, newKey, post } from '../lib/api'
import { t } from '../lib/i18n.svelte'
import { live } from '../lib/live.svelte'
import { ended } from '../lib/orders'
import type { Limit } from '../lib/limit'

export type Phase = 'waiting' | 'asking' | 'plug' | 'charging' | 'finished' | 'refused' | 'cancelled'

/** What is kept of a charge. cp is "" until Central has chosen one. */
export type Data = {
  key: string
  username: string
  any: boolean
  cp: string
  connector: number
  phase: Phase
  reservation: string
  session: string
  tried: number // charging points that did not answer
  unwanted: boolean // the driver has ended it: what is on its way is ended too
  why: string // a word of t.drive.why
  ticket: Ticket | null
  limit?: Limit
}

export const fresh = (username: string, cp = '', connector = 0, limit: Limit = {}): Data => ({
  key: newKey(), username, any: cp === '', cp, connector, phase: 'asking', reservation: '', session: '', tried: 0, unwanted: false, why: '', ticket: null, limit,
})

/** How many charging points are asked for any free one. */
const maxTried = 3

const over = (p: Phase): boolean => p === 'finished' || p === 'refused' || p === 'cancelled'
const pause = (ms: number) => new Promise((r) => setTimeout(r, ms))
/** Whether it is not known what became of a request: it is sent again. */
const again = (err: unknown): boolean => !(err instanceof Problem) || err.kind === 'unreachable' || err.status >= 500 || err.status === 429

/** The text of a reason that Central or a charging point gives. */
export function explainWhy(why: string): string {
  const texts: { [why: string]: string } = t.drive.why
  return texts[why] ?? t.drive.why.other
}
export const whyOf = (err: unknown): string => (err instanceof Problem ? err.kind : 'unreachable')

export class Service {
  data: Data = $state.raw() as Data
  /** Whether it waits for Central to answer again. */
  unreachable = $state(false)
  #running: Promise<void> | null = null
  #stopped = false

  constructor(
    data: Data,
    readonly changed: () => void,
  ) {
    this.data = data
  }

  get over(): boolean {
    return over(this.data.phase)
  }

  #set(change: Partial<Data>): void {
    this.data = { ...this.data, ...change }
    this.changed()
  }

  /** Goes on until the charge is over; returns when it is. */
  run(): Promise<void> {
    return (this.#running ??= this.#run().finally(() => (this.#running = null)))
  }

  async #run(): Promise<void> {
    if (this.data.phase === 'waiting') this.#set({ phase: 'asking' })
    while (!this.over) {
      try {
        await this.#step()
        this.unreachable = false
      } catch (err) {
        if (again(err)) {
          this.unreachable = true
          await pause(1500)
        } else {
          this.#set({ phase: 'refused', why: whyOf(err) })
        }
      }
    }
  }

  async #step(): Promise<void> {
    const d = this.data
    if (d.phase === 'charging') return this.#charge(d)
    if (d.phase === 'plug') return this.#plug(d)
    return this.#ask(d)
  }

  /** Has a connector reserved and the session ordered: one order. The session begins when the driver plugs in. */
  async #ask(d: Data): Promise<void> {
    const body = { username: d.username, ...(d.any ? {} : { cp_id: d.cp }), ...(d.any || !d.connector ? {} : { connector: d.connector }), ...d.limit }
    const a = await post<Answer>('charges', body, `${d.key}.charge.${d.tried}`)
    const id = a.commands?.[0] ?? ''
    this.#set({ cp: a.cp_id ?? d.cp, connector: a.connector ?? d.connector, reservation: a.reservation_id ?? '', session: a.session_id ?? '' })
    const c = id ? await this.#end(id) : null
    if (this.data.unwanted) return this.#giveUp()
    if (!c || c.state === 'done') return this.#set({ phase: 'plug' })
    if (c.state !== 'expired') return this.#giveUp('refused', c.reason || c.state)
    if (!d.any || d.tried + 1 >= maxTried) return this.#giveUp('refused', 'cp_unreachable')
    await this.#giveUp('asking')
    if (this.data.phase === 'asking') this.#set({ cp: '', connector: 0, reservation: '', session: '', tried: d.tried + 1 })
  }

  #idle = 0 // polls in which Central waited for nothing at the connector

  /** Waits until the session begins, or its reservation is over. */
  async #plug(d: Data): Promise<void> {
    if (this.data.unwanted) return this.#giveUp()
    const row = live.row(d.cp, d.connector)?.state
    if (row?.session_id === d.session) return this.#set({ phase: 'charging' })
    await pause(1000)
    const r = await get<Reservation>('reservations/' + d.reservation)
    if (this.data.phase !== 'plug') return
    if (r.state === 'used' || r.state === 'ended') {
      if (await this.#open(d.session)) return this.#set({ phase: 'charging' })
      return this.#set({ phase: 'refused', why: r.reason === 'expired' ? 'reservation_expired' : r.reason || 'other' })
    }
    if (r.not_started) return this.#giveUp('refused', r.not_started)
    // Central waits for the start as long as it wants it.
    this.#idle = live.link === 'live' && live.row(d.cp, d.connector)?.state.waits_for === undefined ? this.#idle + 1 : 0
    if (this.#idle >= 5) await this.#giveUp('refused', 'other')
  }

  /** Stops the session. Repeats are one order, because of the key. */
  async #stop(d: Data): Promise<void> {
    try {
      await post(`sessions/${d.session}/stop`, {}, d.key + '.stop')
    } catch (err) {
      if (whyOf(err) !== 'session_ended') throw err
    }
  }

  async #charge(d: Data): Promise<void> {
    if (d.unwanted && !this.#stopped) {
      await this.#stop(d)
      this.#stopped = true
    }
    await pause(500)
    if (live.link === 'live' && live.row(d.cp, d.connector)?.state.session_id === d.session) return
    const s = await this.#open(d.session)
    if (s?.state === 'orphaned') return this.#set({ phase: 'refused', why: 'session_orphaned' })
    if (s?.state !== 'closed') return pause(700).then(() => undefined)
    const ticket = await ticketOf(d.session)
    if (ticket) this.#set({ phase: 'finished', ticket })
  }

  async #open(session: string): Promise<Session | null> {
    if (!session) return null
    try {
      return await get<Session>('sessions/' + session)
    } catch (err) {
      if (err instanceof Problem && err.status === 404) return null
      throw err
    }
  }

  /** Waits for the end of a command. */
  async #end(id: string): Promise<Command> {
    for (;;) {
      const c = await get<Command>('commands/' + id, { wait: '5s' }, undefined, 12_000)
      if (ended(c) || this.data.unwanted) return c
    }
  }

  async #giveUp(phase: Phase = 'cancelled', why = ''): Promise<void> {
    if (this.data.reservation) {
      try {
        const a = await post<Answer>(`reservations/${this.data.reservation}/cancel`, {}, `${this.data.key}.cancel.${this.data.tried}`)
        const id = a.commands?.[0]
        for (let i = 0; id && phase !== 'asking' && i < 5 && !ended(await get<Command>('commands/' + id, { wait: '2s' }, undefined, 10_000)); i++);
      } catch (err) {
        if (again(err)) throw err // over already, otherwise
      }
      // The driver may have plugged in at the same moment.
      if ((await this.#open(this.data.session))?.state === 'open') return this.#set({ phase: 'charging', unwanted: true })
    }
    this.#set({ phase, why })
  }

  /** Ends it: before charging it is cancelled, afterwards the session is stopped. */
  async end(): Promise<void> {
    const d = this.data
    if (this.over) return
    if (d.phase === 'waiting') return this.#set({ phase: 'cancelled' })
    this.#set({ unwanted: true })
    if (d.phase === 'charging') await this.#stop(d)
  }
}

/** The ticket of a session, if there is one yet. */
export async function ticketOf(session: string): Promise<Ticket | null> {
  const page = await get<Page<Ticket>>('tickets', { session_id: session })
  return page.items.find((k) => !k.corrects) ?? null
}

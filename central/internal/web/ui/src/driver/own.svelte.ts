// What is the driver's own: the connectors that are kept for it or charge it, the charge
// that this page has begun, and what happened to it meanwhile.
import { untrack } from 'svelte'
import type { Ticket } from '../lib/api'
import { clock } from '../lib/clock.svelte'
import { fmt, t, word } from '../lib/i18n.svelte'
import { type Row, type RowState, live } from '../lib/live.svelte'
import { router } from '../lib/router.svelte'
import { kept } from '../lib/settings.svelte'
import { title } from '../lib/title.svelte'
import { toasts } from '../lib/toasts.svelte'
import { self } from './self.svelte'
import type { Limit } from '../lib/limit'
import { type Data, Service, fresh, ticketOf } from './service.svelte'

export const nameOf = (s: RowState): string => s.name || s.cp_id
/** What distinguishes a connector from others, below its name. */
export function whereOf(s: RowState): string {
  const many = live.row(s.cp_id, s.connector === 1 ? 2 : 1) !== undefined
  return [s.name ? s.cp_id : '', many ? t.drive.choose.connector(s.connector) : '', s.place].filter(Boolean).join(' · ')
}

class Own {
  rows: Row[] = $derived.by(() => {
    void live.version
    return self.name ? live.rows.filter((r) => r.state.username === self.name) : []
  })
  charging: Row[] = $derived(this.rows.filter((r) => r.state.session_id))
  held: Row[] = $derived(this.rows.filter((r) => r.state.reservation_id && !r.state.session_id && until(r.state) > clock.now))

  /** The charge that this page has begun, until the driver has seen how it ended. */
  service: Service | null = $state.raw(null)
  /** Sessions that ended while this page was open, or since it was: the one to show. */
  finished: { session: string; cp: string; connector: number; ticket: Ticket | null } | null = $state.raw(null)
  #seen = new Map<string, { cp: string; connector: number; status: string; link: string; begun: boolean }>()
  #held = ''
  #news = ''

  start(): void {
    try {
      const data = JSON.parse(kept.get('trip') ?? 'null') as Data | null
      if (data && data.username === self.name) this.#run(data)
      for (const s of JSON.parse(kept.get('trips') ?? '[]') as { session: string; cp: string; connector: number }[]) {
        this.#seen.set(s.session, { ...s, status: '', link: '', begun: true })
      }
    } catch {
      // What is kept is of another version.
    }
    addEventListener('focus', () => this.#seeNews())
    document.addEventListener('visibilitychange', () => document.hidden || this.#seeNews())
    $effect.root(() => {
      $effect(() => {
        if (live.link === 'live') this.#watch(this.charging, this.held)
      })
      $effect(() => {
        const row = this.charging[0]
        title.text = this.#newsText || (row ? `${fmt.power(row.values.w)} · ${nameOf(row.state)}` : '')
      })
    })
  }

  #newsText = $state('')
  #seeNews(): void {
    this.#news = ''
    this.#newsText = ''
  }

  /** Informs the driver: as a notice, to screen readers, and in the title while it looks
   *  elsewhere. What the view shows anyway needs no notice. */
  inform(text: string, tone: 'info' | 'good' | 'bad' = 'info', href?: string): void {
    const seen = document.hasFocus() && !document.hidden
    const here = router.path === '/d' || router.path === '/d/list' || router.path.startsWith('/c/')
    if (seen && here && tone !== 'bad') toasts.announce(text)
    else toasts.add(text, tone, href)
    if (seen) return
    this.#news = text
    this.#newsText = `• ${this.#news}`
  }

  begin(cp: string, connector: number, limit: Limit): void {
    this.finished = null
    this.#run(fresh(self.name, cp, connector, limit))
  }

  /** Begins to charge at a connector that is reserved already. */
  use(s: RowState, limit: Limit): void {
    this.finished = null
    this.#run({ ...fresh(self.name, s.cp_id, s.connector, limit), reservation: s.reservation_id ?? '' })
  }

  #run(data: Data): void {
    const service = new Service(data, () => this.#keep())
    this.service = service
    this.#keep()
    void service.run().then(() => {
      if (this.service !== service) return
      if (service.data.phase === 'cancelled' || (service.data.phase === 'finished' && this.finished?.session === service.data.session)) this.clear()
    })
  }

  /** The driver has seen how it ended. */
  clear(): void {
    this.service = null
    kept.set('trip', 'null')
  }
  dismiss(): void {
    this.finished = null
    if (this.service?.over) this.clear()
  }

  #keep(): void {
    kept.set('trip', JSON.stringify(this.service?.data ?? null))
  }

  #watch(charging: Row[], held: Row[]): void {
    const now = new Set<string>()
    for (const row of charging) {
      const s = row.state
      const id = s.session_id!
      now.add(id)
      const was = this.#seen.get(id)
      if (!was) this.inform(t.drive.events.started(nameOf(s)), 'good')
      else if (was.status) this.#changes(was, s)
      this.#seen.set(id, { cp: s.cp_id, connector: s.connector, status: s.faults?.length ? 'faulted' : s.status, link: s.link, begun: was?.begun || untrack(() => row.values.e > 0) })
    }
    for (const [id, was] of this.#seen) {
      if (now.has(id)) continue
      this.#seen.delete(id)
      void this.#end(id, was.cp, was.connector)
    }
    kept.set('trips', JSON.stringify([...this.#seen].map(([session, s]) => ({ session, cp: s.cp, connector: s.connector }))))
    const first = held[0]
    const id = first?.state.reservation_id ?? ''
    if (this.#held && !id && charging.length === 0 && this.service?.data.phase !== 'cancelled') this.inform(t.drive.events.lapsed)
    if (id && id !== this.#held) this.inform(t.drive.events.kept(nameOf(first!.state)), 'good')
    this.#held = id
  }

  #changes(was: { status: string; link: string; begun: boolean }, s: RowState): void {
    const e = t.drive.events
    if (s.faults?.length && was.status !== 'faulted') return this.inform(e.fault(word(t.fault, s.faults[0])), 'bad')
    if (s.link === 'offline' && was.link !== 'offline') this.inform(e.offline, 'bad')
    if (s.link === 'online' && was.link === 'offline') this.inform(e.online, 'good')
    if (!was.begun) return
    if (s.status === 'suspended_ev' && was.status === 'charging') this.inform(e.paused)
    if (s.status === 'charging' && was.status.startsWith('suspended')) this.inform(e.resumed)
  }

  async #end(session: string, cp: string, connector: number): Promise<void> {
    this.finished = { session, cp, connector, ticket: null }
    for (let tries = 0; tries < 60; tries++) {
      try {
        const ticket = await ticketOf(session)
        if (ticket) {
          if (this.finished?.session === session) this.finished = { session, cp, connector, ticket }
          this.inform(t.drive.events.finished(fmt.energy(ticket.energy_wh), fmt.money(ticket.cost, ticket.currency)), 'good', 'd/receipts/' + ticket.ticket_id)
          if (this.service?.data.session === session && this.service.over) this.clear()
          return
        }
      } catch {
        // It is asked for again.
      }
      await new Promise((r) => setTimeout(r, 1000))
    }
  }
}

const until = (s: RowState): number => (s.reserved_until ? Date.parse(s.reserved_until) : Infinity)

export const own = new Own()

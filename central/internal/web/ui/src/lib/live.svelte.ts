// The present state of the network, as the stream reports it. One small object per
// connector: a change of one redraws one tile.
import { untrack } from 'svelte'
import type { Alarm, Books, Connector, Page, Part, Reason, Ticket } from './api'
import { get } from './api'
import { type Asked, take } from './asked'
import { address } from './base'
import { clock } from './clock.svelte'
import { StreamRefused, readEvents } from './stream'

/** A connector and its charging point, without the numbers that change each second. */
export type RowState = Omit<Connector, 'power_w' | 'energy_wh' | 'cost' | 'register_wh' | 'values_at'> & {
  i: number
  cp_id: string
  name?: string
  place?: string
  admitted: boolean
  simulated: boolean
  link: 'online' | 'offline' | 'unknown'
  link_since?: string
  alarm_why?: Reason
  reader_trouble?: string // why its card reader does not answer
  reader_since?: string
  unacked?: number
  agent?: string
}

/** The numbers of a row: power in W, energy in Wh and cost of the session, register in Wh,
 *  records that Central does not have yet, and when it received the numbers in Unix ms; 0:
 *  not yet. */
export type Values = { w: number; e: number; c: string; r: number; u: number; t: number }

export type Fact = {
  n: number
  at: string
  kind: 'ticket' | 'session' | 'reservation' | 'command' | 'card' | 'fault' | 'alarm' | 'link' | 'dead_letter'
  what: string // what happened; of a command the state in which it ended
  text: string // in English
  cp_id?: string
  connector?: number
  session_id?: string
  username?: string
  subject?: string // the fault, the kind of the alarm, the type of the command
  reason?: string
  detail?: string
  why?: Reason // of an alarm
  energy_wh?: number
  cost?: string
  currency?: string
  missed?: boolean // it happened while the page was not connected
}

/** Numbers by the index of their row. One that did not change is null; a column without a
 *  change is absent. */
type Column<T> = (T | null)[] | null
type Columns = { i: number[] | null; w?: Column<number>; e?: Column<number>; c?: Column<string>; r?: Column<number>; u?: Column<number>; t?: Column<number> }
type Frame = { at: string; central?: string; demo?: boolean; parts?: Part[]; bridges?: Part[]; books?: Books; rows?: RowState[]; values?: Columns; facts?: Fact[] }

export class Row {
  state: RowState = $state.raw() as RowState
  values: Values = $state.raw({ w: 0, e: 0, c: '', r: 0, u: 0, t: 0 })
  /** Names the connector; it never changes. */
  readonly key: string

  constructor(state: RowState) {
    this.state = state
    this.key = state.cp_id + '.' + state.connector
  }
}

/** The state of a row with what overlays it: admission, and whether it is online. */
export function shown(s: RowState, now: number): string {
  if (!s.admitted) return 'waiting'
  if (s.link === 'offline') return 'offline'
  if (s.link === 'unknown') return 'unknown'
  if (s.status === 'reserved' && s.reserved_until && Date.parse(s.reserved_until) <= now) return 'available'
  return s.status
}

/** When the session of a row was begun, in Unix ms; undefined without one. */
export function begunAt(s: RowState): number | undefined {
  return s.session_id && s.session_since ? Date.parse(s.session_since) : undefined
}

/** Why an operator should look at a row: a key of t.attention, or "" if there is no reason. */
export function attention(s: RowState, now: number): string {
  if (!s.admitted) return 'admission'
  if (s.faults?.length || s.status === 'faulted') return 'fault'
  if (s.alarm_why) return 'alarm'
  if (s.link === 'offline') return 'offline'
  if (s.waits_for && s.waits_since && now - Date.parse(s.waits_since) > 30_000) return 'waits'
  if (s.reader_trouble) return 'reader'
  return ''
}

/** The rows together: how many are shown in each state, and those that need attention. */
export type Overview = { counts: { [state: string]: number }; attention: { row: Row; why: string }[] }

function overview(rows: Row[], now: number): Overview {
  const o: Overview = { counts: {}, attention: [] }
  for (const row of rows) {
    const is = shown(row.state, now)
    o.counts[is] = (o.counts[is] ?? 0) + 1
    const why = attention(row.state, now)
    if (why) o.attention.push({ row, why })
  }
  return o
}

const silence = 2800 // ms without anything received after which Central counts as lost
const maxFacts = 200

class Live {
  rows: Row[] = $state.raw([])
  parts: Part[] = $state.raw([])
  bridges: Part[] = $state.raw([])
  books: Books | null = $state.raw(null)
  facts: Fact[] = $state.raw([])
  demo = $state(false)
  /** Grows with each change of the state of a row, not of its numbers. */
  version = $state(0)
  /** Made once for all who show it: each second, and after a change of a state. It follows
   *  version instead of each row, of which there may be thousands. */
  overview = $derived.by(() => {
    void this.version
    const rows = this.rows
    const now = clock.now
    return untrack(() => overview(rows, now))
  })
  /** "connecting" until the first snapshot, "lost" while Central does not answer. */
  link: 'connecting' | 'live' | 'lost' = $state('connecting')
  /** When something was received last, by Central's clock. */
  receivedAt = $state(0)
  /** What answered in place of Central, such as "HTTP 502"; "" if nothing did. */
  reason = $state('')

  onFact: (f: Fact) => void = () => {}
  onSignedOut: () => void = () => {}

  #byKey = new Map<string, Row>()
  #at: Row[] = [] // by the index in frames; a screen has few of them
  #opened = 0 // performance.now() when the connection was opened
  #frameAt = 0 // and when something arrived on it
  #arrived = performance.now() // when Central answered last, on the stream or to a probe
  #lastID = ''
  #central = ''
  #lastFact = 0
  #running: AbortController | null = null
  #attempt = 0
  #retry = 0
  #cutAt = 0 // when the connection broke; 0 while it stands
  #started = false

  /** Reads the stream that was asked for before it is known who reads it: Central knows. If it
   *  is refused, start tries again. */
  ahead(): void {
    const asked = take('stream')
    if (asked) this.#open(asked)
  }

  start(): void {
    this.#started = true
    this.#arrived = performance.now()
    document.addEventListener('visibilitychange', () => {
      if (document.hidden) return this.#close()
      this.#arrived = performance.now() // the silence was wanted
      this.#again()
    })
    addEventListener('online', () => this.#again())
    setInterval(() => this.#watch(), 200)
    if (!document.hidden) this.#open()
  }

  /** Begins again, for another person. */
  restart(): void {
    this.#close()
    this.#lastID = ''
    this.#central = ''
    this.rows = []
    this.facts = []
    this.#byKey.clear()
    this.link = 'connecting'
    this.#open()
  }

  row(cp: string, connector: number): Row | undefined {
    return this.#byKey.get(cp + '.' + connector)
  }

  #open(asked?: Asked): void {
    clearTimeout(this.#retry)
    if (this.#running || document.hidden) return asked?.control.abort()
    const control = (this.#running = asked?.control ?? new AbortController())
    this.#opened = performance.now()
    readEvents(
      address('api/v1/stream'),
      this.#lastID,
      control.signal,
      () => (this.#arrived = this.#frameAt = performance.now()),
      (e) => this.#receive(e.event, e.data, e.id),
      asked?.answer,
    ).catch((err: unknown) => {
      if (this.#running !== control) return // closed on purpose
      this.#running = null
      if (!this.#started) return
      this.#cutAt ||= clock.now
      this.reason = err instanceof StreamRefused ? err.message : ''
      if (err instanceof StreamRefused && err.status === 401) this.onSignedOut()
      this.#later()
    })
  }

  #close(): void {
    clearTimeout(this.#retry)
    this.#cutAt ||= clock.now
    const control = this.#running
    this.#running = null
    control?.abort()
  }

  /** Tries again after a pause that grows, with jitter: not all pages at once. */
  #later(): void {
    const pause = Math.min(4000, 400 * 2 ** this.#attempt++) * (0.5 + Math.random())
    clearTimeout(this.#retry)
    this.#retry = window.setTimeout(() => this.#open(), pause)
  }

  #again(): void {
    this.#attempt = 0
    if (!this.#running) this.#open()
  }

  /** Reports silence, also that of a connection which stands but carries nothing. */
  #watch(): void {
    if (document.hidden) return
    const now = performance.now()
    if (now - this.#arrived > silence) this.link = 'lost'
    if (now - this.#arrived > silence / 2 && this.link === 'live') void this.#probe()
    // A connection that stands and carries nothing is not trusted either: even a quiet
    // network sends a frame each few seconds.
    if (this.#running && (this.link === 'lost' || now - this.#frameAt > 16_000) && now - Math.max(this.#frameAt, this.#opened) > silence) {
      this.#close()
      this.#later()
    }
  }

  #probing = false
  /** Asks whether Central answers, when the stream has nothing to report. */
  async #probe(): Promise<void> {
    if (this.#probing) return
    this.#probing = true
    try {
      const response = await fetch(address('api/v1/me'), { cache: 'no-store', signal: AbortSignal.timeout(1200) })
      if (/json/.test(response.headers.get('Content-Type') ?? '')) this.#arrived = performance.now()
    } catch {
      // Silence.
    } finally {
      this.#probing = false
    }
  }

  #receive(event: string, data: string, id: string): void {
    if (id) this.#lastID = id
    if (event !== 'snapshot' && event !== 'delta') return // "bye": the stream ends
    const m = JSON.parse(data) as Frame
    const missedFrom = this.#cutAt
    const again = this.#central !== ''
    this.#attempt = 0
    this.#cutAt = 0
    this.reason = ''
    clock.set(m.at)
    this.receivedAt = Date.parse(m.at)
    if (m.parts) this.parts = m.parts
    if (m.bridges) this.bridges = m.bridges
    if (m.books) this.books = m.books
    if (event === 'snapshot') this.#snapshot(m, again ? missedFrom : 0)
    else for (const s of m.rows ?? []) this.#setState(s)
    this.#values(m.values, Date.parse(m.at))
    for (const f of m.facts ?? []) this.#fact(f, event === 'snapshot', again ? missedFrom : 0)
    this.link = 'live'
  }

  #snapshot(m: Frame, missedFrom: number): void {
    if (m.central !== this.#central) this.#lastFact = 0 // facts are numbered from its start
    this.#central = m.central ?? ''
    this.demo = m.demo ?? false
    const before = this.#byKey
    this.#byKey = new Map()
    this.#at = []
    const rows = (m.rows ?? []).map((s) => {
      const key = s.cp_id + '.' + s.connector
      const row = before.get(key) ?? new Row(s) // the same object: what is open stays open
      row.state = s
      this.#byKey.set(key, row)
      this.#at[s.i] = row
      return row
    })
    if (rows.length !== this.rows.length || rows.some((r, i) => r !== this.rows[i])) this.rows = rows
    this.version++
    if (!m.facts?.length) void this.#missed(missedFrom)
  }

  #setState(s: RowState): void {
    const row = this.#at[s.i]
    if (!row) return
    row.state = s
    this.version++
  }

  #values(c: Columns | undefined, at: number): void {
    const relative = this.#lastID !== '' // frames have ids since then
    c?.i?.forEach((i, k) => {
      const row = this.#at[i]
      if (!row) return
      const v = row.values
      const e = c.e?.[k] ?? v.e
      // The register is sent when it changed otherwise than by the energy of the session.
      const r = c.r?.[k] ?? v.r + e - v.e
      // The time of values is how long before the frame it was; before 2026-12 it was Unix ms.
      const ago = c.t?.[k]
      const t = ago == null ? v.t : ago > 1e11 || ago === 0 && !relative ? ago : at - ago
      row.values = { w: c.w?.[k] ?? v.w, e, c: c.c?.[k] ?? v.c, r, u: c.u?.[k] ?? row.state.unacked ?? v.u, t }
    })
  }

  #fact(f: Fact, old: boolean, missedFrom: number): void {
    if (f.n && f.n <= this.#lastFact) return
    if (f.n) this.#lastFact = f.n
    if (missedFrom > 0) f.missed = true // it came with the first frame after a pause
    this.facts = [f, ...this.facts].slice(0, maxFacts)
    if (!old || f.missed) this.onFact(f)
  }

  /** Reads what happened while the page was not connected; from 0 the latest tickets. */
  async #missed(from: number): Promise<void> {
    try {
      const since = from ? { from: new Date(from - 2000).toISOString() } : {}
      const [tickets, alarms] = await Promise.all([
        get<Page<Ticket>>('tickets', { limit: from ? 100 : 15, ...since }),
        get<Page<Alarm>>('alarms', { state: 'all', limit: from ? 100 : 5, ...since }),
      ])
      const have = new Set(this.facts.filter((f) => f.kind === 'ticket').map((f) => f.session_id))
      const old: Fact[] = []
      for (const k of tickets.items) {
        const { cp_id, connector, session_id, energy_wh, cost, currency } = k
        const username = k.username ? { username: k.username } : {}
        if (!have.has(session_id)) old.push({ n: 0, at: k.stopped_at ?? '', kind: 'ticket', what: 'made', text: '', cp_id, connector, session_id, energy_wh, cost, currency, ...username, missed: from > 0 })
      }
      const known = new Set(this.facts.filter((f) => f.kind === 'alarm').map((f) => `${f.subject} ${f.detail}`))
      for (const a of alarms.items) {
        if (!known.has(`${a.kind} ${a.text}`)) old.push({ n: 0, at: a.at, kind: 'alarm', what: 'raised', text: '', subject: a.kind, detail: a.text, why: a.why, ...(a.cp_id ? { cp_id: a.cp_id } : {}), missed: from > 0 })
      }
      this.facts = [...this.facts, ...old].sort((a, b) => b.at.localeCompare(a.at)).slice(0, maxFacts)
    } catch {
      // The lists have it.
    }
  }

}

export const live = new Live()

// Texts and columns that several lists of operators share.
import type { Command, Reservation, Session, Ticket } from '../lib/api'
import { clock } from '../lib/clock.svelte'
import { fmt, t, word } from '../lib/i18n.svelte'
import { limitText } from '../lib/limit'
import type { Column } from '../lib/List.svelte'
import { live } from '../lib/live.svelte'

type AtConnector = { cp_id: string; connector: number }

export const where = <T extends AtConnector>(): Column<T> => ({
  title: t.sessions.where,
  text: (x) => x.cp_id + (x.connector ? ` · ${x.connector}` : ''),
  href: (x) => 'cp/' + x.cp_id,
})

export const driver = <T extends { username?: string }>(): Column<T> => ({ title: t.list.driver, text: (x) => x.username || '–' })

/** How long a session has lasted, or lasts. */
export function lasted(s: Session): string {
  const from = s.started_at ?? s.authorized_at
  if (!from) return '–'
  return fmt.duration(((s.stopped_at ? Date.parse(s.stopped_at) : clock.now) - Date.parse(from)) / 1000, s.stopped_at ? 4 : 2)
}

/** Its energy: of a running session the latest known. */
export function sessionEnergy(s: Session): number {
  if (s.state === 'open') {
    const row = live.row(s.cp_id, s.connector)
    if (row?.state.session_id === s.session_id && row.values.e) return row.values.e
  }
  return s.register_wh - s.register_start_wh
}

export const sessionColumns = (): Column<Session>[] => [
  {
    title: t.sessions.session,
    text: (s) => word(t.sessions.states, s.state) + (s.settled ? `, ${t.tickets.settled}` : ''),
    state: (s) => (s.state === 'open' ? { is: 'charging', icon: 'charging' } : s.state === 'orphaned' ? { is: 'faulted', icon: 'faulted' } : { is: 'offline', icon: 'check' }),
  },
  where(),
  driver(),
  { title: t.sessions.energy, text: (s) => fmt.energy(sessionEnergy(s)), num: true },
  { title: t.sessions.begun, text: (s) => fmt.moment(s.started_at ?? s.authorized_at) },
  { title: t.sessions.duration, text: lasted, num: true },
  { title: t.sessions.limit, text: (s) => limitText(s) || '–', num: true },
  { title: t.sessions.endedBy, text: (s) => (s.state === 'open' ? '–' : word(t.stopReason, s.reason) || '–') },
]

export const ticketColumns = (): Column<Ticket>[] => [
  { title: t.tickets.at, text: (k) => fmt.moment(k.stopped_at), href: (k) => 'tickets/' + k.ticket_id },
  where(),
  driver(),
  { title: t.sessions.energy, text: (k) => fmt.energy(k.energy_wh), num: true },
  { title: t.tickets.cost, text: (k) => fmt.money(k.cost, k.currency), num: true },
  { title: t.sessions.duration, text: (k) => fmt.duration(k.duration_sec), num: true },
  { title: t.sessions.endedBy, text: (k) => (k.corrects ? t.tickets.correction : k.settled ? t.tickets.settled : word(t.stopReason, k.reason)) + (k.adopted ? `, ${t.tickets.adopted}` : '') },
]

export const reservationColumns = (): Column<Reservation>[] => [
  {
    title: t.list.state,
    text: (r) => word(t.reservations.states, r.state),
    state: (r) => (r.state === 'active' ? { is: 'reserved', icon: 'reserved' } : r.state === 'pending' ? { is: 'waiting', icon: 'waiting' } : r.state === 'used' ? { is: 'charging', icon: 'charging' } : { is: 'offline', icon: 'check' }),
  },
  where(),
  driver(),
  { title: t.reservations.made, text: (r) => fmt.moment(r.made_at) },
  { title: t.reservations.countdown, text: (r) => (r.state === 'active' || r.state === 'pending' ? fmt.countdown(Date.parse(r.expires_at) - clock.now) : '–'), num: true },
  { title: t.reservations.ended, text: (r) => (r.state === 'used' ? t.reservations.reasons.used : r.state === 'ended' ? word(t.reservations.reasons, r.reason) || t.reservations.reasons.expired : '–') },
]

const finals: { [state: string]: { is: string; icon: string } } = {
  done: { is: 'available', icon: 'check' },
  failed: { is: 'faulted', icon: 'faulted' },
  rejected: { is: 'faulted', icon: 'faulted' },
  expired: { is: 'unavailable', icon: 'waiting' },
  superseded: { is: 'offline', icon: 'next' },
}

/** Its states with their times: "written 20:37:40 → sent 20:37:40 → done 20:37:41". */
export function life(c: Command): string {
  const steps: [string, string | undefined][] = [['written', c.written_at], ['sent', c.sent_at], ['accepted', c.accepted_at], [c.state, c.ended_at]]
  return steps.filter(([, at]) => at).map(([s, at]) => `${word(t.command.states, s)} ${fmt.time(at)}`).join(' → ')
}

export const commandColumns = (): Column<Command>[] => [
  { title: t.commands.command, text: (c) => word(t.command.types, c.type) },
  where(),
  { title: t.commands.result, text: (c) => word(t.command.states, c.state), state: (c) => finals[c.state] ?? { is: 'waiting', icon: 'waiting' } },
  { title: t.commands.at, text: (c) => fmt.moment(c.written_at) },
  { title: t.commands.life, text: (c) => life(c) + (c.reason ? ` (${word(t.command.reasons, c.reason)})` : '') },
]


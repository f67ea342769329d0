// A fact in the language of the page.
import { reasonText } from './because'
import { fmt, t, word } from './i18n.svelte'
import type { Fact } from './live.svelte'

export function factText(f: Fact): string {
  const at = f.cp_id ? (f.connector ? `${f.cp_id}/${f.connector}` : f.cp_id) : 'Central'
  const driver = f.username ?? t.act.noDriver
  switch (`${f.kind} ${f.what}`) {
    case 'ticket made':
      return t.facts.ticketText(driver, at, fmt.energy(f.energy_wh ?? 0), fmt.money(f.cost, f.currency))
    case 'session begun':
      return t.facts.begun(driver, at)
    case 'session charges':
      return t.facts.charges(at)
    case 'session stopped':
      return t.facts.stopped(at, word(t.stopReason, f.reason))
    case 'reservation asked':
      return t.facts.asked(driver, at)
    case 'reservation ended':
      return t.facts.reservationOver(driver, at, word(t.reservations.reasons, f.reason))
    case 'fault raised':
      return t.facts.faultAt(word(t.fault, f.subject), at)
    case 'fault over':
      return t.facts.faultOver(word(t.fault, f.subject), at)
    case 'alarm raised':
      return `${word(t.alarms.kinds, f.subject)}. ${f.why ? reasonText(f.why) : ''}`
    case 'alarm over':
      return t.facts.alarmOver(word(t.alarms.kinds, f.subject))
    case 'card accepted':
      return f.reason === 'without_central' ? t.facts.cardAlone(at, true) : t.facts.cardMay(driver, at)
    case 'card refused':
      return f.reason === 'without_central' ? t.facts.cardAlone(at, false) : t.facts.cardRefused(at, word(t.facts.cardReasons, f.reason))
    case 'dead_letter replayed':
      return t.facts.replayed(f.subject ?? '')
    case 'link started':
      return t.facts.started(at)
  }
  if (f.kind === 'command') {
    return `${word(t.command.types, f.subject)}, ${at}: ${word(t.command.states, f.what)}` + (f.reason ? ` (${word(t.command.reasons, f.reason)})` : '')
  }
  return f.text // of a later version
}

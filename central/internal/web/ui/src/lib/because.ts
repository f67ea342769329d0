// Why something is as it is, in the language of the page. What another program or device
// wrote is not translated: it is a quotation below the text.
import type { Reason } from './api'
import { fmt, t, word } from './i18n.svelte'

/** The text of a reason, and a quotation, which may be empty. */
export function because(r: Reason): { text: string; quote: string } {
  const about = r.message ? t.reasons.about(messageName(r.message), r.field ?? '') : ''
  const texts = [fill(t.reasons.texts[r.code], r), r.cause ? fill(t.reasons.texts[r.cause], r) : '']
  if (about) texts.splice(r.cause ? 1 : 0, 0, about) // before what is wrong with it
  if (r.more) texts.push(`(${t.reasons.more(r.more)})`)
  if (r.note) texts.push(t.reasons.note(r.note))
  const before = (r.part ? t.reasons.part(word(t.pipeline.parts, r.part)) : '') + (r.bridge ? t.reasons.bridge(r.bridge) : '')
  return { text: before + texts.filter(Boolean).join(' '), quote: r.detail ?? '' }
}

/** The name of a kind of messages; behind it may be its type, as in "record meter_read". */
function messageName(message: string): string {
  for (const [kind, name] of Object.entries(t.reasons.messages)) {
    if (message === kind || message.startsWith(kind + ' ')) return name + message.slice(kind.length)
  }
  return message
}

/** The same in one line. */
export function reasonText(r: Reason): string {
  const { text, quote } = because(r)
  return quote ? `${text} ${t.reasons.quote(quote)}` : text
}

function fill(text: string, r: Reason): string {
  return text.replace(/\{(\w+)\}/g, (_, name: keyof Reason) => {
    if (name === 'energy_wh' || name === 'from_wh' || name === 'to_wh') return fmt.energy(r[name] ?? 0)
    if (name === 'first' || name === 'count' || name === 'wanted') return fmt.number(r[name] ?? 0)
    if (name === 'last') return r.last ? fmt.number(r.last) : t.alarms.toEnd
    if (name === 'since') return fmt.moment(r.since)
    if (name === 'fault') return word(t.fault, r.fault)
    if (name === 'username') return r.username || t.act.noDriver
    return String(r[name] ?? '')
  })
}

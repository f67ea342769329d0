// A fact in the language of the page. Central writes facts as English sentences; one of
// another form is shown as it is.
import { t, word } from './i18n.svelte'
import type { Fact } from './live.svelte'

type Form = [pattern: RegExp, text: (...parts: string[]) => string]

const driver = (name: string) => (name === 'an unnamed driver' ? t.act.noDriver : name)

const forms: { [kind: string]: Form[] } = {
  fault: [
    [/^fault (\w+) at (\S+) is over$/, (f, at) => t.facts.faultOver(word(t.fault, f), at!)],
    [/^fault (\w+) at (\S+)$/, (f, at) => t.facts.faultAt(word(t.fault, f), at!)],
  ],
  alarm: [
    [/^alarm (\w+) is over$/, (kind) => t.facts.alarmOver(word(t.alarms.kinds, kind))],
    [/^alarm (\w+): (.*)$/, (kind, detail) => `${word(t.alarms.kinds, kind)}. ${detail}`],
  ],
  session: [
    [/^session \S+ of (.+) begins at (\S+)$/, (name, at) => t.facts.begun(driver(name!), at!)],
    [/^session \S+ charges at (\S+)$/, (at) => t.facts.charges(at!)],
    [/^session \S+ at (\S+) stopped: (\w+)$/, (at, why) => t.facts.stopped(at!, word(t.stopReason, why))],
  ],
  ticket: [[/^ticket of (.+) at (\S+): ([\d.]+) kWh, (.+)$/, (name, at, kwh, cost) => t.facts.ticketText(driver(name!), at!, kwh + '\u00a0kWh', cost!)]],
  command: [
    [
      /^(\w+) at (\S+): (\w+) ?(\w*)$/,
      (type, at, state, why) => `${word(t.command.types, type)}, ${at}: ${word(t.command.states, state)}` + (why ? ` (${word(t.command.reasons, why)})` : ''),
    ],
  ],
  reservation: [
    [/^reservation of (.+) at (\S+) ended: (\w+)$/, (name, at, why) => t.facts.reservationOver(name!, at!, word(t.reservations.reasons, why))],
    [/^(\S+) is asked to reserve for (.+)$/, (at, name) => t.facts.asked(name!, at!)],
  ],
  link: [[/^(\S+) started$/, (cp) => t.facts.started(cp!)]],
}

export function factText(f: Fact): string {
  for (const [pattern, text] of forms[f.kind] ?? []) {
    const m = pattern.exec(f.text)
    if (m) return text(...m.slice(1))
  }
  return f.text
}

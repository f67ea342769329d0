import { Problem } from './api'
import { t } from './i18n.svelte'

/** What a person reads when a request failed: what happened, and what to do next. */
export function explain(err: unknown): string {
  if (!(err instanceof Problem)) return t.problems.unreachable
  const text = (t.problems as { [kind: string]: string })[err.kind] ?? t.problems.bad_request
  const fields = err.fields.map((f) => [f.location?.replace(/^body\./, ''), f.message].filter(Boolean).join(': ')).filter(Boolean)
  return [text, ...fields.map(t.reasons.quote)].join(' ') // what the API states of a field is in English
}

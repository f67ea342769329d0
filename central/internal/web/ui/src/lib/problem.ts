import { Invalid, Problem } from './api'
import { t } from './i18n.svelte'

// Kinds whose detail names which of many values or charging points it is.
const named = ['bad_tariff', 'bad_card', 'bad_group', 'bad_query', 'in_other_group', 'no_safe_current', 'safe_above_limit', 'group_too_large']

/** What a person reads when a request failed: what happened, and what to do next. */
export function explain(err: unknown): string {
  if (err instanceof Invalid) return err.message
  if (!(err instanceof Problem)) return t.problems.unreachable
  const text = (t.problems as { [kind: string]: string })[err.kind] ?? t.problems.bad_request
  const fields = err.fields.map((f) => [f.location?.replace(/^body\./, ''), f.message].filter(Boolean).join(': ')).filter(Boolean)
  if (err.detail && named.includes(err.kind)) fields.push(err.detail)
  return [text, ...fields.map(t.reasons.quote)].join(' ') // what the API states of a field is in English
}

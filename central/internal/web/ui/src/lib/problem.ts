import { Problem } from './api'
import { t, word } from './i18n.svelte'

/** What a person reads when a request failed: what happened, and what to do next. */
export function explain(err: unknown): string {
  if (!(err instanceof Problem)) return t.problems.unreachable
  const texts: { [kind: string]: string } = t.problems
  const fields = err.fields.map((f) => f.message).filter(Boolean).join('; ')
  const known = texts[err.kind]
  if (known) return fields ? known + ' ' + fields : known
  return [err.detail || word({}, err.kind), fields].filter(Boolean).join(': ')
}

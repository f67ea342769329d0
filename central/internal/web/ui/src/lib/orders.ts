// What comes of an order: the commands that were written for it, until each has ended.
import type { Answer, Command } from './api'
import { Problem, get } from './api'

const finals = new Set(['done', 'failed', 'rejected', 'superseded', 'expired'])
export const ended = (c: Command): boolean => finals.has(c.state)

/** Follows the commands of an answer and reports each change; returns them when all have
 *  ended, or as they are when Central does not know the end for two minutes. */
export async function follow(answer: Answer, changed: (commands: Command[]) => void): Promise<Command[]> {
  const ids = answer.commands ?? []
  const commands = new Map<string, Command>()
  const until = Date.now() + 120_000
  await Promise.all(
    ids.slice(0, 4).map(async (id) => {
      while (Date.now() < until) {
        try {
          // Short at first, so that each state shows.
          const c = await get<Command>('commands/' + id, { wait: commands.has(id) ? '10s' : '300ms' }, undefined, 15_000)
          commands.set(id, c)
          changed([...commands.values()])
          if (ended(c)) return
        } catch (err) {
          if (err instanceof Problem && (err.status === 404 || err.status === 403)) return
          await new Promise((r) => setTimeout(r, 1500)) // Central is away: it goes on afterwards
        }
      }
    }),
  )
  return [...commands.values()]
}

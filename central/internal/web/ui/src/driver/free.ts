import { type RowState, shown } from '../lib/live.svelte'

/** Whether a driver can be given a connector now. One with a vehicle plugged in and
 *  without a session can be asked for by name. */
export function isFree(s: RowState, now: number): boolean {
  if (!s.available || s.faults?.length || s.session_id) return false
  const is = shown(s, now)
  return is === 'available' || (is === 'preparing' && !s.username)
}

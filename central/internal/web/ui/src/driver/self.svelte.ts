// Who charges: the driver of the account, or the name that a person gives where
// all may charge. That name is kept in this browser.
import { who } from '../lib/me.svelte'
import { kept } from '../lib/settings.svelte'

class Self {
  #asked = $state(kept.get('self') ?? '')

  get name(): string {
    return who.me?.username || (this.mayAsk ? this.#asked : '')
  }

  /** Whether this person may choose a name; that of a driver's account is fixed. */
  get mayAsk(): boolean {
    return who.acts
  }

  /** Whether this person may charge at all. */
  get charges(): boolean {
    return who.role === 'driver' || who.acts
  }

  set(name: string): void {
    this.#asked = name.trim().replace(/ +/g, ' ')
    kept.set('self', this.#asked)
  }
}

export const self = new Self()

// Whether the tour of the demo is shown: at the first visit of a browser, and on request.
import { kept } from '../lib/settings.svelte'

class Tour {
  open = $state(kept.get('tour') !== 'over')

  end(): void {
    this.open = false
    kept.set('tour', 'over')
  }
  begin(): void {
    this.open = true
  }
}

export const tour = new Tour()

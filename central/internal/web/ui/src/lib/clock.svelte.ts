// Central's clock, as the page knows it. All ages and countdowns use it, so that a
// browser with a wrong clock shows the right ones.

const second = 1000
const late = 100 // ms that a frame may come early or late

class Clock {
  #offset = 0 // Central's clock minus ours, in ms
  #next = 0
  now = $state(Date.now())

  start(): void {
    this.tick()
  }

  /** Shows the present time, and again after so many ms. */
  tick(after = second): void {
    this.now = Date.now() + this.#offset
    clearTimeout(this.#next)
    this.#next = window.setTimeout(() => this.tick(), after)
  }

  /** A frame came: Central's clock shows this time now. It moves our clock each second, so
   *  that ages and numbers are drawn at once. */
  set(at: string): void {
    const offset = Date.parse(at) - Date.now()
    // The way here takes some milliseconds; only a real difference moves the clock.
    const moved = Math.abs(offset - this.#offset) > 250
    if (moved) this.#offset = offset
    if (moved || Date.now() + this.#offset - this.now >= second - late) this.tick(second + late)
  }
}

export const clock = new Clock()

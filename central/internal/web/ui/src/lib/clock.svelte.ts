// Central's clock, as the page knows it. All ages and countdowns use it, so that a
// browser with a wrong clock shows the right ones.

class Clock {
  #offset = 0 // Central's clock minus ours, in ms
  now = $state(Date.now())

  start(): void {
    setInterval(() => this.tick(), 1000)
  }

  tick(): void {
    this.now = Date.now() + this.#offset
  }

  /** Central's clock shows this time now. */
  set(at: string): void {
    const offset = Date.parse(at) - Date.now()
    // The way here takes some milliseconds; only a real difference moves the clock.
    if (Math.abs(offset - this.#offset) > 250) {
      this.#offset = offset
      this.tick()
    }
  }
}

export const clock = new Clock()

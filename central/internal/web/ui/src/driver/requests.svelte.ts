// A list of requests, carried out one after the other. It is kept in this browser and
// goes on after a reload. Each request has a key of its own, so that a second tab with
// the same list, or a repeat, has no second effect.
import { kept } from '../lib/settings.svelte'
import { parseList } from './list'
import { type Data, Service, fresh } from './service.svelte'

type Kept = { state: 'none' | 'runs' | 'stopped'; pause: number; items: Data[]; next: number }

class Requests {
  items: Service[] = $state.raw([])
  state: Kept['state'] = $state('none')
  pause = $state(4) // s, from the end of one request to the next
  /** When the next request begins, in Unix ms by this browser's clock; 0: none waits for its pause. */
  next = $state(0)
  #loop = 0

  get done(): number {
    return this.items.filter((i) => i.over).length
  }
  get complete(): boolean {
    return this.items.length > 0 && this.done === this.items.length
  }
  get current(): Service | undefined {
    return this.items.find((i) => !i.over && i.data.phase !== 'waiting')
  }

  start(): void {
    try {
      const k = JSON.parse(kept.get('list') ?? 'null') as Kept | null
      if (!k) return
      this.pause = k.pause
      this.items = k.items.map((d) => this.#service(d))
      this.state = k.state
      this.next = k.next
      if (this.state === 'runs') void this.#run()
    } catch {
      // What is kept is of another version.
    }
  }

  begin(text: string, username: string): void {
    this.items = parseList(text).items.map((cp) => this.#service({ ...fresh(username, cp), phase: 'waiting' }))
    this.next = 0
    this.goOn()
  }

  goOn(): void {
    this.state = 'runs'
    this.#keep()
    void this.#run()
  }

  /** Ends the request that runs; the others keep waiting. */
  async stop(): Promise<void> {
    this.state = 'stopped'
    this.#loop++
    this.next = 0
    this.#keep()
    await this.current?.end()
  }

  clear(): void {
    this.#loop++
    this.items = []
    this.state = 'none'
    this.#keep()
  }

  #service(d: Data): Service {
    return new Service(d, () => this.#keep())
  }

  #keep(): void {
    const k: Kept = { state: this.state, pause: this.pause, items: this.items.map((i) => i.data), next: this.next }
    kept.set('list', JSON.stringify(k))
  }

  async #run(): Promise<void> {
    const loop = ++this.#loop
    for (const item of this.items) {
      if (item.over) continue
      while (Date.now() < this.next) {
        await new Promise((r) => setTimeout(r, Math.min(250, this.next - Date.now())))
        if (loop !== this.#loop) return
      }
      if (loop !== this.#loop) return
      if (item.over) continue // skipped meanwhile
      this.next = 0
      await item.run()
      if (loop !== this.#loop) return
      this.next = this.items.some((i) => !i.over) ? Date.now() + this.pause * 1000 : 0
      this.#keep()
    }
    this.next = 0
    this.#keep()
  }
}

export const requests = new Requests()

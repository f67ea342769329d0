// The rows of a list of the API: pages by cursor, and new rows while it is shown.
import { type Page, type Params, Problem, get } from './api'

export class Rows<T> {
  items: T[] = $state.raw([])
  next = $state('')
  busy = $state(true)
  older = $state(false)
  problem: unknown = $state.raw(null)

  #control = new AbortController()
  #path = ''
  #params: Params = {}

  constructor(
    readonly key: (item: T) => string,
    readonly limit: number,
  ) {}

  /** Begins with the first page of other filters. The rows before are no rows of this list. */
  async begin(path: string, params: Params): Promise<void> {
    this.#control.abort()
    this.#control = new AbortController()
    this.#path = path
    this.#params = params
    this.items = []
    this.next = ''
    this.problem = null
    this.busy = true
    const control = this.#control
    try {
      const page = await this.#page('')
      if (control !== this.#control) return
      this.items = page.items
      this.next = page.next ?? ''
    } catch (err) {
      if (control === this.#control) this.problem = err
    } finally {
      if (control === this.#control) this.busy = false
    }
  }

  again = (): Promise<void> => this.begin(this.#path, this.#params)

  /** Reads the first page again and joins it with the rows that are there: none is lost. */
  async refresh(): Promise<void> {
    if (this.busy) return
    if (this.problem) return this.again()
    const control = this.#control
    try {
      const page = await this.#page('')
      if (control !== this.#control) return
      const last = page.items.at(-1)
      const at = last ? this.items.findIndex((x) => this.key(x) === this.key(last)) : -1
      if (!page.next || at < 0) {
        this.items = page.items
        this.next = page.next ?? ''
      } else {
        this.items = [...page.items, ...this.items.slice(at + 1)]
      }
    } catch {
      // The banner reports that Central does not answer; the rows are as of then.
    }
  }

  async more(): Promise<void> {
    if (this.older || !this.next) return
    this.older = true
    const control = this.#control
    try {
      const page = await this.#page(this.next)
      if (control !== this.#control) return
      const have = new Set(this.items.map(this.key))
      this.items = [...this.items, ...page.items.filter((x) => !have.has(this.key(x)))]
      this.next = page.next ?? ''
    } catch (err) {
      if (control !== this.#control) return
      if (err instanceof Problem && err.kind === 'cursor_gone') return void this.again()
      throw err
    } finally {
      this.older = false
    }
  }

  end(): void {
    this.#control.abort()
  }

  #page(after: string): Promise<Page<T>> {
    return get<Page<T>>(this.#path, { ...this.#params, limit: this.limit, after }, this.#control.signal)
  }
}

// Short notices, and the one live region of the page for screen readers.

export type Toast = { id: number; text: string; tone: 'info' | 'good' | 'bad'; href?: string }

class Toasts {
  list: Toast[] = $state([])
  /** What screen readers announce; each text once. */
  announced = $state('')
  #id = 0

  add(text: string, tone: Toast['tone'] = 'info', href?: string): void {
    if (this.list.some((x) => x.text === text)) return
    const id = ++this.#id
    this.list = [...this.list.slice(-3), { id, text, tone, ...(href ? { href } : {}) }]
    this.announce(text)
    setTimeout(() => this.drop(id), tone === 'bad' ? 12_000 : 6000)
  }

  announce(text: string): void {
    this.announced = text
  }

  drop(id: number): void {
    this.list = this.list.filter((x) => x.id !== id)
  }
}

export const toasts = new Toasts()

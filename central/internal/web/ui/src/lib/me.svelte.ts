// Who is signed in, and what that person may do.
import { Problem, change, get, onSignedOut, post } from './api'

export type Role = '' | 'admin' | 'operator' | 'auditor' | 'driver' | 'screen'
export type Me = { name: string; role: Role; username?: string; cp_id?: string; access: 'accounts' | 'open'; setup: boolean; permissions: string[] }

/** A Central without accounts lets all act as an operator. */
const open: Me = { name: 'local', role: 'operator', access: 'open', setup: false, permissions: [] }

class Who {
  me: Me | null = $state.raw(null) // null: not known yet
  onChange: () => void = () => {}

  get role(): Role {
    return this.me?.role ?? ''
  }

  /** Whether this person may change anything. Central decides; the page hides what it would refuse. */
  get acts(): boolean {
    return this.role === 'admin' || this.role === 'operator'
  }

  /** Whether the role of this person has a permission of Central. */
  may(permission: string): boolean {
    return this.me?.permissions.includes(permission) ?? false
  }

  start(): void {
    onSignedOut.call = () => void this.read()
    void this.#screen().then(() => this.read())
  }

  async read(): Promise<void> {
    try {
      this.#set(await get<Me>('me'))
    } catch (err) {
      if (err instanceof Problem && err.status === 404) this.#set(open)
      else if (!this.me) setTimeout(() => void this.read(), 1000)
    }
  }

  /** Signs in the screen at a charging point by the token in its link. It is behind the
   *  "#": browsers do not send that, so it is in no log. */
  async #screen(): Promise<void> {
    const token = /^#(carga_[\w-]+)$/.exec(location.hash)?.[1]
    if (!token) return
    try {
      await post('session/screen', { token })
    } catch {
      // It is not signed in then, and asks for it.
    }
    history.replaceState(null, '', location.pathname + location.search)
  }

  async signIn(name: string, password: string): Promise<void> {
    this.#set(await post<Me>('session', { name, password }))
  }

  async setUp(code: string, name: string, password: string): Promise<void> {
    this.#set(await post<Me>('setup', { code, name, password }))
  }

  async signOut(): Promise<void> {
    await change('DELETE', 'session')
    await this.read()
  }

  #set(me: Me): void {
    const other = this.me !== null && (this.me.name !== me.name || this.me.role !== me.role)
    this.me = me
    if (other) this.onChange()
  }
}

export const who = new Who()

// A router on the History API. The state of filters is the query of the address, so
// that a view can be reloaded, bookmarked and sent to another person.
import type { Component } from 'svelte'
import { BASE, address } from './base'

export type View = Component<{ params: string[] }>
/** A view: the address, with ":" for a part that varies, and what shows it. */
export type Route = { path: string; title: () => string; load: () => Promise<View>; bare?: boolean }

class Router {
  path = $state('/')
  query = $state.raw(new URLSearchParams())

  start(): void {
    this.#read()
    addEventListener('popstate', () => this.#read())
    document.addEventListener('click', (e) => {
      const link = (e.target as Element | null)?.closest?.('a')
      if (!link || e.defaultPrevented || e.button !== 0 || e.metaKey || e.ctrlKey || e.shiftKey || e.altKey) return
      if (link.target || link.hasAttribute('download') || !link.href.startsWith(BASE.href) || link.href.startsWith(address('api/'))) return
      e.preventDefault()
      this.go(link.href)
    })
  }

  #read(): void {
    this.path = '/' + location.pathname.slice(BASE.pathname.length)
    if (this.query.toString() !== new URLSearchParams(location.search).toString()) this.query = new URLSearchParams(location.search)
  }

  /** Goes to an address of the page: one below BASE such as "cp/CP_0001", or a whole one. */
  go(to: string, replace = false): void {
    const url = new URL(to, BASE)
    const before = this.path
    history[replace || url.href === location.href ? 'replaceState' : 'pushState'](null, '', url)
    this.#read()
    if (this.path !== before) scrollTo(0, 0)
  }

  /** Changes some filters; an empty value removes one. Back leads to the view before, not to
   *  each letter of a search, unless push is set. */
  set(changes: { [name: string]: string }, push = false): void {
    const query = new URLSearchParams(this.query)
    for (const [name, value] of Object.entries(changes)) {
      if (value) query.set(name, value)
      else query.delete(name)
    }
    const text = query.toString()
    this.go(this.path.slice(1) + (text ? '?' + text : ''), !push)
  }

  get(name: string): string {
    return this.query.get(name) ?? ''
  }

  /** The address of this view with other filters. */
  with(changes: { [name: string]: string }): string {
    const query = new URLSearchParams(this.query)
    for (const [name, value] of Object.entries(changes)) {
      if (value) query.set(name, value)
      else query.delete(name)
    }
    const text = query.toString()
    return address(this.path.slice(1)) + (text ? '?' + text : '')
  }

  /** The parts that vary of the address, if it is of this route. */
  match(route: Route): string[] | null {
    const want = route.path.split('/')
    const have = this.path.split('/')
    if (want.length !== have.length) return null
    const params: string[] = []
    for (const [i, part] of want.entries()) {
      if (part.startsWith(':')) params.push(have[i]!)
      else if (part !== have[i]) return null
    }
    return params
  }
}

export const router = new Router()

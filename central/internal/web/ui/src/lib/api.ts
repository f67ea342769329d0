// The client of Central's API. Its types are generated from the API's description.
import type { components } from '../api/types'
import { take } from './asked'
import { address } from './base'

type Schemas = components['schemas']
export type Alarm = Schemas['Alarm']
export type Answer = Schemas['Answer']
export type Books = Schemas['Books']
export type BridgeDeadLetter = Schemas['BridgeDeadLetter']
export type Card = Schemas['Card']
export type CP = Schemas['CP']
export type CPSettings = Schemas['CPSettings']
export type Command = Schemas['Command']
export type DeadLetter = Schemas['DeadLetter']
export type Connector = Schemas['Connector']
export type Entry = Schemas['Entry']
export type Gap = Schemas['Gap']
export type Group = Schemas['Group']
export type JournalRecord = Schemas['Record']
export type Part = Schemas['Part']
/** Why something is as it is: see lib/because.ts. */
export type Reason = Schemas['Reason']
/** The kinds of refusals: docs/PROBLEMS.md. */
export type ProblemKind = KindOf<NonNullable<Schemas['ErrorModel']['type']>>
type KindOf<T extends string> = T extends `${string}#${infer K}` ? K : never
export type Reservation = Schemas['Reservation']
export type Preview = Schemas['TariffPreview']
export type Session = Schemas['Session']
export type Tariff = Schemas['Tariff']
export type Account = Schemas['Account']
export type Login = Schemas['LoginView']
export type Token = Schemas['Token']
export type TicketTotal = Schemas['TicketTotal']
export type Ticket = Schemas['Ticket']
export type Page<T> = { items: T[]; next?: string }

/** A request that failed: refused by Central with a kind (docs/PROBLEMS.md), or "unreachable". */
export class Problem extends Error {
  constructor(
    readonly kind: string,
    readonly status: number,
    readonly detail: string,
    readonly fields: { location?: string; message?: string }[] = [],
  ) {
    super(detail || kind)
  }
}

/** What a form finds wrong by itself, in the language of the person. */
export class Invalid extends Error {}

/** Called when a request is refused without a sign-in. */
export const onSignedOut = { call: (): void => {} }

async function send<T>(method: string, path: string, init: RequestInit, timeout: number): Promise<T> {
  const limit = AbortSignal.timeout(timeout)
  const signal = init.signal ? AbortSignal.any([init.signal, limit]) : limit
  let response: Response
  let body: unknown
  try {
    response = await (take(path)?.answer ?? fetch(address('api/v1/' + path), { ...init, method, signal, credentials: 'same-origin' }))
    const text = await response.text()
    body = text ? JSON.parse(text) : {}
  } catch (err) {
    if (init.signal?.aborted) throw err
    throw new Problem('unreachable', 0, '')
  }
  if (response.ok || response.status === 304) return body as T
  const p = body as { type?: string; detail?: string; errors?: { location?: string; message?: string }[] | null }
  const kind = p.type?.split('#')[1] ?? (response.status >= 500 ? 'unreachable' : 'bad_request')
  if (kind === 'sign_in_required') onSignedOut.call()
  throw new Problem(kind, response.status, p.detail ?? '', p.errors ?? [])
}

export type Params = { [name: string]: string | number | undefined }

/** The query of parameters, with "?"; those without a value are left out. */
export function queryOf(params: Params): string {
  const query = new URLSearchParams()
  for (const [name, value] of Object.entries(params)) {
    if (value !== undefined && value !== '') query.set(name, String(value))
  }
  const text = query.toString()
  return text ? '?' + text : ''
}

/** Reads something. Parameters without a value are left out. */
export function get<T>(path: string, params: Params = {}, signal?: AbortSignal, timeout = 15_000): Promise<T> {
  return send<T>('GET', path + queryOf(params), signal ? { signal } : {}, timeout)
}

/** A key that names one order, so that a repeat has no second effect. */
export function newKey(): string {
  return [...crypto.getRandomValues(new Uint8Array(16))].map((b) => b.toString(16).padStart(2, '0')).join('')
}

/** Orders something. Repeat an order that may or may not have arrived with the same key. */
export function post<T = Answer>(path: string, body: unknown = {}, key = newKey()): Promise<T> {
  return change<T>('POST', path, body, { 'Idempotency-Key': key })
}

export function change<T>(method: 'POST' | 'PATCH' | 'PUT' | 'DELETE', path: string, body?: unknown, headers: { [name: string]: string } = {}): Promise<T> {
  const init: RequestInit = { headers: body === undefined ? headers : { 'Content-Type': 'application/json', ...headers } }
  if (body !== undefined) init.body = JSON.stringify(body)
  return send<T>(method, path, init, 20_000)
}

/** Reads something that an older Central does not have: undefined if it has not. */
export async function maybe<T>(path: string, params: Params = {}): Promise<T | undefined> {
  try {
    return await get<T>(path, params)
  } catch (err) {
    if (err instanceof Problem && (err.status === 404 || err.status === 422)) return undefined
    throw err
  }
}

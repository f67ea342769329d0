// What the first script of the page has asked Central for, for those who need it later.

export type Asked = { answer: Promise<Response>; control: AbortController }

const asked = new Map<string, Asked>()

/** Asks for something of the API. */
export function ask(path: string, headers: { [name: string]: string } = {}): void {
  const control = new AbortController()
  const answer = fetch(new URL('api/v1/' + path, document.baseURI), { headers, cache: 'no-store', credentials: 'same-origin', signal: control.signal })
  answer.catch(() => {}) // reported to the one who takes it
  asked.set(path, { answer, control })
}

/** Takes what was asked for, once; undefined if it was not. */
export function take(path: string): Asked | undefined {
  const one = asked.get(path)
  asked.delete(path)
  return one
}

// Server-sent events over fetch. EventSource would end for ever at an answer other
// than 200, as proxies give while Central restarts, and does not show which it was.

export type Received = { event: string; data: string; id: string }

/** Reads events until the stream ends or is aborted; then it throws the reason. alive is
 *  called for whatever arrives, also a comment. asked is the answer if it was asked for already. */
export async function readEvents(
  url: string,
  lastID: string,
  signal: AbortSignal,
  alive: () => void,
  receive: (e: Received) => void,
  asked?: Promise<Response>,
): Promise<never> {
  const headers: { [name: string]: string } = { Accept: 'text/event-stream' }
  if (lastID) headers['Last-Event-ID'] = lastID
  const response = await (asked ?? fetch(url, { signal, headers, cache: 'no-store', credentials: 'same-origin' }))
  if (!response.ok || !response.body || !response.headers.get('Content-Type')?.startsWith('text/event-stream')) {
    await response.body?.cancel()
    throw new StreamRefused(response.status)
  }
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader()
  let rest = ''
  let now: Received = { event: 'message', data: '', id: '' }
  for (;;) {
    const { done, value } = await reader.read()
    if (done) throw new Error('the stream has ended')
    alive()
    rest += value
    if (!/[\r\n]/.test(value)) continue // a snapshot is one long line
    const lines = rest.split(/\r\n|\n|\r/)
    rest = lines.pop() ?? ''
    for (const line of lines) {
      if (line === '') {
        if (now.data) receive(now)
        now = { event: 'message', data: '', id: now.id }
        continue
      }
      const colon = line.indexOf(':')
      const field = colon < 0 ? line : line.slice(0, colon)
      const text = colon < 0 ? '' : line.slice(colon + 1).replace(/^ /, '')
      if (field === 'event') now.event = text
      else if (field === 'data') now.data += (now.data ? '\n' : '') + text
      else if (field === 'id') now.id = text
    }
  }
}

/** An answer that is no stream: its status is that of Central or of a proxy before it. */
export class StreamRefused extends Error {
  constructor(readonly status: number) {
    super('HTTP ' + status)
  }
}

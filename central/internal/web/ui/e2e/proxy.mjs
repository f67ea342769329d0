// A reverse proxy before Central that can answer 502 in its place, or serve it below a path.
import { createServer, request } from 'node:http'

export async function startProxy(target, path = '') {
  let to = target
  const sockets = new Set()
  let down = false
  const server = createServer((req, res) => {
    if (down) {
      res.writeHead(502, { 'Content-Type': 'text/html' }).end('<h1>502 Bad Gateway</h1>')
      return
    }
    if (path && !req.url.startsWith(path + '/')) {
      res.writeHead(404).end()
      return
    }
    const up = new URL(to)
    const on = request({ host: up.hostname, port: up.port, path: req.url.slice(path.length), method: req.method, headers: { ...req.headers, host: up.host } }, (answer) => {
      res.writeHead(answer.statusCode, answer.headers)
      answer.pipe(res)
    })
    on.on('error', () => res.destroy())
    res.on('close', () => on.destroy())
    req.pipe(on)
  })
  server.on('connection', (s) => {
    sockets.add(s)
    s.on('close', () => sockets.delete(s))
  })
  await new Promise((r) => server.listen(0, '127.0.0.1', r))
  const cut = () => sockets.forEach((s) => s.destroy())
  return {
    url: `http://127.0.0.1:${server.address().port}${path}/`,
    fail() {
      down = true
      cut()
    },
    /** Answers again, from a Central at another address if that is given. */
    recover(target = to) {
      to = target
      down = false
    },
    stop() {
      cut()
      return new Promise((r) => server.close(r))
    },
  }
}

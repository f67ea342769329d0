// Starts the real demo on free ports, and a real Chromium; a test ends both, by their ids.
import { spawn } from 'node:child_process'
import { existsSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { delimiter, join } from 'node:path'
import { chromium } from 'playwright-core'

const root = new URL('../../../../../', import.meta.url).pathname

/** Runs bin/sim demo with arguments; it may take READY seconds until all is online. url is its link that signs in, mqtt and kafka the addresses of its brokers. */
export async function startDemo(...args) {
  const data = mkdtempSync(join(tmpdir(), 'carga-e2e-'))
  let child, url, base, mqtt, kafka
  // Also when the tests are ended from outside.
  const kill = () => child.kill('SIGKILL')
  process.once('exit', kill)
  for (const signal of ['SIGTERM', 'SIGINT']) process.once(signal, () => process.exit(1))
  async function begin() {
    child = spawn(join(root, 'bin/sim'), ['demo', '--no-open', '--data', data, '--http', '127.0.0.1:0', '--kafka', '127.0.0.1:0', '--mqtt', '127.0.0.1:0', ...args], {
      stdio: ['ignore', 'pipe', 'pipe'],
    })
    let printed = ''
    url = await new Promise((resolve, reject) => {
      const read = (chunk) => {
        printed += chunk
        const link = /http:\/\/127\.0\.0\.1:\d+\/signin\?\S+/.exec(printed)
        if (link) resolve(link[0])
      }
      child.stdout.on('data', read)
      child.stderr.on('data', read)
      child.on('exit', (code) => reject(new Error(`the demo ended with ${code}: ${printed}`)))
      setTimeout(() => reject(new Error('the demo printed no link: ' + printed)), Number(process.env.READY ?? 60) * 1000).unref()
    })
    base = new URL('/', url).href
    const address = (name) => new RegExp(name + '\\D*(127\\.0\\.0\\.1:\\d+)').exec(printed)?.[1]
    mqtt = address('MQTT')
    kafka = address('Kafka')
  }
  async function end() {
    child.removeAllListeners('exit')
    const ended = new Promise((r) => child.once('exit', r))
    child.kill('SIGCONT')
    child.kill('SIGTERM')
    await ended
  }
  await begin()
  /** A request to the API, signed in by cookies. */
  async function api(cookies, method, path, body, headers = {}) {
    const answer = await fetch(base + 'api/v1/' + path, {
      method,
      headers: { Origin: base.slice(0, -1), Cookie: cookies.map((c) => `${c.name}=${c.value}`).join('; '), ...(body ? { 'Content-Type': 'application/json' } : {}), ...headers },
      ...(body ? { body: JSON.stringify(body) } : {}),
    })
    const text = await answer.text()
    return { status: answer.status, body: text.startsWith('{') ? JSON.parse(text) : text, headers: answer.headers }
  }
  const cookiesOf = (headers) => headers.getSetCookie().map((line) => {
    const [, name, value] = /^([^=]+)=([^;]*)/.exec(line)
    return { name, value, domain: '127.0.0.1', path: '/', httpOnly: true, sameSite: 'Strict' }
  })
  const admin = cookiesOf((await fetch(url, { redirect: 'manual' })).headers)
  return {
    get url() {
      return url
    },
    get base() {
      return base
    },
    get mqtt() {
      return mqtt
    },
    get kafka() {
      return kafka
    },
    admin,
    api: (method, path, body, headers) => api(admin, method, path, body, headers),
    /** Makes an account and signs it in; returns its cookies. */
    async account(name, role, username) {
      const password = 'a long sentence of ' + name
      const made = await api(admin, 'POST', 'accounts', { name, role, ...(username ? { username } : {}), password })
      if (made.status !== 201) throw new Error(`the account ${name}: ${made.status} ${JSON.stringify(made.body)}`)
      return cookiesOf((await api([], 'POST', 'session', { name, password })).headers)
    },
    get pid() {
      return child.pid
    },
    /** Stops it; begin starts it again, with its data, at another address. */
    end,
    begin,
    freeze: () => child.kill('SIGSTOP'),
    thaw: () => child.kill('SIGCONT'),
    async stop() {
      process.removeListener('exit', kill)
      await end()
      rmSync(data, { recursive: true, force: true })
    },
  }
}

function browserPath() {
  if (process.env.CHROMIUM) return process.env.CHROMIUM
  for (const folder of (process.env.PATH ?? '').split(delimiter)) {
    for (const name of ['chromium', 'chromium-browser', 'google-chrome']) {
      if (existsSync(join(folder, name))) return join(folder, name)
    }
  }
  throw new Error('no Chromium: apt-get install chromium, or set CHROMIUM')
}

export const launch = () => chromium.launch({ executablePath: browserPath(), args: ['--no-sandbox', '--disable-dev-shm-usage'] })

export const sizes = { desktop: { width: 1280, height: 800 }, tablet: { width: 768, height: 1024 }, phone: { width: 390, height: 844 }, narrow: { width: 320, height: 640 } }

/** A page of a person who is signed in by cookies. Its faults are errors of scripts and violations
 *  of the content security policy. */
export async function openPage(browser, { size = sizes.desktop, locale = 'en-GB', dark = false, as = [], tour = false } = {}) {
  const context = await browser.newContext({ viewport: size, locale, colorScheme: dark ? 'dark' : 'light', hasTouch: size.width < 768, reducedMotion: 'reduce', acceptDownloads: true })
  await context.addCookies(as)
  await context.addInitScript((over) => {
    if (over) localStorage.setItem('carga.tour', 'over')
    addEventListener('securitypolicyviolation', (e) => console.error(`policy: ${e.effectiveDirective} ${e.blockedURI}`))
  }, !tour)
  const page = await context.newPage()
  page.setDefaultTimeout(20_000)
  const faults = []
  page.on('pageerror', (err) => faults.push(String(err)))
  page.on('console', (m) => {
    if (m.type() === 'error' && !/Failed to load resource|ERR_/.test(m.text())) faults.push(m.text())
  })
  page.faults = faults
  return page
}

/** Goes to another view without loading the page again, as a link does. */
export async function go(page, base, path) {
  await page.evaluate((href) => {
    const link = document.createElement('a')
    link.href = href
    document.body.append(link)
    link.click()
    link.remove()
  }, base + path)
}

// Starts the real demo on free ports, and a real Chromium; a test ends both, by their ids.
import { spawn } from 'node:child_process'
import { existsSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { delimiter, join } from 'node:path'
import { chromium } from 'playwright-core'

const root = new URL('../../../../../', import.meta.url).pathname

/** Runs bin/sim demo with arguments; url is its page. */
export async function startDemo(...args) {
  const data = mkdtempSync(join(tmpdir(), 'carga-e2e-'))
  const child = spawn(join(root, 'bin/sim'), ['demo', '--no-open', '--data', data, '--http', '127.0.0.1:0', '--kafka', '127.0.0.1:0', '--mqtt', '127.0.0.1:0', ...args], {
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  // Also when the tests are ended from outside.
  const kill = () => child.kill('SIGKILL')
  process.once('exit', kill)
  for (const signal of ['SIGTERM', 'SIGINT']) process.once(signal, () => process.exit(1))
  let printed = ''
  const url = await new Promise((resolve, reject) => {
    const read = (chunk) => {
      printed += chunk
      // With accounts the demo prints a link that signs in, after the address.
      const link = /http:\/\/127\.0\.0\.1:\d+\/signin\?\S+/.exec(printed)
      const plain = /http:\/\/127\.0\.0\.1:\d+(?=\/?\s)/.exec(printed)
      if (link) resolve(link[0])
      else if (plain) setTimeout(() => resolve(plain[0] + '/'), 700)
    }
    child.stdout.on('data', read)
    child.stderr.on('data', read)
    child.on('exit', (code) => reject(new Error(`the demo ended with ${code}: ${printed}`)))
    setTimeout(() => reject(new Error('the demo printed no address: ' + printed)), 60_000).unref()
  })
  return {
    url,
    base: new URL('/', url).href,
    pid: child.pid,
    freeze: () => child.kill('SIGSTOP'),
    thaw: () => child.kill('SIGCONT'),
    async stop() {
      child.removeAllListeners('exit')
      process.removeListener('exit', kill)
      const ended = new Promise((r) => child.once('exit', r))
      child.kill('SIGCONT')
      child.kill('SIGTERM')
      await ended
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

/** A page that fails its test at an error of a script or a violation of the policy. */
export async function openPage(browser, { size = sizes.desktop, locale = 'en-GB', dark = false } = {}) {
  const context = await browser.newContext({ viewport: size, locale, colorScheme: dark ? 'dark' : 'light', hasTouch: size.width < 768, reducedMotion: 'reduce' })
  const page = await context.newPage()
  const faults = []
  page.on('pageerror', (err) => faults.push(String(err)))
  page.on('console', (m) => {
    if (m.type() === 'error' && !/Failed to load resource|ERR_/.test(m.text())) faults.push(m.text())
  })
  page.faults = faults
  return page
}

// The views of operators, in a real browser against the real demo. Things are looked up by
// role and label: what has neither cannot be used with a screen reader.
import assert from 'node:assert/strict'
import { mkdirSync } from 'node:fs'
import { test } from 'node:test'
import { violations } from './check.mjs'
import { go, openPage, sizes } from './demo.mjs'
import { startProxy } from './proxy.mjs'
import { browser, close, demo, open, useDemo } from './suite.mjs'

const shots = process.env.SCREENSHOTS
if (shots) mkdirSync(shots, { recursive: true })

useDemo('--cps', '12', '--drivers', '6')

const charging = (page) => page.getByRole('link', { name: /con+ector \d+\s*,\s*(charging|cargando)/i })

test('filters are in the address and survive a reload', async () => {
  const page = await open('')
  await charging(page).first().waitFor()
  await page.getByRole('searchbox').fill('CP_0003')
  await page.getByText(/^1 of 12 connectors$/).waitFor()
  assert.match(page.url(), /q=CP_0003/)
  await page.reload()
  await page.getByText(/^1 of 12 connectors$/).waitFor()
  assert.equal(await page.getByRole('searchbox').inputValue(), 'CP_0003')
  await page.getByRole('link', { name: 'Clear filters' }).click()
  await page.getByRole('group', { name: 'Filter by state' }).getByRole('link', { name: /charging/ }).click()
  await page.waitForURL(/state=charging/)
  await page.goBack()
  await close(page)
})

test('a thousand tiles have one tab stop, and arrow keys reach them', async () => {
  const page = await open('')
  await charging(page).first().waitFor()
  const stops = await page.evaluate(() => [...document.querySelectorAll('a[href],button,input,select,summary,[tabindex]')].filter((e) => e.tabIndex >= 0 && e.checkVisibility()).length)
  assert.ok(stops <= 60, `${stops} tab stops`)
  const tile = page.getByRole('link', { name: /^CP_\d+\s*, Connector/ }).first()
  await tile.focus()
  await page.keyboard.press('ArrowRight')
  const second = await page.evaluate(() => document.activeElement.textContent)
  assert.notEqual(second, await tile.textContent())
  await page.keyboard.press('End')
  await page.keyboard.press('Enter')
  await page.getByRole('dialog').getByRole('button', { name: 'Out of service' }).waitFor()
  await page.keyboard.press('Escape')
  await page.getByRole('dialog').waitFor({ state: 'detached' })
  await close(page)
})

test('a tile far from the window is its link, and complete when the keyboard reaches it', async () => {
  const page = await open('', { size: sizes.phone })
  const links = page.getByRole('link', { name: /^CP_\d+\s*, Connector/ })
  await links.first().waitFor()
  const far = page.getByRole('listitem').filter({ has: links }).last()
  assert.match((await far.innerText()).trim(), /^CP_\d+, Connector 1, [\w ]+$/)
  const beyond = await far.locator('a').evaluate((a) => {
    const text = a.textContent
    a.textContent = 'a state of many words '.repeat(9)
    const width = document.documentElement.scrollWidth - innerWidth
    a.textContent = text
    return width
  })
  assert.ok(beyond <= 0, `a long text makes the page ${beyond} px too wide`)
  await links.first().focus()
  await page.keyboard.press('End')
  await far.getByText(/kW/).first().waitFor()
  assert.ok(await links.last().evaluate((a) => a === document.activeElement), 'it keeps the focus')
  await close(page)
})

test('of many tiles the first are drawn before the others, which move nothing', async () => {
  const rows = Array.from({ length: 400 }, (_, i) => ({
    i, cp_id: 'CP_' + String(i).padStart(4, '0'), place: 'Place ' + (i % 3), connector: 1, status: 'available', available: true, admitted: true, simulated: true, link: 'online', rated_w: 150_000,
  }))
  const page = await openPage(browser, { as: demo.admin })
  await page.route('**/api/v1/stream', (route) => {
    const snapshot = { at: new Date().toISOString(), central: '1-a', demo: true, parts: [], bridges: [], rows, facts: [] }
    return route.fulfill({ contentType: 'text/event-stream', body: `id: a.1\nevent: snapshot\ndata: ${JSON.stringify(snapshot)}\n\n` })
  })
  // What is there when a tile appears, and when all have.
  await page.addInitScript(() => {
    window.seen = []
    new MutationObserver(() => {
      const tiles = document.querySelectorAll('a[data-key]').length
      if (tiles) window.seen.push({ tiles, height: document.documentElement.scrollHeight })
    }).observe(document, { childList: true, subtree: true })
  })
  await page.goto(demo.base)
  await page.waitForFunction(() => document.querySelectorAll('a[data-key]').length === 400)
  const seen = await page.evaluate(() => window.seen)
  assert.ok(seen[0].tiles < 100, `${seen[0].tiles} tiles at once`)
  assert.equal(seen.findLast((s) => s.tiles < 300).height, seen.at(-1).height, 'the page grows')
  await close(page)
})

test('a running session is stopped after its driver and energy were named', async () => {
  const page = await open('')
  await charging(page).first().click()
  const panel = page.getByRole('dialog', { name: /^CP_/ })
  await panel.getByRole('button', { name: 'Stop session' }).click()
  const question = page.getByRole('dialog', { name: 'Stop this session?' })
  assert.match(await question.innerText(), /\w+ has charged \d+\.\d{3}\s+kWh at CP_\d+\/1/)
  await question.getByRole('button', { name: 'Stop session' }).click()
  await panel.getByText(/Stop session: done/).waitFor({ timeout: 15_000 })
  await close(page)
})

test('stop all asks for a word and shows who has acknowledged', async () => {
  const page = await open('')
  await charging(page).first().waitFor()
  await page.getByRole('button', { name: 'Stop all…' }).click()
  const question = page.getByRole('dialog', { name: /Take every charging point out of service/ })
  assert.match(await question.innerText(), /12 charging points\. \d+ running sessions?/)
  const go = question.getByRole('button', { name: 'Stop all' })
  assert.ok(await go.isDisabled())
  await question.getByRole('textbox').fill('stop')
  await go.click()
  await page.getByText(/^12 of 12 acknowledged$/).waitFor({ timeout: 20_000 })
  await page.getByRole('button', { name: 'Dismiss' }).first().click()
  await page.getByRole('button', { name: 'Resume all…' }).click()
  await page.getByRole('dialog').getByRole('textbox').fill('resume')
  await page.getByRole('dialog').getByRole('button', { name: 'Resume all' }).click()
  await page.getByText(/^12 of 12 acknowledged$/).waitFor({ timeout: 20_000 })
  await close(page)
})

const views = ['', '?attention=1', 'cp/CP_0001', 'sessions', 'tickets', 'reservations', 'commands', 'events', 'pipeline', 'energy', 'tariffs', 'alarms', 'alarms?tab=gaps', 'alarms?tab=silent', 'alarms?tab=admission', 'drivers', 'drivers?tab=staff', 'drivers?tab=tokens', 'audit', 'settings', 'settings?cp=CP_0001', 'stickers?cp=CP_0001', 'cp/NONE', 'nothing/here']

for (const [size, others, dark, locale] of [['desktop', ['tablet'], false, 'en-GB'], ['phone', ['narrow'], true, 'es-ES']]) {
  test(`every view is accessible, and no wider than its window: ${size}, ${others}, ${locale}`, async () => {
    const page = await open('', { size: sizes[size], dark, locale })
    await page.getByText(/All parts are up|Todas las partes/).waitFor()
    const ticket = (await demo.api('GET', 'tickets?limit=1')).body.items[0].ticket_id
    for (const path of [...views, 'tickets/' + ticket, 'tickets/NONE']) {
      await go(page, demo.base, path)
      await page.waitForFunction(([url]) => location.href === url && document.querySelector('h1') && !/^(Loading|Cargando)…$/m.test(document.body.innerText), [demo.base + path])
      assert.deepEqual(await violations(page), [], path)
      if (shots) await page.screenshot({ path: `${shots}/${path.replaceAll(/\W/g, '_') || 'grid'}-${size}.png` })
      for (const other of [size, ...others]) {
        await page.setViewportSize(sizes[other])
        const [wide, window] = await page.evaluate(() => [document.documentElement.scrollWidth, innerWidth])
        assert.ok(wide <= window, `${path} is ${wide} px in ${window}`)
      }
      await page.setViewportSize(sizes[size])
    }
    await close(page)
  })
}

test('when Central is silent the page reports it within 3 s, and recovers with what was open', async () => {
  const page = await open('?open=CP_0002.1')
  const panel = page.getByRole('dialog', { name: 'CP_0002' })
  await panel.getByText('live').first().waitFor()
  demo.freeze()
  const begin = Date.now()
  try {
    await page.getByText(/Central does not answer since \d\d:\d\d:\d\d/).first().waitFor({ timeout: 6000 })
    assert.ok(Date.now() - begin < 3600, `${Date.now() - begin} ms`)
    assert.ok(await panel.getByRole('button', { name: 'Out of service' }).isDisabled())
  } finally {
    demo.thaw()
  }
  await page.getByText('All parts are up').waitFor({ timeout: 15_000 })
  await panel.getByRole('button', { name: 'Out of service' }).waitFor()
  assert.ok(await panel.getByRole('button', { name: 'Out of service' }).isEnabled())
  await close(page)
})

test('the page recovers after a proxy answered 502, also below a path', async () => {
  const proxy = await startProxy(demo.base, '/carga')
  try {
    const page = await openPage(browser, { as: demo.admin })
    await page.goto(proxy.url + 'cp/CP_0001')
    await page.getByRole('heading', { level: 1, name: 'CP_0001' }).waitFor()
    proxy.fail()
    await page.getByText(/Central does not answer since/).first().waitFor({ timeout: 6000 })
    await page.getByText(/HTTP 502/).waitFor({ timeout: 6000 })
    proxy.recover()
    await page.getByText('All parts are up').waitFor({ timeout: 10_000 })
    await page.getByRole('link', { name: 'Tickets', exact: true }).click()
    await page.getByRole('heading', { level: 1, name: 'Tickets' }).waitFor()
    assert.equal(page.url(), proxy.url + 'tickets')
    await page.reload()
    await page.getByRole('heading', { level: 1, name: 'Tickets' }).waitFor()
    await close(page)
  } finally {
    await proxy.stop()
  }
})

test('cut Kafka: the page names it, charging continues, nothing is lost', async () => {
  const page = await open('pipeline')
  await page.getByRole('button', { name: 'Cut Kafka' }).click()
  await page.getByText(/Kafka down since/).first().waitFor({ timeout: 20_000 })
  await page.getByRole('button', { name: 'Restore Kafka' }).click()
  await page.getByText('All parts are up').waitFor({ timeout: 30_000 })
  await page.getByText('0 lost', { exact: true }).waitFor()
  await page.getByText('0 twice', { exact: true }).waitFor()
  await close(page)
})

test('a list keeps its rows while new ones come, and errors replace them', async () => {
  const page = await open('events')
  await page.getByRole('button', { name: 'Older' }).click()
  await page.waitForFunction(() => Number(/(\d+) rows/.exec(document.body.innerText)?.[1]) > 100, null, { timeout: 15_000 })
  await page.route('**/api/v1/records*', (route) => route.fulfill({ status: 503, contentType: 'application/problem+json', body: '{"type":"x#unavailable","status":503,"detail":"busy"}' }))
  await page.getByLabel('Charging point').fill('CP_0001')
  await page.getByText('This list could not be loaded').waitFor()
  assert.equal(await page.getByRole('row').count(), 0)
  await page.unroute('**/api/v1/records*')
  await page.getByRole('button', { name: 'Try again' }).click()
  await page.getByRole('row').nth(1).waitFor()
  await close(page)
})

test('nothing moves while the network is busy', async () => {
  const page = await open('')
  await charging(page).first().waitFor()
  const shift = await page.evaluate(
    () =>
      new Promise((resolve) => {
        let sum = 0
        new PerformanceObserver((list) => list.getEntries().forEach((e) => (sum += e.hadRecentInput ? 0 : e.value))).observe({ type: 'layout-shift' })
        setTimeout(() => resolve(sum), 10_000)
      }),
  )
  assert.ok(shift <= 0.05, `layout shift ${shift}`)
  await close(page)
})

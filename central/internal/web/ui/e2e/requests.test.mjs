// A list of requests, the code of a charging point, prices, outages, and a driver's account.
import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { check, shot } from './check.mjs'
import { openPage, sizes } from './demo.mjs'
import { browser, demo, useDemo } from './suite.mjs'

useDemo('--cps', '8', '--drivers', '0')

/** A page that is signed in, with the name of a driver kept. */
async function open(path, { size = 'phone', locale = 'en-GB', name = '', as = demo.admin, mock } = {}) {
  const page = await openPage(browser, { size: sizes[size], locale, as })
  if (name) await page.addInitScript((n) => localStorage.setItem('carga.self', n), name)
  await mock?.(page)
  await page.goto(demo.base + path)
  return page
}
const order = (page, path, body) =>
  page.evaluate(async ([url, b]) => (await fetch(url, { method: 'POST', headers: { 'Content-Type': 'application/json' }, body: JSON.stringify(b) })).status, [demo.base + 'api/v1/' + path, body])

describe('a driver', { concurrency: 1 }, () => {
  test('runs a list from a file, one after the other, through a reload', async () => {
    const page = await open('d/list', { name: 'Lista Uno' })
    await page.getByRole('spinbutton').fill('4')
    await page.locator('input[type=file]').setInputFiles({ name: 'list.txt', mimeType: 'text/plain', buffer: Buffer.from('\uFEFFCP_0003\r\n\r\n# nothing\r\nCP_9999\r\nany\r\n') })
    await page.getByText('3 requests', { exact: true }).waitFor()
    await check(page, 'list')
    await shot(page, 'l-phone-en-1')
    await page.getByRole('button', { name: 'Start 3 requests' }).click()
    const row = (k) => page.getByRole('listitem', { name: 'Request ' + k, exact: true })
    await row(1).getByText('reserved, plug in').or(row(1).getByText('charging', { exact: true })).first().waitFor({ timeout: 15_000 })
    await order(page, 'cps/CP_0003/connectors/1/simulate', { action: 'plug' })
    await row(1).getByText('charging', { exact: true }).waitFor({ timeout: 30_000 })
    await row(1).getByText(/0\.\d*[1-9]\d*\skWh/).waitFor({ timeout: 20_000 })
    await check(page, 'list running')
    await shot(page, 'l-phone-en-2')
    await page.reload()
    await row(1).getByText('charging', { exact: true }).waitFor()
    assert.ok(await row(3).getByText('waits for its turn').isVisible())
    await row(1).getByRole('button', { name: 'End this charge' }).click()
    await row(1).getByText('finished').waitFor({ timeout: 20_000 })
    const ended = Date.now()
    await page.getByText(/^The next one begins in 0:0[1-4]$/).waitFor()
    await row(2).getByText('There is no such charging point. Check its number.').waitFor({ timeout: 15_000 })
    assert.ok(Date.now() - ended > 3000, 'the pause between two')
    await row(3).getByText(/reserved|charging/).first().waitFor({ timeout: 15_000 })
    await page.getByRole('button', { name: 'Stop the list' }).click()
    await row(3).getByText(/cancelled|finished/).first().waitFor({ timeout: 20_000 })
    await check(page, 'list over')
    await shot(page, 'l-phone-en-3')
    assert.ok(await row(1).getByRole('link', { name: /€/ }).isVisible())
    await page.getByRole('button', { name: 'New list' }).click()
    await page.getByRole('textbox').fill('CP_0001\nno id\n')
    await page.getByText('Line 2 is no charging point: no id').waitFor()
    assert.ok(await page.getByRole('button', { name: 'Start', exact: true }).isDisabled())
    assert.deepEqual(page.faults, [])
    await page.context().close()
  })

  test('sees the price first, at the charging point of a code', async () => {
    const page = await open('c/CP_0004', {
      locale: 'es-ES', name: 'Marta',
      mock: (p) => p.route('**/api/v1/tariffs*', (r) => r.fulfill({ json: { items: [{ version: 'v2', currency: 'EUR', start_fee: '1.00', per_kwh: '0.45', per_minute: '0.00', per_idle_minute: '0.00', tax_percent: '21.00', valid_from: '2026-01-01T00:00:00.000Z', state: 'current' }] } })),
    })
    await page.getByRole('heading', { name: 'West 1' }).waitFor()
    await page.getByText('0,45\u00a0€').waitFor()
    await check(page, 'price')
    await shot(page, 'c-phone-es-1')
    await page.goto(demo.base + 'c/CP_7777')
    await page.getByText('No existe ese punto de carga').waitFor()
    await check(page, 'unknown')
    await page.context().close()
  })

  test('sees why a charging point is not free, without the name of the driver who has it', async () => {
    const page = await open('c/CP_0005', { name: 'Marta' })
    await order(page, 'reservations', { cp_id: 'CP_0005', username: 'Another Driver' })
    await page.getByText('Another driver has reserved it.').waitFor()
    assert.doesNotMatch(await page.locator('body').innerText(), /Another Driver/)
    assert.equal(await page.locator('.knob').count(), 0, 'only buttons that can work')
    await check(page, 'not free')
    await page.getByRole('link', { name: 'Choose another' }).click()
    await page.getByText(/^Not free/).click()
    await check(page, 'others')
    await shot(page, 'd-phone-en-others')
    await page.context().close()
  })

  test('finds a reservation that was made elsewhere, and cancels it', async () => {
    const page = await open('d', { name: 'Reserva Hecha' })
    await page.getByRole('link', { name: /^Any free one/ }).waitFor()
    await order(page, 'reservations', { cp_id: 'CP_0006', username: 'Reserva Hecha' })
    await page.getByText('Reserved for you').waitFor()
    await check(page, 'reserved')
    await shot(page, 'd-phone-en-reserved')
    await page.getByRole('button', { name: 'Cancel reservation' }).click()
    await page.getByRole('dialog').getByRole('button', { name: 'Cancel reservation' }).click()
    await page.getByRole('link', { name: /^Any free one/ }).waitFor({ timeout: 15_000 })
    await page.context().close()
  })

  test('has a name from the account, and neither sees nor orders anything of others', async () => {
    const as = await demo.account('jordi', 'driver', 'Jordi Pla')
    await demo.api('POST', 'reservations', { cp_id: 'CP_0007', username: 'Another Driver' })
    const page = await open('', { as })
    await page.waitForURL(/\/d$/)
    await page.getByRole('link', { name: /^Any free one/ }).waitFor()
    assert.equal(await page.getByRole('button', { name: 'Change name' }).count(), 0)
    // Whether a charging point is offline must reach a driver; who uses it must not.
    const rows = await page.evaluate(async (url) => {
      const reader = (await fetch(url)).body.pipeThrough(new TextDecoderStream()).getReader()
      let text = ''
      while (!/^data: .*\n/m.test(text)) text += (await reader.read()).value
      await reader.cancel()
      return JSON.parse(/^data: (.*)$/m.exec(text)[1])
    }, demo.base + 'api/v1/stream')
    assert.doesNotMatch(JSON.stringify(rows), /Another Driver|"parts"|"books"|"bridges"/)
    assert.ok(rows.rows.every((r) => r.link === 'online'), JSON.stringify(rows.rows[0]))
    await page.getByText(/^Not free/).click()
    await page.goto(demo.base + 'm/CP_0001')
    await page.getByRole('heading', { level: 1, name: 'There is no such view' }).waitFor()
    await page.goto(demo.base + 'settings')
    await page.getByRole('heading', { name: 'Own log-ins' }).waitFor()
    assert.equal(await page.getByText('Charging points', { exact: true }).count(), 0)
    await check(page, 'settings of a driver')
    assert.deepEqual(page.faults, [])
    await page.context().close()
  })

  test('Central stops: the page reports it within 3 s, orders nothing, and recovers by itself', async () => {
    const page = await open('d?any=1', { name: 'Marta' })
    await page.getByText('Slide to start').waitFor()
    demo.freeze()
    await page.getByText(/^No connection since/).waitFor({ timeout: 3600 })
    assert.ok(await page.getByRole('button', { name: 'Start without sliding' }).isDisabled())
    await check(page, 'lost')
    await shot(page, 'd-phone-en-lost')
    demo.thaw()
    await page.getByText(/^No connection since/).waitFor({ state: 'hidden', timeout: 15_000 })
    assert.ok(await page.getByRole('button', { name: 'Start without sliding' }).isEnabled())
    await page.context().close()
  })
})

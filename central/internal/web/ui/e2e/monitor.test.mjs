// The screen at a charging point, and its checklist for an installer.
import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { check, shot } from './check.mjs'
import { openPage, sizes } from './demo.mjs'
import { browser, demo, useDemo } from './suite.mjs'

useDemo('--cps', '4', '--drivers', '0')

const post = (page, path, body) =>
  page.evaluate(async ([p, b]) => {
    const r = await fetch(new URL('api/v1/' + p, document.baseURI.replace(/\/m\/.*/, '/')), { method: 'POST', headers: { 'Content-Type': 'application/json' }, body: JSON.stringify(b) })
    return { status: r.status, body: await r.json() }
  }, [path, body])

async function open(size, locale, path) {
  const page = await openPage(browser, { size: sizes[size], locale, as: demo.admin })
  await page.goto(demo.base + path)
  return page
}

const unchecked = 'The card could not be checked. Hold it to the reader again.'

describe('the screen at a charging point', { concurrency: 1 }, () => {
  test('shows a whole charge, and no name', async () => {
    const page = await open('desktop', 'en-GB', 'm/CP_0001')
    await page.getByText('Free', { exact: true }).waitFor()
    await page.getByRole('img', { name: /^Code that leads to .*\/c\/CP_0001$/ }).waitFor()
    await check(page, 'free')
    await shot(page, 'm-desktop-en-1-free')

    await post(page, 'reservations', { cp_id: 'CP_0001', username: 'Marta Soler' })
    await page.getByText('Reserved', { exact: true }).waitFor()
    await check(page, 'reserved')
    await shot(page, 'm-desktop-en-2-reserved')
    await post(page, 'sessions', { cp_id: 'CP_0001', connector: 1, username: 'Marta Soler' })
    await page.getByRole('button', { name: 'Plug in' }).click()
    await page.getByText('Charging', { exact: true }).waitFor({ timeout: 30_000 })
    await page.waitForFunction(() => /[1-9][\d.]*\skW(?!h)/.test(document.querySelector('main').textContent), null, { timeout: 30_000 })
    await page.getByText(/\d*[1-9]\d*\skWh/).first().waitFor()
    await check(page, 'charging')
    await shot(page, 'm-desktop-en-3-charging')
    assert.doesNotMatch(await page.locator('body').innerText(), /Marta/)
    await page.waitForFunction(() => document.title.startsWith('Charging · ')) // a busy machine pauses for a moment

    const tablet = await open('tablet', 'es-ES', 'm/CP_0001')
    await tablet.getByText('Cargando', { exact: true }).waitFor()
    await tablet.getByText(/\d*[1-9]\d*\skWh/).first().waitFor()
    await check(tablet, 'tablet charging')
    await shot(tablet, 'm-tablet-es-3-charging')

    await page.getByRole('combobox', { name: 'Kind of fault' }).selectOption('ground_fault')
    await page.getByRole('button', { name: 'Raise fault' }).click()
    await page.getByText('Out of order', { exact: true }).waitFor({ timeout: 20_000 })
    assert.ok(await page.getByText('Do not touch the cable').isVisible(), 'a fault in plain language')
    await tablet.getByText('Averiado', { exact: true }).waitFor()
    await check(page, 'faulted')
    await shot(page, 'm-desktop-en-4-faulted')
    await shot(tablet, 'm-tablet-es-4-faulted')
    await page.getByRole('button', { name: 'Repair' }).click()
    await page.getByText('Out of order', { exact: true }).waitFor({ state: 'hidden', timeout: 20_000 })
    await page.getByRole('button', { name: 'Unplug' }).click()
    await page.getByText('Free', { exact: true }).waitFor({ timeout: 20_000 })
    await tablet.getByText('Libre', { exact: true }).waitFor()
    await check(tablet, 'tablet free')
    await shot(tablet, 'm-tablet-es-1-free')
    assert.deepEqual([page.faults, tablet.faults], [[], []])
    await page.context().close()
    await tablet.context().close()
  })

  test('a card that is held to the reader starts a charge', async () => {
    const page = await open('desktop', 'en-GB', 'm/CP_0001')
    await page.getByText('Free', { exact: true }).waitFor()
    assert.equal((await post(page, 'cards', { uid: '04A1B2C3', username: 'Carla' })).status, 202)
    const tap = page.getByRole('button', { name: 'Hold card to reader' })
    const uid = page.getByRole('textbox', { name: 'UID of the card' })
    assert.ok(await tap.isDisabled())

    await uid.fill('04 ff ff ff')
    await tap.click()
    await page.getByText('Card not accepted: it is not known').or(page.getByText(unchecked)).waitFor()
    await check(page, 'refused')
    await shot(page, 'm-desktop-en-5-refused')

    await page.getByRole('button', { name: 'Plug in' }).click()
    await uid.fill('04 a1 b2 c3')
    const charging = page.getByText('Charging', { exact: true })
    for (let tries = 0; !(await charging.isVisible()); tries++) {
      assert.ok(tries < 3, 'Central answers a card')
      await tap.click()
      await charging.or(page.getByText(unchecked)).first().waitFor({ timeout: 30_000 })
      await page.getByText(unchecked).waitFor({ state: 'hidden' }) // a busy machine may take 2 s for the answer
    }
    await check(page, 'tapped')
    assert.deepEqual(page.faults, [])
    await page.context().close()
  })

  test('offers every kind of fault', async () => {
    const page = await open('tablet', 'en-GB', 'm/CP_0002')
    await page.getByText('Free', { exact: true }).waitFor()
    assert.equal(await page.getByRole('combobox', { name: 'Kind of fault' }).locator('option').count(), 13)
    await page.context().close()
  })

  for (const [size, locale, w] of [
    ['tablet', 'en-GB', { check: 'Check the installation', test: 'Start test charge', plug: 'Plug in', end: 'End test charge', done: 'Everything works.', next: 'Plug detected' }],
    ['desktop', 'es-ES', { check: 'Comprobar la instalación', test: 'Empezar recarga de prueba', plug: 'Enchufar', end: 'Terminar recarga de prueba', done: 'Todo funciona.', next: 'Enchufe detectado' }],
  ]) {
    test(`an installer's checklist ticks itself (${size}, ${locale})`, async () => {
      const cp = size === 'tablet' ? 'CP_0003' : 'CP_0004'
      const page = await open(size, locale, 'm/' + cp)
      await page.getByRole('link', { name: w.check }).click()
      const now = page.locator('li[aria-current=step]')
      await now.getByText(w.next).waitFor() // message and admission are ticked
      await check(page, 'checklist')
      await shot(page, `m-${size}-5-checklist`)
      await page.getByRole('button', { name: w.test }).click()
      await page.getByRole('button', { name: w.plug, exact: true }).click()
      await page.locator('strong').getByText(/5 (of|de) 6/).waitFor({ timeout: 40_000 })
      await page.reload() // what is ticked stays ticked
      await page.locator('strong').getByText(/5 (of|de) 6/).waitFor()
      await check(page, 'checklist charging')
      await shot(page, `m-${size}-6-checklist`)
      await page.getByRole('button', { name: w.end }).click()
      await page.getByRole('dialog').getByRole('button', { name: w.end }).click()
      await page.getByText(w.done).waitFor({ timeout: 20_000 })
      await check(page, 'checklist done')
      await shot(page, `m-${size}-7-checklist`)
      assert.deepEqual(page.faults, [])
      await page.context().close()
    })
  }

  test('a charging point that has not reported yet, and one column on a phone', async () => {
    const page = await open('phone', 'en-GB', 'm/CP_9999')
    await page.getByText('Waiting for the first message').waitFor()
    await check(page, 'unknown')
    await page.goto(demo.base + 'm/CP_0002')
    await page.getByText('Scan to charge').waitFor()
    await check(page, 'phone')
    await shot(page, 'm-phone-en-1-free')
    await page.context().close()
  })

  test('Central stops: the screen reports it within 3 s, and recovers by itself', async () => {
    const page = await open('tablet', 'en-GB', 'm/CP_0002')
    await page.getByText('Free', { exact: true }).waitFor()
    demo.freeze()
    await page.getByText(/^No connection since/).waitFor({ timeout: 3600 })
    assert.ok(await page.getByRole('button', { name: 'Plug in' }).isDisabled())
    await shot(page, 'm-tablet-en-8-lost')
    demo.thaw()
    await page.getByText(/^No connection since/).waitFor({ state: 'hidden', timeout: 15_000 })
    await page.context().close()
  })
})

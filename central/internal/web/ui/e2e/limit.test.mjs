// A driver chooses how much to charge, sees how far it is, and the charge ends by itself.
import assert from 'node:assert/strict'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import { startAgent } from './agent.mjs'
import { check, shot } from './check.mjs'
import { openPage, sizes } from './demo.mjs'
import { browser, close, demo, open, useDemo } from './suite.mjs'

useDemo('--cps', '4', '--drivers', '0')

const words = {
  en: {
    locale: 'en-GB', any: /^Any free one/, kind: 'An amount of energy', field: 'Energy in kWh', button: 'Start without sliding', confirm: 'Start',
    finished: 'Finished', receipt: 'See the receipt', reason: 'Your limit was reached', wrong: 'Enter a number above 0.', upTo: /^Up to 0[.]060/,
  },
  es: {
    locale: 'es-ES', any: /^Cualquiera libre/, kind: 'Una cantidad de dinero', field: 'Importe en EUR', button: 'Empezar sin deslizar', confirm: 'Empezar',
    finished: 'Terminado', receipt: 'Ver el recibo', reason: 'Se alcanzó su límite', wrong: 'Escriba un número mayor que 0.', upTo: /^Hasta/,
  },
}

async function flow(lang, account, name, amount) {
  const w = words[lang]
  const page = await openPage(browser, { size: sizes.phone, locale: w.locale, as: await demo.account(account, 'driver', name) })
  await page.goto(demo.base + 'd')
  await page.getByRole('link', { name: w.any }).click()
  await page.getByRole('radio', { name: w.kind }).check()
  const field = page.getByRole('textbox', { name: w.field })
  await field.fill('0')
  await page.getByText(w.wrong).waitFor()
  assert.equal(await page.getByRole('button', { name: w.button }).count(), 0, 'a limit that is none starts nothing')
  await field.fill(amount)
  await check(page, `${lang} limit`)
  await shot(page, `d-limit-${lang}-1-begin`)
  await page.getByRole('button', { name: w.button }).click()
  await page.getByRole('dialog').getByRole('button', { name: w.confirm, exact: true }).click()

  await page.getByText(w.upTo).first().waitFor({ timeout: 30_000 })
  const progress = page.getByRole('progressbar', { name: w.upTo })
  await progress.waitFor({ timeout: 60_000 })
  await check(page, `${lang} progress`)
  await shot(page, `d-limit-${lang}-2-charging`)
  await page.getByRole('heading', { name: w.finished }).waitFor({ timeout: 90_000 })
  await page.getByRole('link', { name: w.receipt }).click({ timeout: 20_000 })
  await page.getByText(w.reason).waitFor()
  await check(page, `${lang} receipt`)
  await shot(page, `d-limit-${lang}-3-receipt`)
  assert.deepEqual(page.faults, [])
  await page.context().close()

  const { body } = await demo.api('GET', `tickets?username=${encodeURIComponent(name)}`)
  return body.items[0]
}

describe('a limit', { concurrency: 2 }, () => {
  test('of energy ends a charge', async () => {
    const ticket = await flow('en', 'lea', 'Lea', '0.06')
    assert.equal(ticket.reason, 'limit_reached')
    assert.ok(ticket.energy_wh >= 60 && ticket.energy_wh < 160, `${ticket.energy_wh} Wh`)
  })
  test('of money ends a charge', async () => {
    const ticket = await flow('es', 'raul', 'Raúl', '1,03')
    assert.equal(ticket.reason, 'limit_reached')
    assert.ok(Number(ticket.cost) >= 1.02 && Number(ticket.cost) < 1.1, ticket.cost)
  })
})

// After the others, which charge at any free charging point.
test('a limit of a card is given by an operator, shown, and ends each of its sessions', async () => {
  const data = mkdtempSync(join(tmpdir(), 'carga-limit-'))
  const agent = await startAgent(demo, 'CP_CARD', data, '127.0.0.1:0')
  try {
    const page = await open('cards')
    await page.getByRole('button', { name: 'Issue a card' }).first().click()
    const form = page.getByRole('dialog', { name: 'Issue a card' })
    await form.getByLabel('UID of the card').fill('04 A1 B2 C3')
    await form.getByLabel('Driver').fill('Carla')
    const kwh = form.getByLabel('At most per session, in kWh')
    await kwh.fill('none')
    await form.getByRole('button', { name: 'Add' }).click()
    await form.getByText('A limit is a number above 0, such as 12.5.').waitFor()
    await kwh.fill('1')
    await form.getByLabel('At most per session, in EUR').fill('50')
    await check(page, 'card form')
    await form.getByRole('button', { name: 'Add' }).click()
    await page.getByText(/at most .50\.00 · 1\.000\skWh per session/).waitFor()
    await page.getByRole('button', { name: /^Change… Carla/ }).click()
    const edit = page.getByRole('dialog', { name: 'Card of Carla' })
    assert.equal(await edit.getByLabel('At most per session, in kWh').inputValue(), '1')
    await edit.getByLabel('At most per session, in EUR').fill('')
    await edit.getByRole('button', { name: 'Save' }).click()
    await page.getByText(/at most 1\.000\skWh per session/).waitFor()
    await check(page, 'cards')
    await shot(page, 'card-limit-1-cards')

    const act = async (body) => {
      const answer = await fetch(`http://${agent.address}/simulate`, { method: 'POST', headers: { 'Content-Type': 'application/json' }, body: JSON.stringify(body) })
      assert.equal(answer.status, 204, await answer.text())
    }
    assert.ok((await demo.api('POST', 'cps/CP_CARD/admit')).status < 300)
    await page.goto(demo.base + 'cp/CP_CARD')
    await act({ action: 'plug', connector: 1 })
    await act({ action: 'tap', uid: '04A1B2C3' })
    const connector = page.getByRole('region', { name: 'Connector 1' })
    await connector.getByText('Carla').waitFor()
    await connector.getByRole('term').filter({ hasText: 'Limit' }).waitFor()
    await connector.getByText(/^1\.000\skWh$/).first().waitFor()
    await shot(page, 'card-limit-2-charging')

    let ticket
    for (let until = Date.now() + 90_000; !ticket && Date.now() < until; await new Promise((r) => setTimeout(r, 500))) {
      ticket = (await demo.api('GET', 'tickets?username=Carla')).body.items[0]
    }
    assert.equal(ticket?.reason, 'limit_reached')
    assert.ok(ticket.energy_wh >= 1000 && ticket.energy_wh < 1500, `${ticket.energy_wh} Wh`)
    await page.goto(demo.base + 'sessions?username=Carla')
    const row = page.getByRole('row').filter({ hasText: 'CP_CARD' })
    await row.getByText('limit reached').waitFor()
    await row.getByText(/^1\.000\skWh$/).waitFor()
    await check(page, 'sessions')
    await shot(page, 'card-limit-3-sessions')
    await page.goto(demo.base + 'tickets/' + ticket.ticket_id)
    await page.getByRole('term').filter({ hasText: 'Limit' }).waitFor()
    await check(page, 'receipt')
    await close(page)
  } finally {
    await agent.stop('SIGTERM')
    rmSync(data, { recursive: true, force: true })
  }
})

// A driver chooses how much to charge, sees how far it is, and the charge ends by itself.
import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { check, shot } from './check.mjs'
import { openPage, sizes } from './demo.mjs'
import { browser, demo, useDemo } from './suite.mjs'

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

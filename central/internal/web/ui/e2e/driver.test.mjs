// The flows of a driver on a phone and on a computer, in both languages, against the real demo.
import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { check, shot } from './check.mjs'
import { openPage, sizes } from './demo.mjs'
import { browser, demo, useDemo } from './suite.mjs'

useDemo('--cps', '8', '--drivers', '1')

const words = {
  en: {
    locale: 'en-GB', name: 'Your name', go: 'Continue', any: /^Any free one/, button: 'Start without sliding', confirm: 'Start', plugIn: 'Plug in within',
    charging: 'Charging', stop: 'Stop charging', finished: 'Finished', receipt: 'See the receipt', receipts: 'Receipts', list: 'List', until: 'Until you stop or unplug',
    price: 'Price', cancel: 'Cancel reservation', another: 'Choose another',
  },
  es: {
    locale: 'es-ES', name: 'Su nombre', go: 'Continuar', any: /^Cualquiera libre/, button: 'Empezar sin deslizar', confirm: 'Empezar', plugIn: 'Para enchufar quedan',
    charging: 'Cargando', stop: 'Parar la recarga', finished: 'Terminado', receipt: 'Ver el recibo', receipts: 'Recibos', list: 'Lista', until: 'Hasta que pare o desenchufe',
    price: 'Precio', cancel: 'Cancelar la reserva', another: 'Elegir otro',
  },
}

async function slide(page, text) {
  const knob = page.locator('.knob')
  await knob.scrollIntoViewIfNeeded()
  const start = await knob.boundingBox()
  const track = await page.locator('.track').boundingBox()
  await page.mouse.move(start.x + start.width / 2, start.y + start.height / 2)
  await page.mouse.down()
  await page.mouse.move(track.x + track.width / 2, start.y + 10, { steps: 4 })
  await page.mouse.up()
  assert.ok(await page.getByText(text, { exact: true }).isVisible(), 'half of the way is no start')
  await page.mouse.move(start.x + start.width / 2, start.y + start.height / 2)
  await page.mouse.down()
  await page.mouse.move(track.x + track.width - 10, start.y + 10, { steps: 6 })
  await page.mouse.up()
}

async function flow({ size, lang, name, account, withSlide }) {
  const w = words[lang]
  const page = await openPage(browser, { size: sizes[size], locale: w.locale, as: account ? await demo.account(account, 'driver', name) : demo.admin })
  if (account) {
    // What other people do is in no answer to a driver, on the stream neither.
    page.on('response', async (r) => {
      if (/\/api\//.test(r.url()) && !/stream/.test(r.url()) && /Walk-in|Another Driver/.test(await r.text().catch(() => ''))) page.faults.push('another driver in ' + r.url())
    })
    await page.goto(demo.base)
    await page.waitForURL(/\/d$/)
  } else {
    await page.goto(demo.base + 'd')
    await page.getByRole('textbox', { name: w.name }).fill(name)
    await check(page, `${size} ${lang} name`)
    await shot(page, `d-${size}-${lang}-1-name`)
    await page.getByRole('button', { name: w.go }).click()
  }
  await page.getByRole('link', { name: w.any }).waitFor()
  await check(page, `${size} ${lang} choose`)
  await shot(page, `d-${size}-${lang}-2-choose`)
  await page.getByRole('link', { name: w.any }).click()

  // The price comes first, then how much, then the start.
  const price = await page.getByRole('heading', { name: w.price }).boundingBox()
  const limit = await page.getByText(w.until).boundingBox()
  assert.ok(price.y < limit.y)
  await check(page, `${size} ${lang} begin`)
  await shot(page, `d-${size}-${lang}-3-begin`)
  await page.reload() // each step has an address
  await page.getByText(w.until).waitFor()
  if (withSlide) await slide(page, lang === 'en' ? 'Slide to start' : 'Deslice para empezar')
  else {
    await page.getByRole('button', { name: w.button }).focus()
    await page.keyboard.press('Enter')
    await page.getByRole('dialog').getByRole('button', { name: w.confirm, exact: true }).click()
  }

  // The vehicle of the demo may be plugged in before this is looked at.
  const stop = page.getByRole('button', { name: w.stop })
  await page.getByText(w.plugIn, { exact: true }).or(stop).first().waitFor({ timeout: 30_000 })
  await check(page, `${size} ${lang} kept`)
  await shot(page, `d-${size}-${lang}-4-kept`)
  await page.reload() // and the charge goes on after it

  await stop.waitFor({ timeout: 60_000 })
  await page.waitForFunction(() => Number(/([\d.,]+)\skWh/.exec(document.querySelector('main').textContent)?.[1].replace(',', '.')) > 0.02, null, { timeout: 30_000 })
  assert.match(await page.title(), /kW/)
  await check(page, `${size} ${lang} charging`)
  await shot(page, `d-${size}-${lang}-5-charging`)
  assert.doesNotMatch(await page.locator('body').innerText(), /Kafka|MQTT|bridge|Central|suspended_ev/i, 'infrastructure')

  await stop.click()
  await shot(page, `d-${size}-${lang}-6-stop`)
  await page.getByRole('dialog').getByRole('button', { name: w.stop }).click()
  await page.getByRole('heading', { name: w.finished }).waitFor({ timeout: 20_000 })
  await page.getByRole('link', { name: w.receipt }).waitFor({ timeout: 20_000 })
  await check(page, `${size} ${lang} finished`)
  await shot(page, `d-${size}-${lang}-7-finished`)
  await page.getByRole('link', { name: w.receipt }).click()
  await page.getByText('standard-1').waitFor()
  await check(page, `${size} ${lang} receipt`)
  await shot(page, `d-${size}-${lang}-8-receipt`)
  await page.getByRole('link', { name: w.receipts }).click()
  await page.getByRole('heading', { name: w.receipts }).waitFor()
  await page.getByRole('main').getByRole('listitem').first().waitFor()
  await check(page, `${size} ${lang} receipts`)
  await shot(page, `d-${size}-${lang}-9-receipts`)
  assert.deepEqual(page.faults, [])
  await page.context().close()
}

// All at once: each waits most of the time for the network.
describe('a driver', { concurrency: 3 }, () => {
  test('charges with a phone and an account, in English, by sliding', () => flow({ size: 'phone', lang: 'en', name: 'Marta Soler', account: 'marta', withSlide: true }))
  test('charges with a small phone, in Spanish, without sliding', () => flow({ size: 'narrow', lang: 'es', name: 'Núria', withSlide: false }))
  test('charges at a computer with an account, in Spanish', () => flow({ size: 'desktop', lang: 'es', name: 'Iker', account: 'iker', withSlide: false }))
})

// Every view in Spanish, with something to show, has no English of its own.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { englishIn } from './check.mjs'
import { openPage, sizes } from './demo.mjs'
import { produce } from './kafka.mjs'
import { publish } from './mqtt.mjs'
import { browser, close, demo, useDemo } from './suite.mjs'

useDemo('--cps', '8', '--drivers', '4')

const record = (cp, seq) => `{"v":1,"cp_id":"${cp}","journal":"j","seq":${seq},"prev":"","type":"plugged_in","at":"now"}`
const views = {
  admin: ['', '?open=CP_0001.1', 'alarms', 'alarms?state=all', 'alarms?tab=gaps', 'alarms?tab=silent', 'alarms?tab=admission', 'reservations', 'cp/CP_0001', 'cp/CP_0007', 'sessions',
    'tickets', 'commands', 'events', 'tariffs', 'pipeline', 'energy', 'drivers', 'cards', 'groups', 'audit', 'stickers', 'settings', 'm/CP_0001', 'm/CP_0007'],
  driver: ['d', 'd/list', 'd/receipts', 'c/CP_0002', 'c/CP_0007', 'settings'],
  stranger: ['signin', 'setup', ''],
}

/** Waits until a request to the API has the answer that is expected. */
async function until(path, enough) {
  for (let k = 0; k < 120; k++) {
    const { body } = await demo.api('GET', path)
    if (enough(body)) return body
    await new Promise((r) => setTimeout(r, 500))
  }
  assert.fail(path)
}

test('no view has English of its own', { timeout: 240_000 }, async () => {
  await demo.api('POST', 'cps/CP_0007/connectors/1/simulate', { action: 'fault', fault: 'ground_fault' })
  await demo.api('POST', 'reservations', { username: 'ana', cp_id: 'CP_0008' })
  await demo.api('POST', 'cards', { uid: '04A1B2C4', username: 'ana' })
  await demo.api('POST', 'availability', { cp_id: 'CP_0006', available: false })
  await demo.api('POST', 'charges', { username: 'nadie' })
  await demo.api('POST', 'cps/CP_0005/connectors/1/simulate', { action: 'tap', uid: '04A1B2C3' })
  await produce(demo.kafka, 'cp-events', 'CP_0003', record('CP_0003', 0))
  await publish(demo.mqtt, 'cp/CP_0002/up/event', record('CP_0004', 1))
  const { items } = await until('dead-letters', (b) => b.items?.length > 0)
  await demo.api('POST', `dead-letters/${items[0].dead_letter_id}/replay`)
  const tickets = await until('tickets', (b) => b.items?.length > 0)
  const as = { admin: demo.admin, driver: await demo.account('marta', 'driver', 'Marta Soler'), stranger: [] }
  views.admin.push('tickets/' + tickets.items[0].ticket_id, 'd/receipts/' + tickets.items[0].ticket_id)
  const found = {}
  for (const [person, paths] of Object.entries(views)) {
    const page = await openPage(browser, { as: as[person], locale: 'es-ES', size: person === 'driver' ? sizes.phone : sizes.desktop })
    for (const path of paths) {
      await page.goto(demo.base + path)
      await page.getByRole('heading', { level: 1 }).first().waitFor({ state: 'attached' })
      await page.waitForFunction(() => !document.body.innerText.includes('Cargando…'))
      await page.evaluate(() => document.querySelectorAll('details').forEach((d) => (d.open = true)))
      const texts = await englishIn(page)
      if (texts.length) found[`${person} /${path}`] = texts
    }
    await close(page)
  }
  assert.deepEqual(found, {})
})

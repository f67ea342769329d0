// Outages while people use the page, and what operators do about messages that cannot be used.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { check, englishIn } from './check.mjs'
import { openPage, sizes } from './demo.mjs'
import { produce } from './kafka.mjs'
import { publish } from './mqtt.mjs'
import { startProxy } from './proxy.mjs'
import { browser, close, demo, open, useDemo } from './suite.mjs'

useDemo('--cps', '4', '--drivers', '0')

const energy = (page) => page.evaluate(() => Number(/([\d.]+)\skWh/.exec(document.querySelector('main').textContent)?.[1] ?? 0))

test('Kafka is killed while a driver charges: the driver goes on, stops, and pays for all of it', async () => {
  const page = await openPage(browser, { size: sizes.phone, as: await demo.account('marta', 'driver', 'Marta Soler') })
  await page.goto(demo.base + 'd')
  await page.getByRole('link', { name: /^Any free one/ }).click()
  await page.getByRole('button', { name: 'Start without sliding' }).click()
  await page.getByRole('dialog').getByRole('button', { name: 'Start', exact: true }).click()
  const stop = page.getByRole('button', { name: 'Stop charging' })
  await page.getByText('Plug in within', { exact: true }).waitFor()
  const [reservation] = (await demo.api('GET', 'reservations?state=active')).body.items
  await demo.api('POST', `cps/${reservation.cp_id}/connectors/1/simulate`, { action: 'plug' })
  await stop.waitFor({ timeout: 60_000 })
  await page.waitForFunction(() => Number(/([\d.]+)\skWh/.exec(document.querySelector('main').textContent)?.[1]) > 0.01, null, { timeout: 60_000 })
  await demo.api('POST', 'demo/parts/kafka', { up: false })
  await page.getByText(/ ago|old/).first().waitFor({ timeout: 30_000 })
  const before = await energy(page)
  await check(page, 'Kafka is down')
  assert.doesNotMatch(await page.locator('body').innerText(), /Kafka|MQTT|bridge/i, 'infrastructure')
  await stop.click()
  await page.getByRole('dialog').getByRole('button', { name: 'Stop charging' }).click()
  await demo.api('POST', 'demo/parts/kafka', { up: true })
  await page.getByRole('heading', { name: 'Finished' }).waitFor({ timeout: 90_000 })
  await page.getByRole('link', { name: 'See the receipt' }).waitFor({ timeout: 60_000 })
  const { items } = (await demo.api('GET', 'tickets?username=Marta%20Soler')).body
  assert.equal(items.length, 1)
  assert.ok(items[0].energy_wh / 1000 >= before, `${items[0].energy_wh} Wh on the ticket, ${before} kWh shown before`)
  await close(page)
})

test('a message that cannot be used is shown, replayed, and its alarm cleared with a note', async () => {
  await produce(demo.kafka, 'cp-events', 'CP_0001', '{"v":1,"cp_id":"CP_0001"}')
  const page = await open('pipeline')
  const list = page.getByRole('table', { name: 'Dead letters' })
  await list.getByText(/cp-events · CP_0001/).first().waitFor({ timeout: 30_000 })
  await list.getByRole('button', { name: 'Content' }).first().click()
  await page.getByText('{"v":1,"cp_id":"CP_0001"}').waitFor()
  await list.getByRole('button', { name: 'Replay…' }).first().click()
  await page.getByRole('dialog').getByRole('button', { name: 'Replay' }).click()
  await list.getByText('1 time', { exact: true }).waitFor({ timeout: 20_000 })
  await list.getByText('never', { exact: true }).first().waitFor({ timeout: 20_000 }) // it came back

  await page.goto(demo.base + 'alarms')
  const row = page.getByRole('row').filter({ hasText: /A message could not be used.*CP_0001/s })
  await row.getByRole('button', { name: 'Clear…' }).click()
  const question = page.getByRole('dialog', { name: 'Clear this alarm?' })
  assert.ok(await question.getByRole('button', { name: 'Clear' }).isDisabled())
  await check(page, 'clear an alarm')
  await question.getByLabel('What you found out').fill('A test wrote it.\nIt is over.')
  await question.getByRole('button', { name: 'Clear' }).click()
  await page.getByText('No alarm', { exact: true }).waitFor({ timeout: 20_000 })
  await page.goto(demo.base + 'alarms?state=cleared')
  await page.getByText(/An operator noted: A test wrote it\. It is over\./).waitFor()
  await close(page)
})

test('in Spanish, a page about an outage has no English sentence', async () => {
  await produce(demo.kafka, 'cp-events', 'CP_0003', '{"v":1,"cp_id":"CP_0003"}')
  const page = await open('pipeline', { locale: 'es-ES' })
  await publish(demo.mqtt, 'cp/CP_0002/up/event', '{"v":1,"cp_id":"CP_0002","journal":"j","seq":0,"prev":"","type":"plugged_in","at":"now"}')
  await page.getByText(/cp-events · CP_0003/).first().waitFor({ timeout: 30_000 })
  await page.getByText('En el registro, campo «journal»: Falta.').first().waitFor()
  await page.getByText(/^1 mensaje que un puente no pudo/).click({ timeout: 30_000 })
  await page.getByText(/En el registro, campo «at»: "now" no es una hora en UTC/).first().waitFor()
  await demo.api('POST', 'demo/parts/kafka', { up: false })
  try {
    await page.getByText('Espera a Kafka.').waitFor({ timeout: 30_000 })
    await page.getByText('Kafka no funciona, así que no se pueden recibir los latidos del puente.').first().waitFor({ timeout: 30_000 })
    assert.deepEqual(await englishIn(page), [])
    await check(page, 'Kafka is down, in Spanish')
  } finally {
    await demo.api('POST', 'demo/parts/kafka', { up: true })
  }
  await page.getByText('Todas las partes funcionan').waitFor({ timeout: 30_000 })
  await page.goto(demo.base + 'alarms')
  await page.getByText(/Un registro en cp-events\/\d+\/\d+ no se puede usar:/).first().waitFor({ timeout: 30_000 })
  await close(page)
})

test('what a bridge could not pass on is shown', async () => {
  await publish(demo.mqtt, 'cp/CP_0002/up/event', 'nonsense <b>')
  const page = await open('pipeline')
  await page.getByText('2 messages that bridges could not pass on').click({ timeout: 30_000 })
  await page.getByText('In the record: It is not a JSON object.', { exact: true }).waitFor()
  await page.getByText('nonsense <b>').waitFor()
  await check(page, 'dead letters of a bridge')
  await close(page)
})

test('an admin downloads the support bundle', async () => {
  const page = await open('pipeline')
  const [file] = await Promise.all([page.waitForEvent('download'), page.getByRole('link', { name: 'Download it' }).click()])
  assert.match(file.suggestedFilename(), /^carga-support-\d{8}-\d{6}\.zip$/)
  await close(page)
})

test('a screen signs in by its link, shows one charging point, and moves it', async () => {
  const made = await demo.api('POST', 'tokens', { name: 'post 2', role: 'screen', cp_id: 'CP_0002' })
  assert.equal(made.status, 201)
  const page = await openPage(browser, { size: sizes.tablet })
  await page.goto(`${demo.base}m/CP_0002#${made.body.secret}`)
  await page.getByText('Free', { exact: true }).waitFor({ timeout: 20_000 })
  assert.ok(!page.url().includes('carga_'), page.url())
  await check(page, 'a screen')
  await page.getByRole('button', { name: 'Plug in' }).click()
  await page.getByText('Plugged in', { exact: true }).first().waitFor({ timeout: 20_000 })
  await page.goto(demo.base + 'm/CP_0001') // not its own: it is led back
  await page.waitForURL(/\/m\/CP_0002$/)
  await page.goto(demo.base)
  await page.waitForURL(/\/m\/CP_0002$/)
  assert.equal((await page.evaluate(async () => (await fetch('../api/v1/network')).status)), 403)
  await demo.api('POST', 'cps/CP_0002/connectors/1/simulate', { action: 'unplug' })
  await demo.api('DELETE', 'tokens/' + made.body.token_id)
  await page.reload()
  await page.getByRole('button', { name: 'Sign in' }).waitFor({ timeout: 20_000 })
  await close(page)
})

// This one is the last: the address of the demo changes.
test('Central is restarted behind a proxy that answers 502 meanwhile: the page goes on where it was', async () => {
  const proxy = await startProxy(demo.base)
  try {
    const page = await openPage(browser, { as: demo.admin })
    await page.goto(proxy.url + '?q=CP_0003')
    await page.getByText(/^1 of 4 connectors$/).waitFor()
    proxy.fail()
    await demo.end()
    await page.getByText(/Central does not answer since/).first().waitFor({ timeout: 10_000 })
    await page.getByText(/HTTP 502/).waitFor({ timeout: 10_000 })
    await demo.begin()
    proxy.recover(demo.base)
    await page.getByText('All parts are up').waitFor({ timeout: 60_000 })
    await page.getByText(/^1 of 4 connectors$/).waitFor()
    assert.equal(await page.getByRole('searchbox').inputValue(), 'CP_0003')
    const order = await page.evaluate(async () => {
      const answer = await fetch('api/v1/availability', { method: 'POST', headers: { 'Content-Type': 'application/json' }, body: '{"cp_id":"CP_0003","available":true}' })
      return answer.status
    })
    assert.ok(order < 300, `an order after the restart: ${order}`)
    await close(page)
  } finally {
    await proxy.stop()
  }
})

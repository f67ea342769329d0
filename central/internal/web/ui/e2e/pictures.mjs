// Makes the pictures of the documents from the real demo: npm run pictures.
import { mkdirSync } from 'node:fs'
import { go, launch, openPage, sizes, startDemo } from './demo.mjs'

const folder = new URL('../../../../../docs/img/', import.meta.url).pathname
mkdirSync(folder, { recursive: true })
const [demo, browser] = await Promise.all([startDemo('--cps', '24', '--drivers', '10', '--stay', '5m'), launch()])
const take = async (page, name) => {
  await page.evaluate(() => document.fonts.ready)
  await page.screenshot({ path: folder + name + '.png' })
}
try {
  // A driver with a phone.
  const phone = await openPage(browser, { size: sizes.phone, as: await demo.account('marta', 'driver', 'Marta Soler') })
  await phone.goto(demo.base + 'd')
  await phone.getByRole('link', { name: /^Any free one/ }).click()
  await phone.getByRole('button', { name: 'Start without sliding' }).click()
  await phone.getByRole('dialog').getByRole('button', { name: 'Start', exact: true }).click()
  await phone.getByRole('button', { name: 'Stop charging' }).waitFor({ timeout: 60_000 })

  // The screen at its charging point, on a tablet.
  const { items } = (await demo.api('GET', 'sessions?state=open&username=Marta%20Soler')).body
  const cp = items[0].cp_id
  const tablet = await openPage(browser, { size: sizes.tablet, as: demo.admin })
  await tablet.goto(demo.base + 'm/' + cp)
  await tablet.getByText('Charging', { exact: true }).waitFor()

  // The operator: what needs attention comes first, so something does.
  await demo.api('POST', 'cps/CP_0007/connectors/1/simulate', { action: 'fault', fault: 'ground_fault' })
  await demo.api('POST', 'availability', { cp_id: 'CP_0011', available: false })
  const operator = await openPage(browser, { as: demo.admin, size: { width: 1280, height: 860 } })
  await operator.goto(demo.base)
  const enough = (m) => Number(/([\d.]+)\skWh/.exec(document.querySelector('main').textContent)?.[1]) > m
  await phone.waitForFunction(enough, 0.3, { timeout: 180_000 })
  await take(phone, 'driver-phone')
  await take(tablet, 'monitor-tablet')
  await take(operator, 'operator-grid')
  await go(operator, demo.base, 'cp/' + cp)
  await operator.getByRole('heading', { level: 1, name: cp }).waitFor()
  await operator.waitForFunction(() => document.querySelectorAll('canvas').length > 0 && !/Loading…/.test(document.body.innerText))
  await take(operator, 'charging-point')
  // Cards.
  await demo.api('POST', 'cards', { uid: '04A1B2C3D4E5F6', username: 'Marta Soler', label: 'blue key ring', limit_wh: 20000 })
  await demo.api('POST', 'cards', { uid: '0499887766', username: 'Jon Etxebarria' })
  await go(operator, demo.base, 'cards')
  await operator.getByText('blue key ring').waitFor()
  await take(operator, 'cards')
  await demo.api('POST', 'demo/parts/kafka', { up: false })
  await go(operator, demo.base, 'pipeline')
  await operator.getByText(/Kafka down since/).first().waitFor({ timeout: 20_000 })
  await operator.getByText(/charge meanwhile|charges meanwhile/).waitFor()
  await take(operator, 'pipeline-kafka-down')
} finally {
  await browser.close()
  await demo.stop()
}

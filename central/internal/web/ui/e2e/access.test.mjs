// Accounts: who may sign in, what each role sees and may do, and what is written about it.
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { after, before, test } from 'node:test'
import { check } from './check.mjs'
import { launch, openPage, sizes, startDemo } from './demo.mjs'

let demo, browser
before(async () => {
  ;[demo, browser] = await Promise.all([startDemo('--cps', '6', '--drivers', '2'), launch()])
})
after(async () => {
  await browser?.close()
  await demo?.stop()
})

async function open(path, options) {
  const page = await openPage(browser, { as: demo.admin, ...options })
  await page.goto(demo.base + path)
  await page.getByRole('heading', { level: 1 }).waitFor()
  return page
}
const notice = (page) => page.getByRole('region', { name: 'Notices' })
async function close(page) {
  const faults = page.faults
  await page.context().close()
  assert.deepEqual(faults, [])
}

test('the link of the demo signs in, signing out ends it, and signing in leads back', async () => {
  await demo.account('olga', 'operator')
  const page = await openPage(browser)
  await page.goto(demo.url)
  assert.equal(page.url(), demo.base, 'the key is not in the address')
  await page.getByText('All parts are up').waitFor()
  await page.goto(demo.base + 'tickets?cp_id=CP_0002')
  await page.getByRole('heading', { level: 1, name: 'Tickets' }).waitFor()
  await page.locator('summary').click()
  await page.getByRole('button', { name: 'Sign out' }).click()
  await page.getByRole('heading', { level: 1, name: 'Sign in' }).waitFor()
  await check(page, 'sign-in')
  await page.goto(demo.base + 'tickets?cp_id=CP_0002')
  await page.getByLabel('Name').fill('olga')
  await page.getByLabel('Password', { exact: true }).fill('not the right one')
  await page.getByRole('button', { name: 'Sign in' }).click()
  await page.getByRole('alert').getByText(/do not belong together/).waitFor()
  await page.getByLabel('Password', { exact: true }).fill('a long sentence of olga')
  await page.keyboard.press('Enter')
  await page.getByRole('heading', { level: 1, name: 'Tickets' }).waitFor()
  assert.equal(page.url(), demo.base + 'tickets?cp_id=CP_0002')
  assert.equal(await page.getByRole('link', { name: 'Accounts' }).count(), 0, 'accounts are for administrators')
  await page.goto(demo.base + 'drivers')
  await page.getByRole('heading', { level: 1, name: 'There is no such view' }).waitFor()
  await close(page)
})

test('without an account the page is set up with the code of the log', async () => {
  for (const [size, locale, heading, refused] of [['phone', 'es-ES', 'Configurar Carga', 'Ya hay cuentas'], ['desktop', 'en-GB', 'Set up Carga', 'There are accounts already']]) {
    const page = await openPage(browser, { size: sizes[size], locale })
    await page.route('**/api/v1/me', (r) => r.fulfill({ json: { name: '', role: '', access: 'accounts', setup: true, permissions: [] } }))
    await page.goto(demo.base)
    await page.getByRole('heading', { level: 1, name: heading }).waitFor()
    await check(page, 'set-up')
    const [code, name, password, again] = await page.getByRole('main').locator('input').all()
    await code.fill('0000-0000')
    await name.fill('root')
    await password.fill('a long sentence')
    await again.fill('another sentence')
    await page.getByRole('main').getByRole('button').click()
    await page.getByRole('alert').waitFor()
    await again.fill('a long sentence')
    await page.getByRole('main').getByRole('button').click()
    await page.getByRole('alert').getByText(refused).waitFor() // by the real Central, which has accounts
    await close(page)
  }
})

test('an auditor sees everything and no button that would be refused', async () => {
  const as = await demo.account('aud', 'auditor')
  const page = await open('', { as })
  await page.getByText('All parts are up').waitFor()
  assert.equal(await page.getByRole('button', { name: /Stop all|Resume all/ }).count(), 0)
  for (const path of ['cp/CP_0001', 'sessions', 'reservations', 'alarms?tab=gaps', 'pipeline', 'settings?cp=CP_0001', 'audit']) {
    await page.goto(demo.base + path)
    await page.getByRole('heading', { level: 1 }).waitFor()
    await page.waitForFunction(() => !/^(Loading)…$/m.test(document.body.innerText))
    const able = await page.getByRole('main').getByRole('button', { name: /^(Stop|Start|Reserve|Cancel|Out of|Back in|Settle|Admit|Explain|Release|Pass|Lift|Cut|Restore|Replay|Plug|Unplug|Raise|Repair|Save)/, disabled: false }).allTextContents()
    assert.deepEqual(able, [], path)
  }
  await close(page)
})

test('an administrator adds a driver, who signs in; changes, disables and gives a password', async () => {
  const page = await open('drivers')
  await page.getByRole('button', { name: 'Add a driver…' }).click()
  const form = page.getByRole('dialog', { name: 'Add an account' })
  await form.getByLabel('Name', { exact: false }).first().fill('nuria')
  await form.getByLabel(/^Charges as/).fill('Núria Vidal')
  await form.getByLabel(/^Password/).fill('short')
  await form.getByLabel(/^Password/).fill('sentence for nuria')
  await check(page, 'add a driver')
  await form.getByRole('button', { name: 'Add' }).click()
  const row = page.getByRole('list', { name: 'Drivers' }).getByRole('listitem').filter({ hasText: 'nuria' })
  await row.getByText('Núria Vidal').waitFor()

  const driver = await openPage(browser, { size: sizes.phone })
  await driver.goto(demo.base + 'c/CP_0003')
  await driver.getByLabel('Name').fill('nuria')
  await driver.getByLabel('Password', { exact: true }).fill('sentence for nuria')
  await driver.keyboard.press('Enter')
  await driver.waitForURL(/\/c\/CP_0003$/)

  await row.getByRole('button', { name: 'New password… nuria' }).click()
  await page.getByRole('dialog').getByLabel(/^Password/).fill('another for nuria')
  await page.getByRole('dialog').getByRole('button', { name: 'Save' }).click()
  await page.getByRole('dialog').waitFor({ state: 'hidden' })
  await driver.goto(demo.base + 'd') // its log-ins have ended
  await driver.getByRole('heading', { level: 1, name: 'Sign in' }).waitFor()
  await close(driver)

  await row.getByRole('button', { name: 'Disable… nuria' }).click()
  await page.getByRole('dialog', { name: 'Disable nuria?' }).getByRole('button', { name: 'Disable' }).click()
  await row.getByText('disabled').waitFor()
  await row.getByRole('button', { name: 'Enable… nuria' }).click()
  await page.getByRole('dialog').getByRole('button', { name: 'Enable' }).click()
  await row.getByText('active').waitFor()

  // A refusal stays in the form, beside what was typed.
  await page.getByRole('link', { name: 'Staff' }).click()
  await page.getByRole('button', { name: 'Add an account…' }).click()
  await form.getByLabel('Name', { exact: false }).first().fill('nuria')
  await form.getByLabel(/^Password/).fill('sentence for nuria')
  await form.getByRole('button', { name: 'Add' }).click()
  await form.getByRole('alert').getByText(/account of that name already/).waitFor()
  assert.equal(await form.getByLabel('Name', { exact: false }).first().inputValue(), 'nuria')
  await close(page)
})

test('the secret of a token is shown once, works, and is refused when it is revoked', async () => {
  const page = await open('drivers?tab=tokens')
  await page.getByRole('button', { name: 'Make a token…' }).click()
  await page.getByRole('dialog').getByLabel('What it is for').fill('report')
  await page.getByRole('dialog').getByLabel('Role').selectOption('auditor')
  await page.getByRole('dialog').getByRole('button', { name: 'Make a token' }).click()
  const shown = page.getByRole('dialog', { name: 'Copy the secret now' })
  const secret = await shown.getByLabel('Secret').inputValue()
  await check(page, 'secret')
  const ask = async () => (await fetch(demo.base + 'api/v1/tickets', { headers: { Authorization: 'Bearer ' + secret } })).status
  assert.equal(await ask(), 200)
  await shown.getByRole('button', { name: 'I have kept it' }).click()
  assert.ok(!(await page.content()).includes(secret))
  await page.getByRole('button', { name: 'Revoke… report' }).click()
  await page.getByRole('dialog', { name: 'Revoke report?' }).getByRole('button', { name: 'Revoke' }).click()
  await page.getByRole('list', { name: 'Tokens' }).getByText('revoked').waitFor()
  assert.equal(await ask(), 401)
  await close(page)
})

test('a charging point gets a name; who saves later sees what was saved meanwhile', async () => {
  const page = await open('settings?cp=CP_0004')
  await page.getByLabel(/^Name/).fill('North entrance')
  await page.getByRole('button', { name: 'Save' }).click()
  await notice(page).getByText('Saved.').waitFor()
  await page.getByLabel(/^Place/).fill('Car park')
  const other = await demo.api('PATCH', 'cps/CP_0004/settings', { site: 'Harbour' }, { 'If-Match': (await demo.api('GET', 'cps/CP_0004/settings')).headers.get('ETag') })
  assert.equal(other.status, 200)
  await page.getByRole('button', { name: 'Save' }).click()
  const conflict = page.getByRole('alert').filter({ hasText: 'Somebody else saved' })
  await conflict.getByText('Harbour').waitFor()
  await check(page, 'conflict')
  assert.equal(await page.getByLabel(/^Place/).inputValue(), 'Car park', 'nothing typed is lost')
  await page.getByLabel(/^Site/).fill('Harbour')
  await page.getByRole('button', { name: 'Save mine instead' }).click()
  await conflict.waitFor({ state: 'hidden' })
  const now = (await demo.api('GET', 'cps/CP_0004/settings')).body
  assert.deepEqual([now.name, now.place, now.site], ['North entrance', 'Car park', 'Harbour'])
  await page.goto(demo.base + '?q=north+entrance')
  await page.getByText(/^1 of 6 connectors$/).waitFor()
  await close(page)
})

test('a person changes the own password, and ends a log-in that was forgotten', async () => {
  const as = await demo.account('pau', 'operator')
  const forgotten = await fetch(demo.base + 'api/v1/session', { method: 'POST', headers: { Origin: demo.base.slice(0, -1), 'Content-Type': 'application/json', 'User-Agent': 'Forgotten/1' }, body: JSON.stringify({ name: 'pau', password: 'a long sentence of pau' }) })
  assert.equal(forgotten.status, 200)
  const page = await open('settings', { as })
  await page.getByRole('button', { name: /^End Forgotten/ }).click()
  await notice(page).getByText('That log-in has ended.').waitFor()
  await page.getByRole('button', { name: 'Change the password…' }).click()
  const form = page.getByRole('dialog')
  await form.getByLabel('Present password').fill('a long sentence of pau')
  await form.getByLabel(/^New password/).fill('something else now')
  await form.getByLabel('Password, once more').fill('something other now')
  await form.getByRole('button', { name: 'Change the password' }).click()
  await form.getByRole('alert').getByText('The two passwords differ.').waitFor()
  await form.getByLabel('Password, once more').fill('something else now')
  await form.getByRole('button', { name: 'Change the password' }).click()
  await notice(page).getByText(/The password is changed/).waitFor()
  await close(page)
})

test('the audit log names who did what, from where, and what was refused', async () => {
  const page = await open('audit?by=pau')
  const row = page.getByRole('row').filter({ hasText: 'Changed the own password' })
  await row.getByText('pau, Operator').waitFor()
  await row.getByText('127.0.0.1').waitFor()
  await page.getByLabel('What').selectOption('sign-in')
  await page.waitForURL(/operation=sign-in/)
  await page.getByRole('row').filter({ hasText: 'Signed in' }).first().waitFor()
  assert.equal(await page.getByRole('row').filter({ hasText: 'Changed the own' }).count(), 0)
  await page.getByLabel('Who').fill('')
  await page.getByRole('row').filter({ hasText: /olga.*not signed in.*do not belong together/s }).waitFor()
  await close(page)
})

test('sessions and tickets have totals, and all rows as a file in two forms', async () => {
  const open1 = await demo.api('GET', 'sessions?state=open&limit=1')
  if (open1.body.items[0]) await demo.api('POST', `sessions/${open1.body.items[0].session_id}/stop`, {})
  const page = await open('tickets')
  await page.getByRole('group', { name: 'Totals' }).getByText(/^\d+ tickets?$/).waitFor()
  for (const [name, begins] of [['CSV', 'ticket_id,session_id'], ['CSV for Excel', 'ticket_id;session_id']]) {
    const [file] = await Promise.all([page.waitForEvent('download'), page.getByRole('link', { name, exact: true }).click()])
    assert.equal(file.suggestedFilename(), 'tickets.csv')
    assert.ok(readFileSync(await file.path(), 'latin1').startsWith(begins), name)
  }
  await page.goto(demo.base + 'tickets?cp_id=CP_NONE')
  await page.getByText('No ticket in these filters').waitFor()
  await close(page)
})

test('stickers carry the address of a charging point, and print alone', async () => {
  const page = await open('stickers?cp=CP_0002', { size: sizes.phone })
  await page.getByRole('img', { name: `Code that leads to ${demo.base}c/CP_0002` }).waitFor()
  await page.getByRole('button', { name: 'Choose all' }).click()
  await page.getByRole('button', { name: 'Print 6 stickers' }).waitFor()
  await check(page, 'stickers')
  await page.emulateMedia({ media: 'print' })
  assert.equal(await page.getByRole('heading', { level: 1 }).isVisible(), false)
  assert.equal(await page.getByRole('list', { name: 'Stickers to print' }).getByRole('listitem').count(), 6)
  await close(page)
})

test('the tour: request, plug in, cut Kafka, nothing got lost; by keyboard', async () => {
  const page = await open('', { tour: true })
  const tour = page.getByRole('complementary', { name: 'Tour of the demo' })
  const press = async (name) => {
    await tour.getByRole('button', { name }).last().focus()
    await page.keyboard.press('Enter')
  }
  await tour.getByRole('button', { name: 'Request a charge' }).waitFor()
  await page.getByText('All parts are up').waitFor()
  await check(page, 'tour')
  await press('Request a charge')
  await tour.getByRole('heading', { name: 'Plug in' }).waitFor()
  await press('Plug in')
  await tour.getByRole('heading', { name: 'Cut Kafka now' }).waitFor({ timeout: 40_000 })
  await press('Cut Kafka')
  await tour.getByRole('heading', { name: 'Watch nothing get lost' }).waitFor()
  await check(page, 'tour, Kafka cut')
  await press('Restore Kafka')
  await tour.getByText(/0 lost, 0 twice/).waitFor({ timeout: 60_000 })
  await press('End the tour')
  await tour.waitFor({ state: 'hidden' })
  await page.reload()
  await page.getByRole('heading', { level: 1 }).waitFor()
  assert.equal(await tour.count(), 0, 'a tour that has ended does not come back by itself')
  await page.goto(demo.base + 'pipeline')
  await page.getByRole('button', { name: 'Show the tour' }).click()
  await tour.getByRole('button', { name: 'Request a charge' }).focus()
  await page.keyboard.press('Escape')
  await tour.waitFor({ state: 'hidden' })
  await close(page)
  const driver = await openPage(browser, { as: demo.admin, size: sizes.phone, tour: true })
  await driver.goto(demo.base + 'd')
  await driver.getByRole('heading', { level: 1 }).waitFor()
  assert.equal(await driver.getByRole('complementary').count(), 0, 'not on the pages of drivers')
  await close(driver)
})

// Prices: versions, a new one with its preview, and the lines of a receipt.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { check, shot } from './check.mjs'
import { sizes } from './demo.mjs'
import { close, demo, open, useDemo } from './suite.mjs'

useDemo('--cps', '6', '--drivers', '4')

test('an operator adds a version, sees what it would have meant, and a receipt has lines', async () => {
  const page = await open('tickets')
  await page.locator('a[href^="tickets/"]').first().waitFor({ timeout: 120_000 }) // a session has ended
  const ticket = await page.locator('a[href^="tickets/"]').first().getAttribute('href')
  await page.goto(demo.base + ticket)
  await page.getByRole('row', { name: /Start of the charge/ }).waitFor()
  await page.getByRole('row', { name: /^Energy/ }).waitFor()
  await check(page, 'receipt')
  await shot(page, 'receipt-lines')

  await page.goto(demo.base + 'tariffs')
  await page.getByText('valid now').waitFor()
  await page.getByText(/^They would cost/).waitFor()
  await page.getByLabel('Name of the version').fill('winter-1')
  await page.getByLabel('Per kWh').fill('0,5275')
  await page.getByLabel('Per idle minute').fill('0.10')
  await page.getByLabel('Tax in the prices').fill('21')
  await page.getByRole('table', { name: 'Examples' }).waitFor()
  await check(page, 'a draft')
  await shot(page, 'tariffs-desktop')
  await page.getByRole('button', { name: 'New version…' }).click()
  await check(page, 'the question')
  await page.getByRole('dialog').getByRole('button', { name: 'New version' }).click()
  await page.getByRole('listitem').filter({ hasText: 'winter-1' }).filter({ hasText: 'valid now' }).waitFor()
  assert.equal(await page.getByRole('listitem').filter({ hasText: 'valid now' }).count(), 1)

  // A version never changes: its name is refused.
  await page.getByLabel('Name of the version').fill('winter-1')
  await page.getByRole('button', { name: 'New version…' }).click()
  await page.getByRole('dialog').getByRole('button', { name: 'New version' }).click()
  await page.getByText(/There is a version of this name already/).first().waitFor()
  await close(page)
})

test('it fits a phone, in Spanish', async () => {
  const page = await open('tariffs', { size: sizes.narrow, locale: 'es-ES', dark: true })
  await page.getByText(/^Costarían/).waitFor()
  await check(page, 'tarifas')
  await shot(page, 'tariffs-phone')
  await close(page)
})

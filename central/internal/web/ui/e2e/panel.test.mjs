// The page of a charging point itself, served by bin/agent with simulated hardware.
import assert from 'node:assert/strict'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { startAgent } from './agent.mjs'
import { check, shot } from './check.mjs'
import { openPage, sizes } from './demo.mjs'
import { browser, demo, useDemo } from './suite.mjs'

useDemo('--cps', '1', '--drivers', '0')

let agent

describe('the page of a charging point', { concurrency: 1 }, () => {
  const data = mkdtempSync(join(tmpdir(), 'carga-panel-'))
  before(async () => {
    agent = await startAgent(demo, 'CP_PANEL', data, '127.0.0.1:0')
  })
  after(async () => {
    await agent?.stop('SIGTERM')
    rmSync(data, { recursive: true, force: true })
  })

  test('the checklist ticks itself, from the first message to the ticket', async () => {
    const page = await openPage(browser, { size: sizes.phone })
    await page.goto(`http://${agent.address}/`)
    await page.getByRole('heading', { name: 'CP_PANEL' }).waitFor()
    const ticked = (step) => page.getByRole('listitem').filter({ hasText: '✓ ' + step }).waitFor()
    await ticked('First message acknowledged')
    await check(page, 'free')
    await shot(page, 'panel-phone-en-1-free')

    const act = async (path, body) => {
      const { status, body: answer } = await demo.api('POST', path, body)
      assert.ok(status < 300, JSON.stringify(answer))
    }
    await act('cps/CP_PANEL/admit')
    await act('sessions', { cp_id: 'CP_PANEL', connector: 1, username: 'installer' })
    await ticked('Admitted')
    await page.getByRole('button', { name: 'Plug in' }).click()
    for (const step of ['Plug detected', 'Contactor closed', 'Meter advances']) await ticked(step)
    await page.getByText('Charging', { exact: true }).waitFor()
    assert.doesNotMatch(await page.locator('body').innerText(), /installer/)
    await check(page, 'charging')
    await shot(page, 'panel-phone-en-2-charging')
    await page.getByRole('button', { name: 'Plug in' }).click() // refused in words
    await page.getByText('a vehicle is plugged in already').waitFor()
    await page.getByRole('button', { name: 'Unplug' }).click()
    await ticked('Central has the ticket')

    await page.getByRole('button', { name: 'Hold card to reader' }).click()
    await page.getByRole('combobox', { name: 'Kind of fault' }).selectOption('emergency_stop')
    await page.getByRole('button', { name: 'Raise fault' }).click()
    await page.getByText('Look for the reason, then release the button.').waitFor()
    await check(page, 'faulted')
    await shot(page, 'panel-phone-en-3-faulted')
    await page.getByRole('button', { name: 'Repair' }).click()
    await page.getByText('Free', { exact: true }).waitFor()
    assert.deepEqual(page.faults, [])
    await page.context().close()
  })

  for (const [name, options] of Object.entries({
    'narrow, Spanish, dark': { size: sizes.narrow, locale: 'es-ES', dark: true, ready: 'Libre' },
    'desktop, English': { size: sizes.desktop, ready: 'Free' },
  })) {
    test('it can be read: ' + name, async () => {
      const page = await openPage(browser, options)
      await page.goto(`http://${agent.address}/`)
      await page.getByText(options.ready, { exact: true }).waitFor()
      await check(page, name)
      await shot(page, 'panel-' + name.replaceAll(/\W+/g, '-'))
      assert.deepEqual(page.faults, [])
      await page.context().close()
    })
  }

  test('the agent is killed: the page reports it within 3 s, and recovers by itself', async () => {
    const page = await openPage(browser, { size: sizes.phone })
    await page.goto(`http://${agent.address}/`)
    await page.getByText('Free', { exact: true }).waitFor()
    await agent.stop('SIGKILL')
    await page.getByRole('alert').filter({ hasText: 'does not answer' }).waitFor({ timeout: 3000 })
    assert.ok(await page.getByRole('button', { name: 'Plug in' }).isDisabled())
    await check(page, 'lost')
    await shot(page, 'panel-phone-en-4-lost')
    agent = await startAgent(demo, 'CP_PANEL', data, agent.address)
    await page.getByRole('alert').waitFor({ state: 'hidden' })
    await page.getByRole('button', { name: 'Plug in' }).click()
    await page.getByText('Plugged in, no power yet', { exact: true }).waitFor()
    assert.deepEqual(page.faults, [])
    await page.context().close()
  })
})

// What the files of tests share: one demo and one browser for each file.
import assert from 'node:assert/strict'
import { after, afterEach, before } from 'node:test'
import { launch, openPage, startDemo } from './demo.mjs'

export let demo, browser

/** Starts a demo with arguments, and a browser, before the tests of a file. */
export function useDemo(...args) {
  before(async () => {
    ;[demo, browser] = await Promise.all([startDemo(...args), launch()])
  })
  after(async () => {
    await browser?.close()
    await demo?.stop()
  })
  afterEach(async (t) => {
    if (t.passed !== false) return
    for (const page of (browser?.contexts() ?? []).flatMap((c) => c.pages())) console.log(await seen(page))
    const { body } = (await demo?.api('GET', 'commands?limit=10').catch((e) => ({ body: String(e) }))) ?? {}
    console.log('the last commands:', JSON.stringify(body))
  })
}

/** What a person sees on a page, for the report of a test that failed. */
async function seen(page) {
  const text = await page.locator('body').innerText({ timeout: 2_000 }).catch(String)
  return `${page.url()} shows:\n${text.slice(0, 2_000)}`
}

/** Opens a view as the admin of the demo, unless `as` names another person. */
export async function open(path, options) {
  const page = await openPage(browser, { as: demo.admin, ...options })
  await page.goto(demo.base + path)
  await page.getByRole('heading', { level: 1 }).waitFor()
  return page
}

/** Closes a page, which had no fault. */
export async function close(page) {
  const faults = page.faults
  await page.context().close()
  assert.deepEqual(faults, [])
}

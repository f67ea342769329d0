// What holds on every view.
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'

const axe = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8')

/** What axe finds wrong with a page. */
export async function violations(page) {
  if (!(await page.evaluate(() => 'axe' in window))) await page.evaluate(axe)
  return page.evaluate(async () =>
    (await window.axe.run(document, { resultTypes: ['violations'] })).violations.map((v) => `${v.id}: ${v.nodes.map((n) => n.target.join(' ') + ' ' + (n.any[0]?.message ?? '')).join(', ')}`),
  )
}

/** Checks what holds on every view: axe, no horizontal scrolling, targets of 44 px on a phone. */
export async function check(page, where) {
  assert.deepEqual(await violations(page), [], where)
  const { wide, small } = await page.evaluate(() => ({
    wide: document.documentElement.scrollWidth - document.documentElement.clientWidth,
    small: innerWidth >= 768 ? [] : [...document.querySelectorAll('a[href], button, input:not(.unseen), select, textarea, summary')]
      .filter((e) => e.checkVisibility() && e.getBoundingClientRect().top > -1)
      // A checkbox is reached by its label.
      .map((e) => ({ name: (e.getAttribute('aria-label') ?? e.textContent ?? '').trim().slice(0, 40), r: (/^(checkbox|radio)$/.test(e.type) ? (e.closest('label') ?? e) : e).getBoundingClientRect(), inline: getComputedStyle(e).display === 'inline' }))
      .filter(({ r, inline }) => !inline && r.width > 0 && (r.height < 44 || r.width < 44))
      .map(({ name, r }) => `${name} ${Math.round(r.width)}×${Math.round(r.height)}`),
  }))
  assert.equal(wide, 0, where + ' scrolls horizontally')
  assert.deepEqual(small, [], where + ' has targets that are too small')
}

// Words of English sentences that are none in Spanish, nor in names of the demo.
const english = /\b(the|is|are|was|were|not|for|from|and|which|while|since|cannot|waiting|waits|heartbeats?|does|its?|of|to|with|by|this|that|has|have|been|ended?|stopped|started|driver|session|connector|charging|unknown|failed|missing)\b/i

/** What a page in Spanish has in English, also for screen readers. What other programs wrote is
 *  marked as English, code as code; the audit log has values with their names in the API. */
export const englishIn = (page) => page.locator('html').evaluate((html, source) => {
  const copy = html.cloneNode(true)
  for (const quoted of copy.querySelectorAll('[lang=en]:not(html), noscript, script, style, pre, code')) quoted.remove()
  const texts = [copy.querySelector('title')?.textContent ?? '']
  const walker = document.createTreeWalker(copy.querySelector('body'), NodeFilter.SHOW_ELEMENT | NodeFilter.SHOW_TEXT)
  for (let n = walker.nextNode(); n; n = walker.nextNode()) {
    if (n.nodeType === Node.TEXT_NODE) texts.push(n.data)
    else for (const name of ['aria-label', 'title', 'placeholder', 'alt']) texts.push(n.getAttribute(name) ?? '')
  }
  const found = texts.map((text) => text.replace(/\s+/g, ' ').replace(/\b\w+=\S+/g, '').trim()).filter((text) => new RegExp(source, 'i').test(text))
  return [...new Set(found)]
}, english.source)

/** Keeps a picture of a view in the folder SHOTS, if it is set. */
export async function shot(page, name) {
  if (process.env.SHOTS) await page.screenshot({ path: `${process.env.SHOTS}/${name}.png` })
}

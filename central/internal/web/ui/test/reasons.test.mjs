// The texts of reasons: each language names the same values, and only values that there are.
// Each operation that the audit log can have has a text.
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { test } from 'node:test'
import { transformWithOxc } from 'vite'

async function load(name) {
  const { code } = await transformWithOxc(readFileSync(new URL(`../src/lib/${name}.ts`, import.meta.url), 'utf8'), 'texts.ts')
  return import('data:text/javascript,' + encodeURIComponent(code))
}
const texts = async (lang) => (await load(lang + '.reasons')).reasons.texts
const names = (text) => [...text.matchAll(/\{(\w+)\}/g)].map((m) => m[1]).sort()
const description = JSON.parse(readFileSync(new URL('../../../../../docs/openapi.json', import.meta.url), 'utf8'))
const api = description.components.schemas.Reason.properties

test('both languages name the same values of a reason', async () => {
  const [en, es] = await Promise.all([texts('en'), texts('es')])
  assert.deepEqual(Object.keys(en).sort(), [...api.code.enum].sort())
  for (const [code, text] of Object.entries(en)) {
    assert.deepEqual(names(es[code]), names(text), code)
    for (const name of names(text)) assert.ok(api[name], `${code}: {${name}}`)
    if (code !== 'cp_fault') assert.notEqual(es[code], text, code) // it is its fault alone
  }
})

test('a reason names its message and field in both languages', async () => {
  const [en, es] = await Promise.all([load('en.reasons'), load('es.reasons')])
  assert.deepEqual(Object.keys(es.reasons.messages), Object.keys(en.reasons.messages))
  for (const { reasons } of [en, es]) assert.match(reasons.about('x', 'data.y'), /x.*data\.y.*:$/)
})

test('each operation of the audit log has a text', async () => {
  const known = (await load('en.admin')).admin.audit.operations
  for (const methods of Object.values(description.paths)) {
    for (const [method, { operationId }] of Object.entries(methods)) {
      if (method !== 'get') assert.ok(known[operationId], operationId)
    }
  }
})

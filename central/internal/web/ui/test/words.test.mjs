// Words of Central and of charging points that a view shows by its text: each has one, so
// that no page shows the word itself, which is English.
import assert from 'node:assert/strict'
import { readFileSync, readdirSync } from 'node:fs'
import { test } from 'node:test'
import { transformWithOxc } from 'vite'

const file = (path) => readFileSync(new URL(path, import.meta.url), 'utf8')
const root = '../../../../../'
const schemas = readdirSync(new URL(root + 'docs/schema/', import.meta.url)).map((name) => name.replace('.json', ''))
const typesOf = (kind) => schemas.filter((name) => name.startsWith(kind + '_')).map((name) => name.slice(kind.length + 1))

/** The object literal of a name in the texts, whose values are strings. */
async function group(name) {
  const literal = new RegExp(`^ +${name}: (\\{[^}]*\\})`, 'm').exec(file('../src/lib/en.ts'))?.[1]
  assert.ok(literal, name)
  const { code } = await transformWithOxc(`export const group = ${literal}`, 'group.ts')
  return (await import('data:text/javascript,' + encodeURIComponent(code))).group
}

test('each type of record and of command has a text', async () => {
  const [records, commands] = await Promise.all([group('eventTypes'), group('types')])
  for (const type of typesOf('record')) assert.ok(records[type], type)
  for (const type of typesOf('command')) assert.ok(commands[type], type)
})

test('each kind of fact has a text', () => {
  const kinds = [...file(root + 'central/view/facts.go').matchAll(/FactKind = "(\w+)"/g)].map((m) => m[1])
  const shown = file('../src/lib/facts.ts')
  assert.ok(kinds.length > 5)
  for (const kind of kinds) assert.match(shown, new RegExp(`'${kind}( \\w+)?'`), kind)
})

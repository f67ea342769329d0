import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { test } from 'node:test'
import { transformWithOxc } from 'vite'

const source = readFileSync(new URL('../src/driver/list.ts', import.meta.url), 'utf8')
const { code } = await transformWithOxc(source, 'list.ts')
const { parseList } = await import('data:text/javascript,' + encodeURIComponent(code))

test('a list of requests tolerates what files have', () => {
  assert.deepEqual(parseList('\uFEFFCP_0001\r\n\r\n# a comment\r\nany # the first free one\r\n  ANY\t\rCP-2\n'), { items: ['CP_0001', '', '', 'CP-2'], wrong: [] })
  assert.deepEqual(parseList(''), { items: [], wrong: [] })
})

test('a line that is no charging point is named', () => {
  assert.deepEqual(parseList('CP_1\nCP 1\n<b>\n' + 'x'.repeat(65)), {
    items: ['CP_1'],
    wrong: [{ line: 2, text: 'CP 1' }, { line: 3, text: '<b>' }, { line: 4, text: 'x'.repeat(40) }],
  })
})

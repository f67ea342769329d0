// Measures what the operator's page costs with a large network that charges: npm run bench.
// CPS and DURATION (in seconds) choose how large it is and how long it is watched. It prints each figure
// beside its target, and fails if one is missed. The demo and Chromium have a CPU each, where there are two.
import { execFileSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { loadavg, availableParallelism } from 'node:os'
import { launch, openPage, startDemo } from './demo.mjs'

process.env.READY ??= '300'
const cps = Number(process.env.CPS ?? 1000)
const seconds = Number(process.env.DURATION ?? 600)
const sleep = (s) => new Promise((r) => setTimeout(r, s * 1000))

/** Lets a process, with all its threads, use one CPU alone. What it starts inherits that. */
function pin(pid, cpu) {
  try {
    execFileSync('taskset', ['-a', '-c', '-p', String(cpu), String(pid)], { stdio: 'ignore' })
    return true
  } catch {
    return false // no taskset, or no such CPU
  }
}
const apart = availableParallelism() > 1 && pin(process.pid, 1)

/** CPU time of a process, in s. */
function cpu(pid) {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8')
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
    return (Number(fields[11]) + Number(fields[12])) / 100
  } catch {
    return NaN // not on Linux
  }
}

const load = loadavg()[0]
// Vehicles stay as in operation: sessions of half a minute would be 25 starts and ends each second.
const demo = await startDemo('--cps', String(cps), '--drivers', String(Math.min(cps, 1000)), '--stay', '5m')
if (apart) pin(demo.pid, 0)
const browser = await launch()
let failed = false
const line = (mark, name, value, unit, rest) => console.log(`${mark} ${name.padEnd(44)} ${value.toFixed(1).padStart(8)} ${unit}  ${rest}`)
function figure(name, value, target, unit) {
  const missed = !(value <= target)
  failed ||= missed
  line(missed ? '✗' : '✓', name, value, unit, `(≤ ${target})`)
}

/** Opens the page with an empty cache, and measures until it shows the first tile. */
async function openGrid() {
  const page = await openPage(browser, { as: demo.admin })
  const devtools = await page.context().newCDPSession(page)
  // CPU time of the main thread: what others use of the machine does not count.
  await devtools.send('Performance.enable', { timeDomain: 'threadTicks' })
  await devtools.send('Network.enable')
  await devtools.send('HeapProfiler.enable')
  const requests = new Map()
  let bytes = 0
  devtools.on('Network.requestWillBeSent', (e) => requests.set(e.requestId, { name: new URL(e.request.url).pathname, sent: e.timestamp }))
  devtools.on('Network.responseReceived', (e) => (requests.get(e.requestId).answered = e.timestamp))
  devtools.on('Network.dataReceived', (e) => {
    const r = requests.get(e.requestId)
    r.last = e.timestamp
    if (r.name.endsWith('/api/v1/stream')) bytes += e.encodedDataLength
  })
  const metrics = async () => Object.fromEntries((await devtools.send('Performance.getMetrics')).metrics.map((m) => [m.name, m.value]))
  const began = Date.now()
  await page.goto(demo.base, { waitUntil: 'commit' })
  await page.locator('a[data-key]').first().waitFor()
  const took = (Date.now() - began) / 1000
  return { page, devtools, metrics, took, cpu: (await metrics()).TaskDuration, requests: structuredClone([...requests.values()]), streamed: () => bytes }
}

try {
  // Half of the network charges before it is measured, as it does from then on.
  for (let n = 0, end = Date.now() + 300_000; n < cps * 0.5; await sleep(5)) {
    const { cps: points } = (await demo.api('GET', 'network')).body
    n = points.filter((p) => p.connectors.some((k) => k.session_id)).length
    console.log(`${n} of ${points.length} charge`)
    if (Date.now() > end) throw new Error('too few charge: the machine is too slow for so many')
  }
  // The last page is watched afterwards.
  const opened = []
  for (let n = 0; n < 5; n++) {
    await opened.at(-1)?.page.context().close()
    opened.push(await openGrid())
    await sleep(3)
  }
  const { devtools, metrics, streamed } = opened.at(-1)
  const heap = async () => {
    await devtools.send('HeapProfiler.collectGarbage')
    return (await metrics()).JSHeapUsedSize / 2 ** 20
  }
  await sleep(20)
  const heapBefore = await heap()
  const before = await metrics()
  const bytesBefore = streamed()
  const began = Date.now()
  const demoBefore = cpu(demo.pid)
  await sleep(seconds)
  const took = (Date.now() - began) / 1000
  const demoAfter = cpu(demo.pid)
  const after = await metrics()
  const received = streamed() - bytesBefore
  const heapAfter = await heap()
  const each = (name) => ((after[name] - before[name]) / took) * 1000

  console.log(`\n${cps} charging points, ${Math.round(took)} s, ${apart ? 'a CPU each for the demo and Chromium' : 'all CPUs shared'}, load before ${load.toFixed(1)}`)
  opened.sort((a, b) => a.took - b.took)
  const first = opened[2]
  figure('first grid, median of 5', first.took, 1, 's ')
  line(' ', '  of it main thread, CPU time', first.cpu, 's ', '')
  line(' ', '  the quickest', opened[0].took, 's ', '')
  line(' ', '  the slowest', opened[4].took, 's ', '')
  const begun = Math.min(...first.requests.map((r) => r.sent))
  const ms = (at) => (at ? String(Math.round((at - begun) * 1000)) : '–').padStart(6)
  console.log('  ms after the first request: sent, answered, last byte')
  for (const r of first.requests) console.log(`  ${ms(r.sent)} ${ms(r.answered)} ${ms(r.last)}  ${r.name}`)
  figure('main thread, CPU time per second', each('TaskDuration'), 60, 'ms')
  for (const [name, metric] of [['script', 'ScriptDuration'], ['style', 'RecalcStyleDuration'], ['layout', 'LayoutDuration']]) line(' ', `  of it ${name}`, each(metric), 'ms', '')
  figure('stream, compressed, per second', received / took / 1000, 10, 'kB')
  figure('heap, growth', heapAfter - heapBefore, Math.max(2, heapBefore * 0.1), `MiB of ${heapBefore.toFixed(1)}`)
  line(' ', 'demo, CPU time per second', ((demoAfter - demoBefore) / took) * 1000, 'ms', '')
} finally {
  await browser.close()
  await demo.stop()
}
process.exitCode = failed ? 1 : 0

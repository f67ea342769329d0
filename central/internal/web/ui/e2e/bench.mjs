// Measures what the operator's page costs with a large network that charges: npm run bench.
// CPS and DURATION (in seconds) choose how large it is and how long it is watched. It prints each figure
// beside its target, and fails if one is missed.
import { launch, openPage, startDemo } from './demo.mjs'

const cps = Number(process.env.CPS ?? 1000)
const seconds = Number(process.env.DURATION ?? 600)
const sleep = (s) => new Promise((r) => setTimeout(r, s * 1000))

const [demo, browser] = await Promise.all([startDemo('--cps', String(cps), '--drivers', String(cps)), launch()])
let failed = false
function figure(name, value, target, unit, missed = value > target) {
  failed ||= missed
  console.log(`${missed ? '✗' : '✓'} ${name.padEnd(44)} ${value.toFixed(1).padStart(8)} ${unit}  (≤ ${target})`)
}
try {
  // Most of the network charges before it is measured.
  for (let n = 0, end = Date.now() + 300_000; n < cps * 0.7 && Date.now() < end; await sleep(5)) {
    const { cps: points } = (await demo.api('GET', 'network')).body
    n = points.filter((p) => p.connectors.some((k) => k.session_id)).length
    console.log(`${n} of ${points.length} charge`)
  }
  const page = await openPage(browser, { as: demo.admin })
  const devtools = await page.context().newCDPSession(page)
  await devtools.send('Performance.enable')
  await devtools.send('Network.enable')
  await devtools.send('HeapProfiler.enable')
  let stream = ''
  let bytes = 0
  devtools.on('Network.responseReceived', (e) => {
    if (e.response.url.endsWith('/api/v1/stream')) stream = e.requestId
  })
  devtools.on('Network.dataReceived', (e) => {
    if (e.requestId === stream) bytes += e.encodedDataLength
  })
  const metrics = async () => Object.fromEntries((await devtools.send('Performance.getMetrics')).metrics.map((m) => [m.name, m.value]))
  const heap = async () => {
    await devtools.send('HeapProfiler.collectGarbage')
    return (await metrics()).JSHeapUsedSize / 2 ** 20
  }

  const begin = Date.now()
  await page.goto(demo.base, { waitUntil: 'commit' })
  await page.getByRole('link', { name: /^CP_\d+\s*, Connector/i }).first().waitFor()
  const first = (Date.now() - begin) / 1000
  await sleep(20)
  const heapBefore = await heap()
  const before = await metrics()
  const bytesBefore = bytes
  await sleep(seconds)
  const after = await metrics()
  const took = after.Timestamp - before.Timestamp
  const heapAfter = await heap()

  console.log(`\n${cps} charging points, ${Math.round(took)} s`)
  figure('first grid', first, 1, 's ')
  figure('main thread, per second', ((after.TaskDuration - before.TaskDuration) / took) * 1000, 60, 'ms')
  figure('of it script', ((after.ScriptDuration - before.ScriptDuration) / took) * 1000, 60, 'ms')
  figure('stream, compressed, per second', (bytes - bytesBefore) / took / 1000, 10, 'kB')
  figure('heap, growth', heapAfter - heapBefore, Math.max(2, heapBefore * 0.1), `MiB of ${heapBefore.toFixed(1)}`)
} finally {
  await browser.close()
  await demo.stop()
}
process.exitCode = failed ? 1 : 0

// A real agent with simulated hardware, beside the charging points of the demo.
import { spawn } from 'node:child_process'
import { join } from 'node:path'

const root = new URL('../../../../../', import.meta.url).pathname

/** Starts bin/agent as a charging point of a demo; address is that of its page. */
export async function startAgent(demo, cp, data, listen) {
  const child = spawn(join(root, 'bin/agent'), [], {
    stdio: ['ignore', 'ignore', 'pipe'],
    env: {
      ...process.env, CARGA_AGENT_CP_ID: cp, CARGA_AGENT_PLACE: 'Hall 2', CARGA_AGENT_DATA_DIR: data,
      CARGA_AGENT_MQTT__URL: 'tcp://' + demo.mqtt, CARGA_AGENT_OBSERVE__LISTEN: listen, CARGA_AGENT_STOP_WITHIN: '1s',
      CARGA_AGENT_CARDS__WAIT: '10s', // a busy machine may answer a card later than within 2 s
    },
  })
  const kill = () => child.kill('SIGKILL')
  process.once('exit', kill)
  let printed = ''
  const address = await new Promise((resolve, reject) => {
    child.stderr.on('data', (chunk) => {
      printed += chunk
      const served = /health and metrics are served.*?(127\.0\.0\.1:\d+)/.exec(printed)
      if (served) resolve(served[1])
    })
    child.on('exit', (code) => reject(new Error(`the agent ended with ${code}: ${printed}`)))
  })
  return {
    address,
    async stop(signal) {
      process.removeListener('exit', kill)
      child.removeAllListeners('exit')
      const ended = new Promise((r) => child.once('exit', r))
      child.kill(signal)
      await ended
    },
  }
}

// Publishes one message by MQTT 3.1.1 with QoS 1, as any program that reaches the broker can.
import { connect } from 'node:net'

const text = (s) => {
  const bytes = Buffer.from(s)
  return Buffer.concat([Buffer.from([bytes.length >> 8, bytes.length & 255]), bytes])
}
const packet = (head, ...parts) => {
  const body = Buffer.concat(parts)
  const length = []
  for (let n = body.length; ; n >>= 7) {
    length.push((n & 127) | (n > 127 ? 128 : 0))
    if (n <= 127) break
  }
  return Buffer.concat([Buffer.from([head, ...length]), body])
}

export function publish(address, topic, payload) {
  const [host, port] = address.split(':')
  return new Promise((resolve, reject) => {
    const socket = connect(Number(port), host, () => {
      socket.write(packet(0x10, text('MQTT'), Buffer.from([4, 2, 0, 30]), text('e2e-' + process.pid)))
      socket.write(packet(0x32, text(topic), Buffer.from([0, 1]), Buffer.from(payload)))
    })
    socket.setTimeout(10_000, () => socket.destroy(new Error('the broker does not answer')))
    socket.on('error', reject)
    let received = Buffer.alloc(0)
    socket.on('data', (chunk) => {
      received = Buffer.concat([received, chunk])
      if (received.includes(Buffer.from([0x40, 2, 0, 1]))) socket.end(packet(0xe0), resolve) // PUBACK
    })
  })
}

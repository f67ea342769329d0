// Writes one record to partition 0 of a topic, as any program that reaches Kafka can: Produce v3
// with one batch of format 2.
import { connect } from 'node:net'

const table = Array.from({ length: 256 }, (_, n) => {
  for (let k = 0; k < 8; k++) n = n & 1 ? (n >>> 1) ^ 0x82f63b78 : n >>> 1
  return n >>> 0
})
const crc32c = (bytes) => (bytes.reduce((c, b) => table[(c ^ b) & 255] ^ (c >>> 8), 0xffffffff) ^ 0xffffffff) >>> 0
const int = (size, n) => {
  const b = Buffer.alloc(size)
  if (size === 8) b.writeBigInt64BE(BigInt(n))
  else b.writeIntBE(n, 0, size)
  return b
}
const string = (s) => Buffer.concat([int(2, Buffer.byteLength(s)), Buffer.from(s)])
const varint = (n) => {
  const bytes = []
  for (let z = n << 1; ; z >>>= 7) {
    bytes.push((z & 127) | (z > 127 ? 128 : 0))
    if (z <= 127) return Buffer.from(bytes)
  }
}

function batch(key, value) {
  const fields = Buffer.concat([int(1, 0), varint(0), varint(0), varint(Buffer.byteLength(key)), Buffer.from(key), varint(Buffer.byteLength(value)), Buffer.from(value), varint(0)])
  const now = int(8, Date.now())
  const signed = Buffer.concat([int(2, 0), int(4, 0), now, now, int(8, -1), int(2, -1), int(4, -1), int(4, 1), varint(fields.length), fields])
  const crc = Buffer.alloc(4)
  crc.writeUInt32BE(crc32c(signed))
  const rest = Buffer.concat([int(4, -1), int(1, 2), crc, signed])
  return Buffer.concat([int(8, 0), int(4, rest.length), rest])
}

export function produce(address, topic, key, value) {
  const records = batch(key, value)
  const body = Buffer.concat([
    int(2, 0), int(2, 3), int(4, 1), string('e2e'), // Produce, v3, correlation 1
    int(2, -1), int(2, 1), int(4, 10_000), int(4, 1), string(topic), int(4, 1), int(4, 0), int(4, records.length), records,
  ])
  const [host, port] = address.split(':')
  return new Promise((resolve, reject) => {
    const socket = connect(Number(port), host, () => socket.write(Buffer.concat([int(4, body.length), body])))
    socket.setTimeout(10_000, () => socket.destroy(new Error('Kafka does not answer')))
    socket.on('error', reject)
    let received = Buffer.alloc(0)
    socket.on('data', (chunk) => {
      received = Buffer.concat([received, chunk])
      if (received.length < 4 || received.length < 4 + received.readInt32BE(0)) return
      const at = 4 + 4 + 4 + 2 + received.readInt16BE(12) + 4 + 4 // size, correlation, topics, name, partitions, partition
      const error = received.readInt16BE(at)
      socket.end()
      if (error) reject(new Error(`Kafka refuses the record: ${error}`))
      else resolve()
    })
  })
}

package kafkalink

import "encoding/binary"

// PartitionOf returns the partition of a key among count partitions, as Kafka's
// Java client and librdkafka's murmur2 partitioner do, so that other producers
// and tools agree with it. A nil key counts as an empty one. count must be at
// least 1.
func PartitionOf(key []byte, count int) int {
	return int(murmur2(key)&0x7fffffff) % count
}

// murmur2 is Austin Appleby's MurmurHash2, 32 bit, with Kafka's seed.
func murmur2(data []byte) uint32 {
	const (
		seed = 0x9747b28c
		mul  = 0x5bd1e995
	)
	h := uint32(seed) ^ uint32(len(data))
	for ; len(data) >= 4; data = data[4:] {
		k := binary.LittleEndian.Uint32(data) * mul
		h = h*mul ^ (k^k>>24)*mul
	}
	if len(data) > 0 {
		for i, b := range data {
			h ^= uint32(b) << (8 * i)
		}
		h *= mul
	}
	h = (h ^ h>>13) * mul
	return h ^ h>>15
}

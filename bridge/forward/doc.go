// Package forward decides what the bridge does with the messages that it has
// received and that Kafka does not have yet: which it accepts, which it holds and
// writes, in which order it acknowledges them, and when it stops reading. It is
// pure: Step takes an event and returns effects, and the bridge and the
// simulation perform them.
//
// A message is in flight from its acceptance until Kafka has it, or has its dead
// letter. It is acknowledged to MQTT afterwards, so that a bridge that is killed
// loses nothing: the broker redelivers what was not acknowledged. What is held in
// memory is bounded by Limits, whatever is away and for how long.
//
// In the other direction, Downlink selects which commands and acknowledgements are
// published.
package forward

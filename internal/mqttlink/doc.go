// Package mqttlink keeps one MQTT connection alive for ever, over paho. The agent
// and the bridge use it.
//
// Guarantees:
//   - Nothing is decided at the start. Run connects, subscribes, serves, detects
//     the loss of the connection, waits a little and connects again, whatever is
//     away and for how long.
//   - There is one paho client per TCP connection, without its automatic
//     reconnection and without its store, so that no state survives inside the
//     client. On its own reconnect, paho completes the tokens of the old
//     connection with nil, resends in random order, and does not restore
//     subscriptions.
//   - Up means connected, with every subscription granted. When a broker refuses
//     one, the link is down with the filter in its error, and retries.
//   - Every attempt has a number, the connection number. Messages, publishes and
//     callbacks carry it; what belongs to an older connection has no effect.
//   - A publish ends when its acknowledgement arrives, when its connection is
//     lost, or when the caller's context ends, whichever is first. Without an
//     acknowledgement its error is never nil. An acknowledgement means that the
//     broker has the message, not that any client will receive it.
//   - A connection that died silently is detected within 1.5 × KeepAlive
//     (KeepAlive of at most 10 s, or at least 20 s).
//
// Goroutines: Run owns all of them and returns after they have ended. OnUp runs
// on a goroutine of its own, Handler on paho's only reader of the connection.
package mqttlink

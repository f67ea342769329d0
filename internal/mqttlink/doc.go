// Package mqttlink keeps one MQTT connection alive for ever: the agent's and
// the bridge's way to their broker, over paho.
//
// Guarantees:
//   - Nothing is decided at start. Run connects, subscribes, serves, notices the
//     loss, waits a little and begins again, whatever is away and for how long.
//   - One paho client per TCP connection, without its reconnection and without
//     its store. So no state survives inside the client: paho completes the
//     tokens of an old connection with nil on its own reconnect, sends again in
//     random order, and does not restore subscriptions.
//   - Up means connected and every subscription granted. A broker that refuses
//     one is shown as down, with the filter in the error, and tried again.
//   - Every attempt has a number. Messages, publishes and callbacks carry it;
//     what belongs to an older connection is void.
//   - A publish is over when its acknowledgement came, when its connection was
//     lost, or when the caller's context ended, whichever is first; without an
//     acknowledgement never with a nil error. An acknowledgement says that the
//     broker has the message, not that anybody keeps it: a progress hint.
//   - A line that went dead without a word is noticed within 1.5 × KeepAlive
//     (KeepAlive of at most 10 s, or at least 20 s).
//
// Goroutines: Run owns all of them and returns after they have ended. OnUp runs
// on a goroutine of its own, Handler on paho's only reader of the line.
package mqttlink

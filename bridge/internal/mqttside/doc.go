// Package mqttside is the bridge's end of MQTT: it takes what the charging
// points say and publishes what Central says to them.
//
// Taking. One supervised connection with a session the broker keeps; a message
// is acknowledged only when its Sink says that it is done, so what a killed
// bridge held comes again. What was taken and is not done is bounded. Above the
// high mark the handler holds the line back for less than the ping time-out;
// if that is not enough the bridge disconnects, leaves the messages with the
// broker, and comes back below the low mark. An event is never dropped.
//
// Publishing. Only on the present connection, QoS 1; who publishes tries again
// on the next one.
//
// Goroutines: Run owns them all. The handler runs on the connection's reader
// and does nothing but decide and hand over.
package mqttside

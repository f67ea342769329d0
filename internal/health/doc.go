// Package health keeps the state of what a program depends on, and watches the
// loops that the program itself consists of.
//
// There are two questions, and they have different answers:
//
//   - Is the program alive? It is while each of its loops makes progress (Loops).
//     A program that is not alive has to be restarted.
//   - Is the program ready? It is while everything it needs is up (Registry). A
//     restart does not help a program that only waits for a broker.
//
// The package starts no goroutine, keeps no global state and is small, because
// the agent links it. Package observe serves both answers by HTTP.
package health

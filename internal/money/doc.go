// Package money holds amounts of money and prices as integers, each in a
// currency of its own.
//
// Amounts are in the minor unit of their currency by ISO 4217: cents of a euro,
// whole yen, thousandths of a Kuwaiti dinar. Prices are finer, in
// ten-thousandths of the minor unit: 0.4275 EUR is 427,500. That unit is tied to
// the minor unit, so that pricing multiplies integers and asks nothing about the
// currency; only reading and writing decimals does. A later edition of ISO 4217
// can change how an amount is written, never what a ticket costs.
//
// There is no sum of amounts of two currencies: nothing here converts.
//
// The package has no state. Central and the simulator use it; the agent does not
// (it names a version of the tariff and knows no prices).
package money

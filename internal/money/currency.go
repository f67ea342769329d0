package money

import (
	"golang.org/x/text/currency"
)

// Currency is the three letters by which ISO 4217 names a currency. A database of
// an earlier version may hold one that no edition names: it has two decimals.
type Currency string

// Known reports whether ISO 4217 names the currency, now or in the past, and a
// price can be in it. Metals, units of account for bonds, and the codes for tests
// and for "no currency" are not known.
func (c Currency) Known() bool {
	if _, added := newer(c); added {
		return true
	}
	switch c {
	case "XAG", "XAU", "XBA", "XBB", "XBC", "XBD", "XPD", "XPT", "XDR", "XSU", "XUA", "XTS", "XXX":
		return false
	}
	u, err := currency.ParseISO(string(c))
	return err == nil && u.String() == string(c) // as written: no lower case
}

// Decimals is how many digits the minor unit has below the main unit: 2 for EUR,
// 0 for JPY, 3 for KWD.
func (c Currency) Decimals() int {
	if n, ok := newer(c); ok {
		return n
	}
	if n, ok := byStandard(c); ok {
		return n
	}
	u, err := currency.ParseISO(string(c))
	if err != nil {
		return 2
	}
	n, _ := currency.Standard.Rounding(u)
	return n
}

// newer finds currencies that ISO 4217 names and the tables of x/text (of 2017) do
// not.
func newer(c Currency) (decimals int, ok bool) {
	switch c {
	case "MRU", "SLE", "STN", "VED", "VES", "XCG", "ZWG":
		return 2, true
	case "UYW":
		return 4, true
	}
	return 0, false
}

// byStandard finds currencies whose minor unit by ISO 4217 differs from the tables
// of x/text. Those follow CLDR, which leaves out digits that are not used in cash;
// bills and payments count by ISO 4217.
func byStandard(c Currency) (decimals int, ok bool) {
	switch c {
	case "AFN", "ALL", "AMD", "COP", "GYD", "IDR", "IRR", "KPW", "LAK", "LBP", "MGA", "MMK", "MNT", "MRO", "MUR", "PKR",
		"RSD", "SLL", "SOS", "STD", "SYP", "TZS", "UZS", "YER":
		return 2, true
	case "IQD":
		return 3, true
	case "CLF":
		return 4, true
	}
	return 0, false
}

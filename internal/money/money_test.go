package money_test

import (
	"math/big"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/carga-ev/carga/internal/money"
)

// The minor units of ISO 4217, by number of decimals. All that are not named
// have two.
func TestDecimalsFollowISO4217(t *testing.T) {
	t.Parallel()
	for decimals, codes := range map[int]string{
		0: "BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX UYI VND VUV XAF XOF XPF",
		2: "AED AFN ALL AMD ANG AOA ARS AUD BDT BGN BRL CAD CHF CNY COP CZK DKK EGP EUR GBP GEL HKD HRK HUF IDR ILS INR IRR KPW LAK LBP " +
			"MAD MDL MGA MKD MMK MNT MRU MUR MXN NOK NZD PEN PHP PKR PLN RON RSD RUB SAR SEK SGD SLE SOS STN SYP THB TRY TWD TZS UAH USD " +
			"UZS VED VES XCG YER ZAR ZWG",
		3: "BHD IQD JOD KWD LYD OMR TND",
		4: "CLF UYW",
	} {
		for code := range strings.FieldsSeq(codes) {
			c := money.Currency(code)
			if !c.Known() || c.Decimals() != decimals {
				t.Errorf("%s: known %v with %d decimals, want %d", c, c.Known(), c.Decimals(), decimals)
			}
		}
	}
	for _, c := range []money.Currency{"", "EU", "EURO", "eur", "E1R", "ABC", "XXX", "XTS", "XAU", "XDR"} {
		if c.Known() {
			t.Errorf("%q is known, want no currency", c)
		}
	}
	if got := money.Currency("ABC").Decimals(); got != 2 {
		t.Errorf("an unknown currency of an old database has %d decimals, want 2", got)
	}
}

func TestAmountsAreWrittenByTheirCurrency(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		amount money.Amount
		want   string
	}{
		{money.Amount{Minor: 342, Currency: "EUR"}, "3.42 EUR"},
		{money.Amount{Minor: 342, Currency: "JPY"}, "342 JPY"},
		{money.Amount{Minor: 3420, Currency: "KWD"}, "3.420 KWD"},
		{money.Amount{Minor: 5, Currency: "KWD"}, "0.005 KWD"},
		{money.Amount{Minor: -5, Currency: "EUR"}, "-0.05 EUR"},
		{money.Amount{Minor: 0, Currency: "EUR"}, "0.00 EUR"},
		{money.Amount{Minor: -1 << 63, Currency: "EUR"}, "-92233720368547758.08 EUR"},
	} {
		if got := tc.amount.String(); got != tc.want {
			t.Errorf("%d minor units: got %s, want %s", tc.amount.Minor, got, tc.want)
		}
	}
}

func TestAmountsAreRead(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		text     string
		currency money.Currency
		want     money.Minor
	}{
		{"5", "EUR", 500},
		{"5.4", "EUR", 540},
		{"5.40", "EUR", 540},
		{"5.4000", "EUR", 540},
		{"-0.05", "EUR", -5},
		{"342", "JPY", 342},
		{"342.0", "JPY", 342},
		{"3.42", "KWD", 3420},
	} {
		if got, err := money.ParseAmount(tc.text, tc.currency); err != nil || got != tc.want {
			t.Errorf("%s %s: got %d (%v), want %d", tc.text, tc.currency, got, err, tc.want)
		}
	}
	for _, bad := range []struct {
		text     string
		currency money.Currency
	}{{"5.005", "EUR"}, {"0.5", "JPY"}, {"5,00", "EUR"}, {"", "EUR"}, {"999999999999999999", "EUR"}} {
		if got, err := money.ParseAmount(bad.text, bad.currency); err == nil {
			t.Errorf("%q %s was read as %d, want an error", bad.text, bad.currency, got)
		}
	}
}

func TestPrices(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		text     string
		currency money.Currency
		want     money.Price
		written  string
	}{
		{"0.4275", "EUR", 427_500, "0.4275"},
		{"0.45", "EUR", 45 * money.MinorUnit, "0.45"},
		{"1", "EUR", 100 * money.MinorUnit, "1.00"},
		{"0.000001", "EUR", 1, "0.000001"},
		{"45", "JPY", 45 * money.MinorUnit, "45"},
		{"42.75", "JPY", 427_500, "42.75"},
		{"0.0455", "KWD", 455_000, "0.0455"},
		{"0", "EUR", 0, "0.00"},
	} {
		got, err := money.ParsePrice(tc.text, tc.currency)
		if err != nil || got != tc.want || got.Decimal(tc.currency) != tc.written {
			t.Errorf("%s %s: got %d (%v), written %s, want %d written %s", tc.text, tc.currency, got, err, got.Decimal(tc.currency), tc.want, tc.written)
		}
	}
	for _, bad := range []string{"", ".", ".5", "5.", "0,45", "1e3", "0x1", "1_000", " 1", "+1", "0.0000001", "1.2.3", "NaN", "9999999999999999999", "99999999999999"} {
		if got, err := money.ParsePrice(bad, "EUR"); err == nil {
			t.Errorf("%q was read as %d, want an error", bad, got)
		}
	}
}

// What is written is read as the same, and is the same number as a fraction.
func TestPricesAreExact(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		p := money.Price(rapid.Int64Range(0, 1<<60-1).Draw(t, "price") / 1000)
		c := rapid.SampledFrom([]money.Currency{"EUR", "JPY", "KWD", "UYW"}).Draw(t, "currency")
		text := p.Decimal(c)
		got, err := money.ParsePrice(text, c)
		if err != nil || got != p {
			t.Fatalf("%d %s is written %s and read %d (%v)", p, c, text, got, err)
		}
		unit := new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(c.Decimals()+4)), nil)
		if f, _ := new(big.Rat).SetString(text); f.Cmp(new(big.Rat).SetFrac(big.NewInt(int64(p)), unit)) != 0 {
			t.Fatalf("%d %s is written %s", p, c, text)
		}
	})
}

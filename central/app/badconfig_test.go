package app_test

import (
	"testing"

	"github.com/carga-ev/carga/central/app"
	"github.com/carga-ev/carga/internal/config/configtest"
)

func TestBadConfigFiles(t *testing.T) {
	configtest.BadFiles(t, configtest.Program{
		Name: "central", EnvPrefix: app.EnvPrefix, Sample: "../../configs/central.yaml", Defaults: newConfig,
	}, []configtest.Row{
		{Name: "10 text for a number", File: `network: {max_asked: "8883x"}`, Key: "network.max_asked", Want: "want a whole number"},
		{Name: "11 port -1", File: "http: {listen: '127.0.0.1:-1'}", Key: "http.listen", Want: "want HOST:PORT"},
		{Name: "11 port 70000", File: "http: {listen: '127.0.0.1:70000'}", Key: "http.listen", Want: "want HOST:PORT"},
		{Name: "11 port 0 picks one", File: "http: {listen: '127.0.0.1:0'}"},
		{Name: "11 port 0 of Kafka", File: "kafka: {brokers: ['localhost:0']}", Key: "kafka.brokers", Want: "want HOST:PORT"},
		{Name: "12 user and password before a broker of Kafka", File: "kafka: {brokers: ['u:" + configtest.Secret + "@localhost:9092']}", Key: "kafka.brokers", Want: "without a scheme or a password"},
		{Name: "12 URL with a password as a broker of Kafka", File: "kafka: {brokers: ['kafka://u:" + configtest.Secret + "@localhost:9092']}", Key: "kafka.brokers", Want: "without a scheme or a password"},
		{Name: "21 negative", File: "network: {ask_for: -1s}", Key: "network.ask_for", Want: "not negative"},
		{Name: "21 without a unit", File: "network: {ask_for: 1}", Key: "network.ask_for", Want: "with a unit"},
		{Name: "21 overflow", File: "kafka: {topics: {events: {retention: 213504d}}}", Key: "kafka.topics.events.retention", Want: "want a duration"},
		{Name: "22 reservation longer than a day", File: "network: {reservation: 25h}", Key: "network.reservation", Want: "10s to 24h"},
		{Name: "22 reservation of no time", File: "network: {reservation: 0s}", Key: "network.reservation", Want: "10s to 24h"},
		{Name: "22 asking for longer than a driver waits", File: "network: {max_asked: 4}", Key: "network.max_asked", Want: "within the 5s"},
		{Name: "25 negative price", File: "tariff: {per_kwh_cents: -1}", Key: "tariff.per_kwh_cents", Want: "want a whole number of cents from 0"},
		{Name: "25 price with a fraction", File: "tariff: {per_kwh_cents: 45.5}", Key: "tariff.per_kwh_cents", Want: "want a whole number"},
		{Name: "25 price that overflows", File: "tariff: {start_fee_cents: 99999999999999999999}", Key: "tariff.start_fee_cents", Want: "want a whole number"},
		{Name: "25 fine price", File: "tariff: {start_fee: 1, per_kwh: 0.4275}"},
		{Name: "25 fine price in quotes", File: "tariff: {per_kwh: '0.4275'}"},
		{Name: "25 old keys", File: "tariff: {start_fee_cents: 100, per_kwh_cents: 45}"},
		{Name: "25 yen", File: "tariff: {currency: JPY, start_fee: 100, per_kwh: 42.75}"},
		{Name: "25 a price finer than can be kept", File: "tariff: {per_kwh: 0.4275001}", Key: "tariff.per_kwh", Want: "at most 6"},
		{Name: "25 a yen in parts finer than can be kept", File: "tariff: {currency: JPY, per_kwh: 0.00001}", Key: "tariff.per_kwh", Want: "at most 4"},
		{Name: "25 a comma for the point", File: "tariff: {per_kwh: '0,45'}", Key: "tariff.per_kwh", Want: "such as 0.45"},
		{Name: "25 a price as a float", File: "tariff: {per_kwh: 4.5e-1}", Key: "tariff.per_kwh", Want: "not a decimal"},
		{Name: "25 not a number", File: "tariff: {per_kwh: .nan}", Key: "tariff.per_kwh", Want: "not a decimal"},
		{Name: "25 negative fine price", File: "tariff: {start_fee: -0.5}", Key: "tariff.start_fee", Want: "want a price from 0"},
		{Name: "25 absurd fine price", File: "tariff: {start_fee: 99999999}", Key: "tariff.start_fee", Want: "want a price from 0 to 1000000.00"},
		{Name: "25 a price by both keys", File: "tariff: {per_kwh: 0.45, per_kwh_cents: 45}", Key: "tariff.per_kwh_cents", Want: "keep one"},
		{Name: "25 a fee by both keys", File: "tariff: {start_fee: 1, start_fee_cents: 100}", Key: "tariff.start_fee_cents", Want: "keep one"},
		{Name: "25 no such currency", File: "tariff: {currency: EUX}", Key: "tariff.currency", Want: "three capital letters"},
		{Name: "25 gold", File: "tariff: {currency: XAU}", Key: "tariff.currency", Want: "three capital letters"},
		{Name: "25 missing currency", File: "tariff: {currency: ''}", Key: "tariff.currency", Want: "three capital letters"},
		{Name: "25 half a currency", File: "tariff: {currency: E1x}", Key: "tariff.currency", Want: "three capital letters"},
		{Name: "12 a password in the public URL", File: "http: {public_url: 'https://u:" + configtest.Secret + "@ops.example'}", Key: "http.public_url", Want: "want http://HOST or https://HOST"},
		{Name: "12 a public URL without a scheme", File: "http: {public_url: ops.example/carga}", Key: "http.public_url", Want: "want http://HOST or https://HOST"},
		{Name: "12 a public URL with a query", File: "http: {public_url: 'https://ops.example/?a=b'}", Key: "http.public_url", Want: "want http://HOST or https://HOST"},
		{Name: "12 a public URL that climbs", File: "http: {public_url: 'https://ops.example/a/../b'}", Key: "http.public_url", Want: "want http://HOST or https://HOST"},
		{Name: "12 a public URL below a path", File: "http: {public_url: 'https://ops.example:8443/carga/', trusted_proxies: [127.0.0.1, '10.0.0.0/8', '::1']}"},
		{Name: "11 a name as a trusted proxy", File: "http: {trusted_proxies: [127.0.0.1, proxy.example]}", Key: "http.trusted_proxies[1]", Want: "want an IP address"},
		{Name: "26 password inline", File: "http: {admin_password: " + configtest.Secret + "}", Key: "http.admin_password", Want: "unknown key"},
	})
}

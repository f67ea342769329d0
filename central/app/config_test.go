package app_test

import (
	"testing"

	"github.com/carga-ev/carga/central/app"
	"github.com/carga-ev/carga/internal/config"
	"github.com/carga-ev/carga/internal/config/configtest"
)

func newConfig() any {
	cfg := app.DefaultConfig()
	return &cfg
}

func TestTheSampleIsTheDefault(t *testing.T) {
	configtest.SampleIsDefault(t, "../../configs/central.yaml", newConfig)
}

func TestBadConfigNamesTheKey(t *testing.T) {
	configtest.NamesTheKey(t, app.EnvPrefix, newConfig, map[string]string{
		"http.listen":                     "HTTP__LISTEN=0.0.0.0:8080",
		"database.path":                   "DATABASE__PATH=",
		"database.retention":              "DATABASE__RETENTION=1h",
		"kafka.brokers":                   "KAFKA__BROKERS=localhost",
		"network.reservation":             "NETWORK__RESERVATION=1s",
		"network.reservations_per_driver": "NETWORK__RESERVATIONS_PER_DRIVER=0",
		"network.ask_for":                 "NETWORK__ASK_FOR=1ms",
		"network.max_asked":               "NETWORK__MAX_ASKED=4",
		"network.start_wait":              "NETWORK__START_WAIT=1d",
		"network.drivers[1]":              "NETWORK__DRIVERS=ann,b\x01b",
		"tariff.version":                  "TARIFF__VERSION=a b",
		"tariff.start_fee_cents":          "TARIFF__START_FEE_CENTS=-1",
		"tariff.per_kwh_cents":            "TARIFF__PER_KWH_CENTS=1.5",
		"tariff.currency":                 "TARIFF__CURRENCY=euro",
		"log.level":                       "LOG__LEVEL=loud",
	})
}

func TestOffLoopbackNeedsAWord(t *testing.T) {
	cfg := app.DefaultConfig()
	cfg.Insecure = true
	if err := config.Load(&cfg, config.Options{EnvPrefix: app.EnvPrefix, Environ: []string{"CARGA_CENTRAL_HTTP__LISTEN=0.0.0.0:8080"}}); err != nil {
		t.Errorf("got %v, want it allowed by insecure", err)
	}
}

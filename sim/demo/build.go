package demo

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"path/filepath"
	"time"

	bridgeapp "github.com/carga-ev/carga/bridge/app"
	centralapp "github.com/carga-ev/carga/central/app"
	"github.com/carga-ev/carga/internal/charge"
	"github.com/carga-ev/carga/sim/driver"
	"github.com/carga-ev/carga/sim/fleet"
	"github.com/carga-ev/carga/sim/operator"
)

// centralDB is the name of Central's database in the data folder.
const centralDB = "central.db"

// bridgeDrain is how long a stopping bridge may hand over records: short,
// because a cut of the bridge should look like one.
const bridgeDrain = time.Second

// safeCurrent, per phase, lets the page put any charging points into a group. It is less
// than half of what a vehicle can draw, so that a group gives its members more.
const safeCurrent charge.MilliAmps = 100_000

// buildParts makes all parts; it starts none. The page's port is opened here:
// an occupied port is an error before anything runs.
func (d *demo) buildParts(ctx context.Context) error {
	// Each agent gets its own folder in the data folder.
	f, err := fleet.New(fleet.Config{
		CPs: d.cfg.CPs, Seed: d.cfg.Seed, Dir: d.cfg.Data, MQTT: d.mqttURL(), ID: cpID, Name: nameOf, Place: placeOf,
		Vehicles: d.cfg.Vehicles, Visits: &d.cfg.Visits, StopWithin: headStart, Safe: safeCurrent,
	}, d.log)
	if err != nil {
		return err
	}
	d.fleet = f
	client, err := driver.NewClient(driver.ClientConfig{Brokers: d.brokers(), ClientID: "carga-demo-drivers", Partitions: d.cfg.Partitions})
	if err != nil {
		return err
	}
	people := &drivers{count: d.cfg.Drivers, seed: d.cfg.Seed, pause: d.cfg.Pause, client: client, log: d.partLog("drivers")}
	var lc net.ListenConfig
	page, err := lc.Listen(ctx, "tcp", d.addr.http)
	if err != nil {
		return fmt.Errorf("the page at %s: %w", d.addr.http, err)
	}
	d.addr.http = page.Addr().String()
	d.key = centralapp.NewSignInKey()
	d.api = operator.NewWithToken(d.addr.http, d.key, callLimit)
	d.breaker = d.newBreaker(ctx)

	d.points = &part{name: "charging points", run: f.Run, failed: d.fail}
	d.drivers = &part{name: "drivers", run: people.run, failed: d.fail}
	d.bridge = &part{name: "bridge", run: d.runBridge, failed: d.fail}
	d.central = &part{name: "Central", failed: d.fail, run: func(ctx context.Context) error { return d.runCentral(ctx, page) }}
	d.built = true
	return nil
}

// partLog is the log of one part.
func (d *demo) partLog(name string) *slog.Logger { return d.log.With(slog.String("part", name)) }

// runBridge runs a bridge with the demo's configuration until ctx ends.
func (d *demo) runBridge(ctx context.Context) error {
	cfg := bridgeapp.DefaultConfig()
	cfg.MQTT.URL = d.mqttURL()
	cfg.Kafka.Brokers = d.brokers()
	cfg.Kafka.SetPartitions(d.cfg.Partitions)
	cfg.StopWithin = bridgeDrain
	cfg.Observe.Listen = "" // Central's page shows the bridge's state
	return bridgeapp.Run(ctx, cfg, bridgeapp.Deps{Log: d.partLog("bridge")})
}

// runCentral runs Central with the demo's configuration until ctx ends.
func (d *demo) runCentral(ctx context.Context, page net.Listener) error {
	cfg := centralapp.DefaultConfig()
	cfg.Database.Path = filepath.Join(d.cfg.Data, centralDB)
	cfg.Kafka.Brokers = d.brokers()
	cfg.Kafka.SetPartitions(d.cfg.Partitions)
	cfg.Network.AdmitAutomatically = true
	cfg.HTTP.Listen = d.addr.http
	// The lock on the data folder excludes another Central behind an embedded
	// Kafka, so this one need not wait until another one is silent.
	cfg.Takeover = d.kafka != nil
	return centralapp.Run(ctx, cfg, centralapp.Deps{
		Log: d.partLog("central"), Listener: page, Breaker: d.breaker, SignInKey: d.key,
		Started: func(c *centralapp.Central) {
			d.mu.Lock()
			defer d.mu.Unlock()
			d.centralApp = c
		},
	})
}

// centralOrNil returns Central once its page is served; nil before.
func (d *demo) centralOrNil() *centralapp.Central {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.centralApp
}

// newBreaker makes the breaker of the parts that belong to the demo: external
// brokers are not among them.
func (d *demo) newBreaker(partsCtx context.Context) *breaker {
	b := &breaker{parts: map[string]switchable{}, changed: func(part string, up bool) {
		if up {
			d.printf("  %s is back", part)
		} else {
			d.printf("  %s is cut", part)
		}
	}}
	if d.mqtt != nil {
		b.parts["mqtt"] = switchable{d.mqtt.Up, d.mqtt.Stop, d.mqtt.Start}
	}
	if d.kafka != nil {
		b.parts["kafka"] = switchable{d.kafka.Up, d.kafka.Stop, d.kafka.Start}
	}
	b.parts["bridge"] = switchable{
		func() bool { return d.bridge.up() },
		func() { d.bridge.halt() },
		func() error {
			if partsCtx.Err() != nil {
				return errors.New("the demo is stopping")
			}
			d.bridge.start(partsCtx)
			return nil
		},
	}
	return b
}

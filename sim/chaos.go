package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/carga-ev/carga/sim/chaos"
)

// chaosOptions are the flags of `sim chaos`.
type chaosOptions struct {
	// plan is the run; prepare completes it.
	plan chaos.Plan
	// configs is the folder of the shipped configurations of the engines.
	configs string
	// embedded replaces Apache Kafka, which needs Java, by the embedded one.
	embedded bool
	// json prints the report alone.
	json bool
}

// maxStorm is the largest number of charging points on one machine: each is two
// processes.
const maxStorm = 200

// newChaosCommand makes `sim chaos`.
func newChaosCommand() *cobra.Command {
	o := chaosOptions{plan: chaos.Plan{
		For: 5 * time.Minute, Drivers: 8,
		Network: chaos.Config{
			Points: 6, Connectors: 1, Seed: 1, Power: 50_000, Partitions: 3, KeepAlive: 5 * time.Second, Reservation: 20 * time.Second,
		},
	}}
	c := &cobra.Command{
		Use:   "chaos",
		Short: "Inject faults into the network on real engines, then compare the books",
		Long: "Starts charging points, bridge, Central, Mosquitto and Apache Kafka as processes on free ports, lets drivers charge,\n" +
			"and kills, restarts, freezes and disconnects one after the other, as planned by the seed, or fills the disk of a\n" +
			"journal or of the database. At the end all faults are healed, and the journals on disk, the boards' registers and\n" +
			"relays, and Central's database are compared. The exit code is 1 if a record is lost or applied twice, a Wh is neither\n" +
			"on a ticket nor shown, power flowed without an authorization, or anything is left over; then all data is kept.\n\n" +
			"The disks that can be full are small file systems mounted in the folder of the run, which takes Linux and root;\n" +
			"elsewhere no disk is filled, and the summary states that. They are unmounted at the end.",
		Example: "  sim chaos --kafka-jars $(.ci/engines jars)\n  sim chaos --for 30m --seed 7\n  sim chaos --embedded-kafka --for 1m",
		Args:    cobra.NoArgs,
	}
	f, n := c.Flags(), &o.plan.Network
	f.DurationVar(&o.plan.For, "for", o.plan.For, "how long faults are injected")
	f.Uint64Var(&n.Seed, "seed", n.Seed, "decides which faults happen")
	f.IntVar(&n.Points, "points", n.Points, "number of charging points")
	f.IntVar(&o.plan.Drivers, "drivers", o.plan.Drivers, "number of drivers")
	f.BoolVar(&n.Resume, "resume", false, "agents continue a session after a restart")
	f.StringVar(&n.Bin, "bin", "", "`folder` of agent, bridge, central and sim; default: this program's")
	f.StringVar(&n.Dir, "data", "", "`folder` for all data; default: one that is removed after a success")
	f.StringVar(&o.configs, "configs", "configs", "`folder` of mosquitto.conf and kafka.properties")
	f.StringVar(&n.Engines.KafkaJars, "kafka-jars", "", "`folder` of Apache Kafka's jars; .ci/engines fetch downloads them")
	f.BoolVar(&o.embedded, "embedded-kafka", false, "use the embedded Kafka, without Java")
	f.BoolVar(&o.json, "json", false, "print nothing but the report, as one JSON object")
	c.RunE = action(o.run)
	return c
}

// run performs a run and prints the report. A failed run keeps its folder.
func (o *chaosOptions) run(ctx context.Context, c *cobra.Command, _ []string) error {
	// The folder is printed at the beginning: an interrupted run can be
	// inspected, too.
	remove, err := o.prepare()
	if err != nil {
		return fail(exitUsage, err)
	}
	out := c.OutOrStdout()
	o.plan.Out = out
	if o.json {
		o.plan.Out = io.Discard
	}
	_, _ = fmt.Fprintf(o.plan.Out, "chaos for %v with seed %d: %d charging points, %d drivers; everything is in %s\n",
		o.plan.For, o.plan.Network.Seed, o.plan.Network.Points, o.plan.Drivers, o.plan.Network.Dir)
	r, err := chaos.Run(ctx, o.plan)
	r.Command = strings.Join(os.Args, " ")
	if ctx.Err() != nil {
		return fail(exitInterrupted, errors.New("interrupted; all processes were ended"))
	}
	if err != nil {
		return fmt.Errorf("seed %d: %w; everything is kept in %s", o.plan.Network.Seed, err, o.plan.Network.Dir)
	}
	// A failed run keeps its folder: journals, database and logs are the
	// evidence.
	if r.OK() && remove {
		r.Dir, err = "", os.RemoveAll(o.plan.Network.Dir)
	}
	if o.json {
		err = errors.Join(err, json.NewEncoder(out).Encode(r))
	} else {
		r.Print(out)
	}
	if !r.OK() {
		return fail(exitFailed, fmt.Errorf("seed %d: %d rules broken, %d records lost; everything is kept in %s",
			r.Seed, len(r.Violations), r.Lost, r.Dir))
	}
	return err
}

// prepare validates the flags and searches for the programs. remove reports
// that the folder is a temporary one, to be removed after a success.
func (o *chaosOptions) prepare() (remove bool, err error) {
	n := &o.plan.Network
	if n.Points < 1 || n.Points > maxStorm || o.plan.Drivers < 0 || o.plan.Drivers > 10*maxStorm || o.plan.For < time.Second {
		return false, fmt.Errorf("--points 1 to %d, --drivers 0 to %d, --for 1s or more", maxStorm, 10*maxStorm)
	}
	if n.Bin == "" {
		self, err := os.Executable()
		if err != nil {
			return false, err
		}
		n.Bin = filepath.Dir(self)
	}
	// All four programs come from one folder, so that they are of one version.
	for _, name := range []string{"agent", "bridge", "central", "sim"} {
		if _, err := os.Stat(filepath.Join(n.Bin, name)); err != nil {
			return false, fmt.Errorf("--bin: %w; make build builds it", err)
		}
	}
	if n.Engines, err = findEngines(o.configs, n.Engines.KafkaJars, o.embedded); err != nil {
		return false, err
	}
	if n.Dir == "" {
		n.Dir, err = os.MkdirTemp("", "carga-chaos")
		return true, err
	}
	if n.Dir, err = filepath.Abs(n.Dir); err != nil {
		return false, err
	}
	// Journals and database of an earlier run would be reconciled with this
	// one's boards.
	if left, _ := os.ReadDir(n.Dir); len(left) > 0 {
		return false, fmt.Errorf("--data %s: the folder is not empty; each run needs a new one", n.Dir)
	}
	return false, nil
}

// program searches for a program, also where Debian installs daemons.
func program(name, remedy string) (string, error) {
	// In the order of the user's PATH first.
	for _, place := range []string{name, "/usr/sbin/" + name, "/usr/local/sbin/" + name} {
		if path, err := exec.LookPath(place); err == nil {
			return path, nil
		}
	}
	return "", fmt.Errorf("%s is not installed; Debian: apt-get install %s", name, remedy)
}

// findEngines finds Mosquitto, and Java and Apache Kafka unless it is embedded. They
// use the shipped configurations, with other addresses and folders only.
func findEngines(configs, jars string, embedded bool) (e chaos.Engines, err error) {
	e = chaos.Engines{MosquittoConf: filepath.Join(configs, "mosquitto.conf"), KafkaProperties: filepath.Join(configs, "kafka.properties"), KafkaJars: jars}
	if e.Mosquitto, err = program("mosquitto", "mosquitto"); err != nil || embedded {
		return e, err
	}
	if e.Java, err = program("java", "default-jre-headless"); err != nil {
		return e, err
	}
	if found, _ := filepath.Glob(filepath.Join(jars, "kafka_*.jar")); jars == "" || len(found) == 0 {
		return e, fmt.Errorf("--kafka-jars %q: no Apache Kafka there; .ci/engines fetch downloads it, .ci/engines jars prints its folder", jars)
	}
	return e, nil
}

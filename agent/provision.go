package main

import (
	"bufio"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/carga-ev/carga/agent/app"
	"github.com/carga-ev/carga/agent/internal/provision"
	"github.com/carga-ev/carga/hal/rpi"
	"github.com/carga-ev/carga/internal/charge"
	"github.com/carga-ev/carga/internal/config"
	"github.com/carga-ev/carga/internal/process"
)

// card is the command line of agent provision.
type card struct {
	to, id, host, broker, board, user, key string
	wifi, wifiPassword, wifiCountry        string
	deb                                    string
	force                                  bool
}

// runProvision executes "agent provision" and returns the exit code. What is
// needed and not given is asked for where stdin is a terminal.
func runProvision(args []string, stdin *os.File, stdout, stderr io.Writer) int {
	var c card
	flags := flag.NewFlagSet("agent provision", flag.ContinueOnError)
	flags.SetOutput(stderr)
	flags.Usage = func() {
		_, _ = fmt.Fprint(stderr, "usage: agent provision --to FOLDER --cp-id ID --broker URL --board FILE [flags]\nwrites cloud-init files and config.txt on the boot partition of a Raspberry Pi's SD card\n")
		flags.PrintDefaults()
	}
	flags.StringVar(&c.to, "to", "", "`FOLDER` where the boot partition is mounted")
	flags.StringVar(&c.id, "cp-id", "", "`ID` of the charging point, unique in the network")
	flags.StringVar(&c.broker, "broker", "", "`URL` of the MQTT broker, such as tcp://192.168.1.10:1883")
	flags.StringVar(&c.board, "board", "", "board `FILE` with the wiring, such as configs/boards/bench-contacts.yaml")
	flags.StringVar(&c.host, "host", "", "host `NAME`; without it, it follows from --cp-id")
	flags.StringVar(&c.user, "user", "carga", "`NAME` of the user that logs in by SSH")
	flags.StringVar(&c.key, "ssh-key", "", "`FILE` with that user's public key; without it there is no such user")
	flags.StringVar(&c.wifi, "wifi", "", "`NAME` of a wireless network")
	flags.StringVar(&c.wifiPassword, "wifi-password-file", "", "`FILE` with its password alone")
	flags.StringVar(&c.wifiCountry, "wifi-country", "", "two letters of the `COUNTRY`, for the radio")
	flags.StringVar(&c.deb, "package", "", "`FILE` of the package carga-agent, installed at the first start")
	flags.BoolVar(&c.force, "force", false, "replace cloud-init files that exist")
	if err := flags.Parse(args); errors.Is(err, flag.ErrHelp) {
		return process.ExitOK
	} else if err != nil {
		return process.ExitUsage
	}
	if flags.NArg() > 0 {
		_, _ = fmt.Fprintf(stderr, "agent: provision: unexpected argument %q\n", flags.Arg(0))
		return process.ExitUsage
	}
	var ask *bufio.Reader
	if process.Interactive(stdin) {
		ask = bufio.NewReader(stdin)
	}
	if err := c.complete(ask, stderr); err != nil {
		_, _ = fmt.Fprintln(stderr, "agent: provision:", err)
		return process.ExitUsage
	}
	wrote, err := c.write()
	for _, name := range wrote {
		_, _ = fmt.Fprintln(stdout, "wrote", filepath.Join(c.to, name))
	}
	if err != nil {
		_, _ = fmt.Fprintln(stderr, "agent: provision:", err)
		return process.ExitConfig
	}
	return process.ExitOK
}

// complete asks for each setting that is needed and was not given. Without a person
// to ask it is an error.
func (c *card) complete(ask *bufio.Reader, out io.Writer) error {
	for _, q := range []struct {
		value      *string
		flag, text string
	}{
		{&c.to, "--to", "Folder of the boot partition"},
		{&c.id, "--cp-id", "Id of the charging point"},
		{&c.broker, "--broker", "URL of the MQTT broker"},
		{&c.board, "--board", "Board file"},
	} {
		if *q.value != "" {
			continue
		}
		if ask == nil {
			return fmt.Errorf("%s is missing; --help lists the flags", q.flag)
		}
		_, _ = fmt.Fprint(out, q.text, ": ")
		answer, err := ask.ReadString('\n')
		if *q.value = strings.TrimSpace(answer); *q.value == "" {
			return errors.Join(fmt.Errorf("%s is missing", q.flag), err)
		}
	}
	return nil
}

// write checks everything and writes the card.
func (c *card) write() ([]string, error) {
	// The settings are those of an agent, so the agent checks them.
	settings := app.DefaultConfig()
	if err := config.Load(&settings, config.Options{EnvPrefix: app.EnvPrefix, Environ: []string{
		app.EnvPrefix + "CP_ID=" + c.id,
		app.EnvPrefix + "MQTT__URL=" + c.broker,
		app.EnvPrefix + "HARDWARE__KIND=" + app.HardwareRPi,
		app.EnvPrefix + "HARDWARE__RPI__BOARD=" + c.board,
	}}); err != nil {
		return nil, err
	}
	wiring := rpi.DefaultConfig()
	if err := config.Load(&wiring, config.Options{Path: c.board}); err != nil {
		return nil, err
	}
	board, err := os.ReadFile(c.board)
	if err != nil {
		return nil, err
	}
	p := provision.Point{
		ID: charge.CPID(c.id), Host: c.host, Broker: c.broker, Wiring: wiring, Board: string(board), User: c.user,
		WiFi: provision.WiFi{Name: c.wifi, Country: c.wifiCountry}, Packaged: c.deb != "",
	}
	if c.key != "" {
		key, err := os.ReadFile(c.key)
		if err != nil {
			return nil, fmt.Errorf("--ssh-key: %w", err)
		}
		p.SSHKey = strings.TrimSpace(string(key))
	}
	if c.wifiPassword != "" {
		if p.WiFi.Password, err = config.ReadSecret(c.wifiPassword); err != nil {
			return nil, fmt.Errorf("--wifi-password-file: %w", err)
		}
	}
	plan, err := provision.Plan(p)
	if err != nil {
		return nil, err
	}
	return provision.Card{Folder: c.to, Force: c.force}.Write(plan, wiring, c.deb)
}

package main

import (
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/carga-ev/carga/central/internal/client"
	"github.com/carga-ev/carga/internal/command"
	"github.com/carga-ev/carga/internal/process"
	"github.com/carga-ev/carga/internal/wire"
)

// simulateActions returns what a person can do at a simulated charging point.
func simulateActions() []string {
	return []string{
		string(wire.SimulatePlug), string(wire.SimulateUnplug), string(wire.SimulateFault), string(wire.SimulateRepair), string(wire.SimulateTap),
	}
}

// simulate does at a simulated charging point what a person would do there.
func (r *remote) simulate() *cobra.Command {
	var connector int
	var fault string
	var wait time.Duration
	cmd := &cobra.Command{
		Use: "simulate CP ACTION", Short: "At a simulated charging point: plug, unplug, fault, repair, or tap with the UID of a card from standard input",
		ValidArgsFunction: r.completeSimulate,
		RunE: func(_ *cobra.Command, args []string) error {
			if len(args) != 2 || !slices.Contains(simulateActions(), args[1]) {
				return fmt.Errorf("%w: name a charging point and one of %s", command.ErrUsage, strings.Join(simulateActions(), ", "))
			}
			body := map[string]any{"action": args[1]}
			if fault != "" {
				body["fault"] = fault
			}
			if args[1] == string(wire.SimulateTap) {
				uid, err := readUID(r.p)
				if err != nil {
					return err
				}
				body["uid"] = uid
			}
			return r.ask(func(c *client.Client) error {
				return r.orderOne(c, args[0], fmt.Sprintf("cps/%s/connectors/%d/simulate", url.PathEscape(args[0]), connector), body, wait)
			})
		},
	}
	cmd.Flags().IntVar(&connector, "connector", 1, "the `NUMBER` of the connector")
	cmd.Flags().StringVar(&fault, "fault", "", "the `FAULT` that fault raises; without it: other")
	cmd.Flags().DurationVar(&wait, "wait", 30*time.Second, "how long to wait until the charging point has done it; 0 does not wait")
	return cmd
}

// completeSimulate completes the charging point, and then the action.
func (r *remote) completeSimulate(c *cobra.Command, args []string, part string) ([]string, cobra.ShellCompDirective) {
	if len(args) == 0 {
		return r.completePoints(c, args, part)
	}
	return simulateActions(), cobra.ShellCompDirectiveNoFileComp
}

// orderOne sends an order of one command and waits for its end.
func (r *remote) orderOne(c *client.Client, cp, path string, body map[string]any, wait time.Duration) error {
	until := time.Now().Add(wait)
	o, err := r.send(c, path, body, until)
	if err != nil {
		return err
	}
	o.CPID = cp
	out := orderedPrinter(r)
	if err := errors.Join(out.add(o), out.end()); err != nil {
		return err
	}
	if _, code := o.result(); code != process.ExitOK && wait > 0 {
		return &command.ExitError{Code: code, Err: errors.New("the charging point has not done it")}
	}
	return nil
}

// readUID reads the UID of a card. It is a secret, so it is no argument.
func readUID(p *commandLine) (string, error) {
	line, err := readSecret(p, "UID of the card", func(tty int) (string, error) { return ask(p, "UID of the card: ", tty) })
	return strings.TrimSpace(line), err
}

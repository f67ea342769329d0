package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/carga-ev/carga/central/internal/client"
	"github.com/carga-ev/carga/central/ledger"
	"github.com/carga-ev/carga/central/view"
)

// tickets returns the commands about tickets.
func tickets(ctx context.Context, p *commandLine) *cobra.Command {
	r := &remote{ctx: ctx, p: p}
	return r.group("ticket", "Tickets of a running Central", r.listTickets())
}

func (r *remote) listTickets() *cobra.Command {
	var cp, driver, session, from, to string
	var limit int
	cmd := newCommand("list", "List tickets, the latest first", func() error {
		since, err1 := moment("from", from)
		until, err2 := moment("to", to)
		if err := errors.Join(err1, err2); err != nil {
			return err
		}
		return r.ask(func(c *client.Client) error {
			out := newPrinter(r.p.Stdout, r.output, []string{"ENDED", "CP", "CONNECTOR", "DRIVER", "ENERGY", "COST", "DURATION", "REASON", "TICKET"}, ticketRow)
			q := setOf("cp_id", cp, "username", driver, "session_id", session, "from", since, "to", until)
			if err := client.List(r.ctx, c, "tickets", q, limit, out.add); err != nil {
				return err
			}
			return out.end()
		})
	})
	f := cmd.Flags()
	f.StringVar(&cp, "cp", "", "only of this charging point")
	f.StringVar(&driver, "driver", "", "only of this driver")
	f.StringVar(&session, "session", "", "only of this session")
	f.StringVar(&from, "from", "", "not before this `TIME`: a day such as 2026-11-30, or RFC 3339")
	f.StringVar(&to, "to", "", "before this `TIME`")
	f.IntVar(&limit, "limit", 0, "at most so many; 0: all")
	return cmd
}

func ticketRow(t view.Ticket) [][]string {
	ended := "-"
	if t.StoppedAt != 0 {
		ended = t.StoppedAt.Std().Local().Format(time.DateTime)
	}
	id := t.ID
	if t.Corrects != "" {
		id += " corrects " + t.Corrects
	}
	if t.Clock != ledger.ClockFine {
		id += " clock " + string(t.Clock)
	}
	return [][]string{{
		ended, string(t.CPID), fmt.Sprint(t.Connector), dash(t.Username), t.Energy.KWh() + " kWh", t.Cost + " " + string(t.Currency),
		(time.Duration(t.DurationSec) * time.Second).String(), string(t.Reason), id,
	}}
}

package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/carga-ev/carga/central/internal/client"
	"github.com/carga-ev/carga/central/orders"
	"github.com/carga-ev/carga/central/view"
	"github.com/carga-ev/carga/internal/charge"
	"github.com/carga-ev/carga/internal/command"
	"github.com/carga-ev/carga/internal/process"
)

// points returns the commands about charging points.
func points(ctx context.Context, p *commandLine) *cobra.Command {
	r := &remote{ctx: ctx, p: p}
	return r.group("cp", "Charging points of a running Central",
		r.listPoints(),
		r.availability("stop", "Take charging points out of service; sessions end with their tickets", false),
		r.availability("resume", "Take charging points back into service", true),
		r.watch(),
		r.simulate(),
	)
}

// completePoints completes the ids of charging points, by asking Central.
func (r *remote) completePoints(_ *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	var all []string
	c, err := r.connect()
	if err == nil {
		ctx, cancel := context.WithTimeout(r.ctx, 2*time.Second)
		defer cancel()
		var net view.Network
		if err = c.Get(ctx, "network", nil, &net); err == nil {
			for i := range net.CPs {
				if id := string(net.CPs[i].ID); !slices.Contains(args, id) {
					all = append(all, id)
				}
			}
		}
	}
	if err != nil {
		cobra.CompErrorln(err.Error())
	}
	return all, cobra.ShellCompDirectiveNoFileComp
}

// dash returns a text for a table, in which an empty cell would shift the columns.
func dash[S ~string](s S) string { return cmp.Or(string(s), "-") }

func pointRows(cp view.CP) (rows [][]string) {
	for i := range cp.Connectors {
		k := &cp.Connectors[i]
		power, energy := "-", "-"
		if k.SessionID != "" {
			power, energy = fmt.Sprintf("%.1f kW", float64(k.Power)/1000), k.Energy.KWh()+" kWh"
		}
		rows = append(rows, []string{
			string(cp.ID), fmt.Sprint(k.Connector), string(k.Status), string(cp.Link), dash(k.Username), power, energy, dash(cp.Name), dash(cp.Place),
		})
	}
	if len(rows) == 0 {
		rows = [][]string{{string(cp.ID), "-", "-", string(cp.Link), "-", "-", "-", dash(cp.Name), dash(cp.Place)}}
	}
	return rows
}

func (r *remote) listPoints() *cobra.Command {
	var state string
	cmd := newCommand("list", "List the charging points as they are now", func() error {
		return r.ask(func(c *client.Client) error {
			var net view.Network
			if err := c.Get(r.ctx, "network", nil, &net); err != nil {
				return err
			}
			out := newPrinter(r.p.Stdout, r.output, []string{"CP", "CONNECTOR", "STATE", "LINK", "DRIVER", "POWER", "ENERGY", "NAME", "PLACE"}, pointRows)
			for i := range net.CPs {
				is := func(k view.Connector) bool { return string(k.Status) == state }
				if state != "" && string(net.CPs[i].Link) != state && !slices.ContainsFunc(net.CPs[i].Connectors, is) {
					continue
				}
				if err := out.add(net.CPs[i]); err != nil {
					return err
				}
			}
			return out.end()
		})
	})
	cmd.Flags().StringVar(&state, "state", "", "only those with a connector in this `STATE`, such as charging or faulted, or with this link, such as offline")
	return cmd
}

// ordered is what came of an order to one charging point, or to all.
type ordered struct {
	CPID     string         `json:"cp_id,omitempty"` // empty: all
	Count    int            `json:"count"`           // charging points that it concerns
	Commands []view.Command `json:"commands"`        // as they are at the end of the wait
}

// result returns what came of it in one word, and the exit code.
func (o *ordered) result() (word string, exit int) {
	for i := range o.Commands {
		switch c := &o.Commands[i]; {
		case !c.Ended() || c.State == orders.Superseded || c.State == orders.Expired: // Central orders it again
			return strings.TrimSpace(string(c.State) + " " + c.Reason), process.ExitTimedOut
		case c.State != orders.Done:
			return strings.TrimSpace(string(c.State) + " " + c.Reason), process.ExitRefused
		}
	}
	if len(o.Commands) < o.Count {
		return fmt.Sprintf("done by %d of %d; the others are so already, or follow when they are back", len(o.Commands), o.Count), process.ExitOK
	}
	return "done", process.ExitOK
}

// availability takes charging points out of service or back.
func (r *remote) availability(use, short string, available bool) *cobra.Command {
	var all bool
	var wait time.Duration
	cmd := &cobra.Command{
		Use: use + " CP…", Short: short, ValidArgsFunction: r.completePoints,
		RunE: func(_ *cobra.Command, args []string) error {
			if all == (len(args) > 0) {
				return fmt.Errorf("%w: name charging points, or give --all", command.ErrUsage)
			}
			return r.ask(func(c *client.Client) error {
				bodies := []map[string]any{{"all": true, "available": available}}
				if !all {
					bodies = nil
					for _, cp := range args {
						bodies = append(bodies, map[string]any{"cp_id": cp, "available": available})
					}
				}
				return r.order(c, bodies, wait)
			})
		},
	}
	cmd.Flags().BoolVar(&all, "all", false, "the whole network, with charging points that are added later")
	cmd.Flags().DurationVar(&wait, "wait", 30*time.Second, "how long to wait until the charging points have done it; 0 does not wait")
	return cmd
}

// order sends orders for availability and waits for their commands. The exit code is
// that of the first that was not done.
func (r *remote) order(c *client.Client, bodies []map[string]any, wait time.Duration) error {
	out := orderedPrinter(r)
	until, exit := time.Now().Add(wait), process.ExitOK
	for _, body := range bodies {
		o, err := r.send(c, "availability", body, until)
		if err != nil {
			return errors.Join(err, out.end()) // what was ordered before is printed
		}
		o.CPID, _ = body["cp_id"].(string)
		if _, code := o.result(); exit == process.ExitOK && wait > 0 {
			exit = code
		}
		if err := out.add(o); err != nil {
			return err
		}
	}
	if err := out.end(); err != nil || exit == process.ExitOK {
		return err
	}
	return &command.ExitError{Code: exit, Err: errors.New("not all charging points have done it; see \"central cp list\"")}
}

// orderedPrinter prints what came of orders.
func orderedPrinter(r *remote) *printer[ordered] {
	return newPrinter(r.p.Stdout, r.output, []string{"CP", "RESULT"}, func(o ordered) [][]string {
		word, _ := o.result()
		return [][]string{{cmp.Or(o.CPID, "all"), word}}
	})
}

// send sends one order, and follows its commands until they have ended, or until a
// moment.
func (r *remote) send(c *client.Client, path string, body map[string]any, until time.Time) (ordered, error) {
	var answer struct {
		Count    int                `json:"count"`
		Commands []charge.CommandID `json:"commands"`
	}
	if err := c.Post(r.ctx, path, body, &answer); err != nil {
		return ordered{}, err
	}
	o := ordered{Count: answer.Count, Commands: []view.Command{}}
	for _, id := range answer.Commands {
		cmd, err := follow(r.ctx, c, id, until)
		if err != nil {
			return o, err
		}
		o.Commands = append(o.Commands, cmd)
	}
	return o, nil
}

// longestWait is the longest time that Central waits for the end of a command.
const longestWait = 30 * time.Second

// follow returns a command when it has ended, or as it is at a moment.
func follow(ctx context.Context, c *client.Client, id charge.CommandID, until time.Time) (cmd view.Command, err error) {
	for {
		left := min(max(time.Until(until), 0), longestWait).Truncate(time.Millisecond)
		q := url.Values{}
		if left > 0 {
			q.Set("wait", fmt.Sprintf("%dms", left.Milliseconds()))
		}
		err := c.Get(ctx, "commands/"+string(id), q, &cmd)
		if err != nil || cmd.Ended() || left == 0 {
			return cmd, err
		}
	}
}

// watch prints each change, until it is interrupted.
func (r *remote) watch() *cobra.Command {
	return &cobra.Command{
		Use: "watch [CP…]", Short: "Print each change of a charging point as it happens, until it is interrupted", ValidArgsFunction: r.completePoints,
		RunE: func(_ *cobra.Command, args []string) error {
			return r.ask(func(c *client.Client) error {
				form := r.output
				if form == outJSON {
					form = outLines // it has no end
				}
				seen := map[string]string{}
				show := func(ch client.Change) error {
					id, line := describe(ch)
					if len(args) > 0 && !slices.Contains(args, id) {
						return nil
					}
					if ch.Row != nil { // a new connection repeats all of them
						key := fmt.Sprintf("%s/%d", id, ch.Row.Connector.Connector)
						if seen[key] == line {
							return nil
						}
						seen[key] = line
					}
					if form == outLines {
						return newPrinter[client.Change](r.p.Stdout, form, nil, nil).add(ch)
					}
					_, err := fmt.Fprintf(r.p.Stdout, "%s  %s\n", ch.At.Std().Local().Format(time.TimeOnly), line)
					return err
				}
				lost := func(err error) { _, _ = fmt.Fprintf(r.p.Stderr, "%s: %v; trying again\n", r.p.Name, err) }
				return c.Watch(r.ctx, show, lost)
			})
		},
	}
}

// describe returns the charging point of a change, and the change in one line.
func describe(ch client.Change) (cp, line string) {
	if f := ch.Fact; f != nil {
		return string(f.CPID), f.Text
	}
	s := ch.Row
	words := []string{fmt.Sprintf("%s/%d", s.CPID, s.Connector.Connector), string(s.Status)}
	if s.Link != "online" {
		words = append(words, s.Link)
	}
	if s.Username != "" {
		words = append(words, "driver "+string(s.Username))
	}
	for _, f := range s.Faults {
		words = append(words, "fault "+string(f))
	}
	if s.Alarm != "" {
		words = append(words, "alarm: "+s.Alarm)
	}
	if s.Reader != "" {
		words = append(words, "card reader does not answer")
	}
	return string(s.CPID), strings.Join(words, "  ")
}

package main

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/carga-ev/carga/central/access"
	"github.com/carga-ev/carga/central/app"
	"github.com/carga-ev/carga/internal/charge"
	"github.com/carga-ev/carga/internal/command"
)

// managing are the commands that change accounts or tokens.
type managing struct {
	ctx  context.Context //nolint:containedctx // of the one command that runs
	p    *commandLine
	path string // of the configuration
}

// do opens the database and runs fn on it.
func (m *managing) do(fn func(a *app.Access) error) error {
	cfg, err := m.p.Load(m.path)
	if err != nil {
		return err
	}
	a, err := app.OpenAccess(m.ctx, cfg)
	if err != nil {
		return err
	}
	return errors.Join(fn(a), a.Close())
}

// command returns a command with the flag --config and n arguments.
func (m *managing) command(use, short string, n int, run func(args []string) error) *cobra.Command {
	cmd := &cobra.Command{
		Use: use, Short: short,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) != n {
				return fmt.Errorf("%w: %s", command.ErrUsage, use)
			}
			return nil
		},
		RunE: func(_ *cobra.Command, args []string) error { return run(args) },
	}
	return withConfig(cmd, &m.path)
}

// group returns a command that only has subcommands.
func group(use, short string, all ...*cobra.Command) *cobra.Command {
	cmd := &cobra.Command{Use: use, Short: short, Args: command.NoArgs, RunE: func(cmd *cobra.Command, _ []string) error {
		return fmt.Errorf("%w: name one of its commands: %s %s --help", command.ErrUsage, cmd.Root().Name(), use)
	}}
	cmd.AddCommand(all...)
	return cmd
}

// users returns the commands about accounts. They work whether or not a Central runs
// on the database: also if no admin can sign in any more.
func users(ctx context.Context, p *commandLine) *cobra.Command {
	m := &managing{ctx: ctx, p: p}
	var role, driver string
	add := m.command("add NAME --role ROLE", "Make an account; its password is read from the terminal or from standard input", 1, func(args []string) error {
		password, err := readPassword(m.p)
		if err != nil {
			return err
		}
		return m.do(func(a *app.Access) error {
			return a.AddAccount(ctx, args[0], access.Role(role), charge.Username(driver), password)
		})
	})
	add.Flags().StringVar(&role, "role", "operator", "`ROLE`: admin, operator, auditor or driver")
	add.Flags().StringVar(&driver, "driver", "", "the `USERNAME` under which a driver charges")
	change := func(use, short string, c access.Change) *cobra.Command {
		return m.command(use, short, 1, func(args []string) error {
			return m.do(func(a *app.Access) error { return a.ChangeAccount(ctx, args[0], c) })
		})
	}
	return group("user", "Accounts of the page and the API", add,
		m.command("list", "List the accounts", 0, func([]string) error {
			return m.do(func(a *app.Access) error {
				all, err := a.Accounts(ctx)
				if err != nil {
					return err
				}
				rows := [][]string{{"NAME", "ROLE", "DRIVER", "STATE"}}
				for _, x := range all {
					rows = append(rows, []string{x.Name, string(x.Role), cmp.Or(string(x.Username), "-"), state(!x.Disabled, "disabled")})
				}
				return table(p.Stdout, rows)
			})
		}),
		change("disable NAME", "Disable an account, and end its log-ins", access.Change{Disabled: new(true)}),
		change("enable NAME", "Enable an account again", access.Change{Disabled: new(false)}),
		m.command("password NAME", "Set a new password, read from the terminal or from standard input, and end the log-ins", 1, func(args []string) error {
			password, err := readPassword(m.p)
			if err != nil {
				return err
			}
			return m.do(func(a *app.Access) error {
				return a.ChangeAccount(ctx, args[0], access.Change{Password: &password})
			})
		}),
	)
}

// tokens returns the commands about tokens.
func tokens(ctx context.Context, p *commandLine) *cobra.Command {
	m := &managing{ctx: ctx, p: p}
	var role, driver, cp string
	var days int
	add := m.command("add NAME --role ROLE", "Make a token for a program, and print its secret once", 1, func(args []string) error {
		return m.do(func(a *app.Access) error {
			_, secret, err := a.AddToken(ctx, access.Token{Name: args[0], Role: access.Role(role), Username: charge.Username(driver), CPID: charge.CPID(cp)}, days)
			if err == nil {
				_, err = fmt.Fprintln(p.Stdout, secret)
			}
			return err
		})
	})
	add.Flags().StringVar(&role, "role", "auditor", "`ROLE`: admin, operator, auditor, driver or screen")
	add.Flags().StringVar(&driver, "driver", "", "the `USERNAME` of a driver")
	add.Flags().StringVar(&cp, "cp", "", "the charging point of a screen")
	add.Flags().IntVar(&days, "days", 0, "how many days it can be used; 0: until it is revoked")
	return group("token", "Tokens with which programs use the API", add,
		m.command("list", "List the tokens", 0, func([]string) error {
			return m.do(func(a *app.Access) error {
				all, err := a.Tokens(ctx)
				if err != nil {
					return err
				}
				rows := [][]string{{"ID", "NAME", "ROLE", "FOR", "UNTIL", "STATE"}}
				for _, x := range all {
					until := "-"
					if x.ExpiresAt != 0 {
						until = x.ExpiresAt.String()
					}
					rows = append(rows, []string{
						x.ID, x.Name, string(x.Role), cmp.Or(string(x.Username), string(x.CPID), "-"), until,
						state(x.Usable(charge.At(time.Now())), "ended"),
					})
				}
				return table(p.Stdout, rows)
			})
		}),
		m.command("revoke ID", "Revoke a token", 1, func(args []string) error {
			return m.do(func(a *app.Access) error { return a.RevokeToken(ctx, args[0]) })
		}),
	)
}

func state(active bool, otherwise string) string {
	if active {
		return "active"
	}
	return otherwise
}

// table prints rows in columns.
func table(to io.Writer, rows [][]string) error {
	w := tabwriter.NewWriter(to, 0, 0, 2, ' ', 0)
	for _, r := range rows {
		if _, err := fmt.Fprintln(w, strings.Join(r, "\t")); err != nil {
			return err
		}
	}
	return w.Flush()
}

// readPassword reads a password: from a terminal twice and without an echo,
// otherwise the first line. It is no argument, since all users of the machine see
// those.
func readPassword(p *commandLine) (string, error) {
	return readSecret(p, "password", func(tty int) (string, error) { return typed(p, tty) })
}

// readSecret reads a secret: at a terminal by typed, otherwise the first line.
func readSecret(p *commandLine, what string, typed func(tty int) (string, error)) (string, error) {
	if tty, ok := p.Stdin.(*os.File); ok && term.IsTerminal(int(tty.Fd())) {
		return typed(int(tty.Fd()))
	}
	if p.Stdin == nil {
		return "", fmt.Errorf("%w: the %s is read from standard input", command.ErrUsage, what)
	}
	line, err := readLine(p.Stdin)
	if err != nil {
		return "", fmt.Errorf("read the %s from standard input: %w", what, err)
	}
	return line, nil
}

// ask asks for a secret at a terminal, which does not show it.
func ask(p *commandLine, prompt string, tty int) (string, error) {
	if _, err := fmt.Fprint(p.Stderr, prompt); err != nil {
		return "", err
	}
	line, err := term.ReadPassword(tty)
	_, _ = fmt.Fprintln(p.Stderr) // the end of the line was not shown
	return string(line), err
}

// readLine reads one line, and not more: byte by byte.
func readLine(r io.Reader) (string, error) {
	line, err := bufio.NewReaderSize(io.LimitReader(r, 4096), 16).ReadString('\n')
	if err != nil && !errors.Is(err, io.EOF) {
		return "", err
	}
	line = strings.TrimRight(line, "\r\n")
	if line == "" {
		return "", errors.New("it is empty")
	}
	return line, nil
}

// typed asks for a password twice.
func typed(p *commandLine, tty int) (string, error) {
	var both [2]string
	for i, prompt := range []string{"New password: ", "Once more: "} {
		line, err := ask(p, prompt, tty)
		if err != nil {
			return "", err
		}
		both[i] = line
	}
	if both[0] != both[1] {
		return "", errors.New("the two passwords differ")
	}
	return both[0], nil
}

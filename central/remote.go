package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/carga-ev/carga/central/internal/client"
	"github.com/carga-ev/carga/internal/command"
	"github.com/carga-ev/carga/internal/process"
)

// tokenVariable is the environment variable with the secret of a token, for scripts
// without a file.
const tokenVariable = "CARGA_TOKEN"

// maxToken bounds a file with a token, in bytes.
const maxToken = 4096

// remote are the commands that ask a running Central through its API.
type remote struct {
	ctx context.Context //nolint:containedctx // of the one command that runs
	p   *commandLine

	path, url, tokenFile, output string
}

// The forms of what they print.
const (
	outTable = "table" // for people
	outJSON  = "json"  // one document
	outLines = "jsonl" // one document in each line
)

// group returns a command with the flags that all its subcommands have.
func (r *remote) group(use, short string, all ...*cobra.Command) *cobra.Command {
	cmd := group(use, short, all...)
	f := cmd.PersistentFlags()
	f.StringVar(&r.path, "config", "", "configuration `FILE` (YAML); its client.url and client.token_file hold")
	f.StringVar(&r.url, "url", "", "`ADDRESS` of Central; without it that of the configuration")
	f.StringVar(&r.tokenFile, "token-file", "", "`FILE` with the secret of a token; without it "+tokenVariable+" or that of the configuration")
	f.StringVarP(&r.output, "output", "o", outTable, "`FORM` of what is printed: table, json or jsonl")
	forms := func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
		return []string{outTable, outJSON, outLines}, cobra.ShellCompDirectiveNoFileComp
	}
	if err := cmd.RegisterFlagCompletionFunc("output", forms); err != nil {
		panic(err) // the flag exists
	}
	return cmd
}

// connect returns the client that flags, environment and configuration describe, in
// this order.
func (r *remote) connect() (*client.Client, error) {
	if !slices.Contains([]string{outTable, outJSON, outLines}, r.output) {
		return nil, fmt.Errorf("%w: --output %s: want table, json or jsonl", command.ErrUsage, r.output)
	}
	cfg, err := r.p.Load(r.path)
	if err != nil {
		return nil, err
	}
	address := r.url
	if address == "" {
		address = cfg.ClientURL()
	}
	secret := environment(r.p.Environ, tokenVariable)
	if file := r.tokenFile; file != "" || secret == "" && cfg.Client.TokenFile != "" {
		if file == "" {
			file = cfg.Client.TokenFile
		}
		raw, _, err := process.ReadFile(file, maxToken)
		if err != nil {
			return nil, fmt.Errorf("token %s: %w", file, err)
		}
		secret = strings.TrimSpace(string(raw))
	}
	c, err := client.New(address, secret)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", command.ErrUsage, err)
	}
	return c, nil
}

// environment returns a variable; "" if it is not set.
func environment(environ []string, name string) string {
	for _, v := range environ {
		if value, ok := strings.CutPrefix(v, name+"="); ok {
			return value
		}
	}
	return ""
}

// ask runs fn with the client, and gives its error the exit code.
func (r *remote) ask(fn func(c *client.Client) error) error {
	c, err := r.connect()
	if err != nil {
		return err
	}
	return exitOf(fn(c))
}

// exitOf gives an error of a client its exit code, and the next thing to do.
func exitOf(err error) error {
	if _, ok := errors.AsType[*client.UnreachableError](err); ok {
		return &command.ExitError{Code: process.ExitUnreachable, Err: err}
	}
	if refused, ok := errors.AsType[*client.RefusedError](err); ok {
		if refused.Kind == "sign_in_required" {
			err = fmt.Errorf("%w; make a token with \"central token add\" and name its file with --token-file", err)
		}
		return &command.ExitError{Code: process.ExitRefused, Err: err}
	}
	return err
}

// printer prints items in one of the forms. The caller calls end.
type printer[T any] struct {
	to   io.Writer
	form string
	head []string
	cell func(T) [][]string // the rows of an item
	rows [][]string
	all  []T
}

func newPrinter[T any](to io.Writer, form string, head []string, cell func(T) [][]string) *printer[T] {
	return &printer[T]{to: to, form: form, head: head, cell: cell, all: []T{}}
}

// add prints an item, or keeps it until the end.
func (p *printer[T]) add(item T) error {
	switch p.form {
	case outLines:
		return json.NewEncoder(p.to).Encode(item)
	case outJSON:
		p.all = append(p.all, item)
	default:
		p.rows = append(p.rows, p.cell(item)...)
	}
	return nil
}

// end prints what was kept.
func (p *printer[T]) end() error {
	switch p.form {
	case outLines:
		return nil
	case outJSON:
		out := json.NewEncoder(p.to)
		out.SetIndent("", "  ")
		return out.Encode(p.all)
	}
	return table(p.to, append([][]string{p.head}, p.rows...))
}

// setOf returns a query with the values that are not empty.
func setOf(pairs ...string) url.Values {
	q := url.Values{}
	for i := 0; i+1 < len(pairs); i += 2 {
		if pairs[i+1] != "" {
			q.Set(pairs[i], pairs[i+1])
		}
	}
	return q
}

// moment accepts a day or a time for a filter, and returns it as the API wants it.
func moment(flag, value string) (string, error) {
	if value == "" {
		return "", nil
	}
	if day, err := time.ParseInLocation(time.DateOnly, value, time.Local); err == nil {
		return day.Format(time.RFC3339), nil
	}
	if _, err := time.Parse(time.RFC3339, value); err != nil {
		return "", fmt.Errorf("%w: --%s %s: want a day such as 2026-11-30, or a time such as 2026-11-30T08:00:00Z", command.ErrUsage, flag, value)
	}
	return value, nil
}

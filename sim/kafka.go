package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/carga-ev/carga/internal/engines"
	"github.com/carga-ev/carga/internal/process"
)

// newKafkaCommand makes `sim kafka`, the embedded Kafka as a process of its
// own. The chaos runs use it where there is no Java.
func newKafkaCommand() *cobra.Command {
	var listen, data string
	c := &cobra.Command{
		Use:   "kafka",
		Short: "An embedded Kafka, for development without Apache Kafka",
		Long: "Serves Kafka's protocol from one process without Java, and keeps its log in a folder, each write synced. It has no\n" +
			"replicas and no security: for development and tests, not for production.",
		Example: "  sim kafka --data .kafka\n  sim kafka --listen 127.0.0.1:0",
		Args:    cobra.NoArgs,
	}
	c.Flags().StringVar(&listen, "listen", "127.0.0.1:9092", "listening address; port 0 chooses a free one")
	c.Flags().StringVar(&data, "data", "", "`folder` for the log; empty: in memory")
	c.RunE = action(func(ctx context.Context, c *cobra.Command, _ []string) error {
		k := engines.NewKafka(listen, data, nil)
		if err := k.Start(); err != nil {
			return fail(exitUsage, err)
		}
		defer k.Stop()
		out := process.NewOutput(c.OutOrStdout())
		defer out.Close()
		_, _ = fmt.Fprintf(out, "embedded Kafka at %s, for development only; stop it with Ctrl-C\n", k.Addr())
		// The broker works in its own goroutines until Stop.
		<-ctx.Done()
		return nil
	})
	return c
}

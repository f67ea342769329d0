package command

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/spf13/cobra"
)

// healthWithin limits the wait for an answer.
const healthWithin = 3 * time.Second

// healthCommand asks a running program how it is, for containers whose image holds
// nothing but the program.
func healthCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "health URL",
		Short: "Exit with 0 if a /livez or /readyz answers that all is well",
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) != 1 {
				return fmt.Errorf("%w: health wants one URL, such as http://127.0.0.1:9464/readyz", ErrUsage)
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error { return health(cmd.Context(), args[0]) },
	}
}

// health returns an error, with what was answered, unless url answers with 200.
func health(ctx context.Context, url string) error {
	ctx, cancel := context.WithTimeout(ctx, healthWithin)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
	if err != nil {
		return err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer func() { _ = resp.Body.Close() }() // what was read is enough
	text, err := io.ReadAll(io.LimitReader(resp.Body, 16<<10))
	if err != nil {
		return err
	}
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("%s: %s\n%s", url, resp.Status, text)
	}
	return nil
}

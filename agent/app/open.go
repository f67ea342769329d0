package app

import "log/slog"

// OnDisk is what an agent opens its journal with that is given nothing else,
// for whoever puts something between the two.
func OnDisk(dir string, log *slog.Logger) func(JournalOptions) (Journal, Found, error) {
	return openOnDisk(dir, log)
}

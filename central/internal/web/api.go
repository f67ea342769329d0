package web

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"time"
	"unicode"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"github.com/carga-ev/carga/internal/charge"
)

// Pages of lists.
const (
	defaultLimit = 50
	maxLimit     = 500
	maxWait      = 30 * time.Second
)

// routes registers every operation of the API. The description under
// /api/v1/openapi.json is made from these types.
func (s *Server) routes(mux *http.ServeMux) {
	cfg := huma.DefaultConfig("Carga Central", "1")
	cfg.OpenAPIPath = "/api/v1/openapi"
	cfg.DocsPath, cfg.SchemasPath, cfg.CreateHooks = "", "", nil
	cfg.Formats = strictFormats()
	api := humago.New(mux, cfg)

	s.readRoutes(api)
	s.orderRoutes(api)
	s.decideRoutes(api)
	if s.breaker != nil {
		s.demoRoutes(api)
	}
}

// op describes an operation.
func op(id, method, path, summary string, status int) huma.Operation {
	return huma.Operation{
		OperationID: id, Method: method, Path: "/api/v1" + path, Summary: summary, DefaultStatus: status,
		MaxBodyBytes: maxBody, Errors: []int{http.StatusNotFound, http.StatusConflict, http.StatusServiceUnavailable},
	}
}

// listInput selects a page of a list.
type listInput struct {
	CPID     string `query:"cp_id" maxLength:"36" pattern:"^[A-Za-z0-9_-]*$" doc:"only of this charging point"`
	Username string `query:"username" maxLength:"64" doc:"only of this driver"`
	State    string `query:"state" maxLength:"32" doc:"only in this state"`
	After    string `query:"after" maxLength:"160" doc:"next of the page before"`
	Limit    int    `query:"limit" minimum:"1" maximum:"500" default:"50"`
}

func (in *listInput) query() Query {
	limit := in.Limit
	if limit <= 0 || limit > maxLimit {
		limit = defaultLimit
	}
	return Query{CPID: charge.CPID(in.CPID), Username: charge.Username(in.Username), State: in.State, After: in.After, Limit: limit}
}

// listOutput is a page of a list, newest first.
type listOutput[T any] struct {
	Body struct {
		Items []T    `json:"items"`
		Next  string `json:"next,omitempty" doc:"give it as after for the next page; absent on the last"`
	}
}

// list registers GET path, a page of what read finds; key names an item.
func list[T any](s *Server, api huma.API, id, path, summary string, read func(context.Context, Query) ([]T, error), key func(*T) string) {
	huma.Register(api, op(id, http.MethodGet, path, summary, http.StatusOK), func(ctx context.Context, in *listInput) (*listOutput[T], error) {
		q := in.query()
		items, err := read(ctx, q)
		if err != nil {
			return nil, s.broken(id, err)
		}
		out := &listOutput[T]{}
		out.Body.Items = items
		if out.Body.Items == nil {
			out.Body.Items = []T{}
		}
		if len(items) == q.Limit {
			out.Body.Next = key(&items[len(items)-1])
		}
		return out, nil
	})
}

type bodyOutput[T any] struct{ Body T }

type cpInput struct {
	CP string `path:"cp" maxLength:"36" pattern:"^[A-Za-z0-9_-]{1,36}$"`
}

type commandInput struct {
	ID   string `path:"id" maxLength:"36"`
	Wait string `query:"wait" maxLength:"8" doc:"how long to wait for its end, as in 10s; at most 30s"`
}

func (s *Server) readRoutes(api huma.API) {
	huma.Register(api, op("get-network", http.MethodGet, "/network", "The whole network now", http.StatusOK),
		func(context.Context, *struct{}) (*bodyOutput[Network], error) {
			return &bodyOutput[Network]{s.live.Network()}, nil
		})
	huma.Register(api, op("get-cp", http.MethodGet, "/cps/{cp}", "One charging point now", http.StatusOK),
		func(_ context.Context, in *cpInput) (*bodyOutput[CP], error) {
			net := s.live.Network()
			for i := range net.CPs {
				if net.CPs[i].ID == charge.CPID(in.CP) {
					return &bodyOutput[CP]{net.CPs[i]}, nil
				}
			}
			return nil, refuse(http.StatusNotFound, "unknown_cp", "no charging point "+in.CP+" was ever heard here")
		})
	list(s, api, "list-sessions", "/sessions", "Sessions", s.archive.Sessions, func(v *Session) string { return string(v.ID) })
	list(s, api, "list-tickets", "/tickets", "Tickets", s.archive.Tickets, func(v *Ticket) string { return v.ID })
	list(s, api, "list-reservations", "/reservations", "Reservations", s.archive.Reservations, func(v *Reservation) string { return string(v.ID) })
	list(s, api, "list-commands", "/commands", "Commands and their lives", s.archive.Commands, func(v *Command) string { return string(v.ID) })
	list(s, api, "list-records", "/records", "Journal records as received", s.archive.Records, func(v *Record) string { return v.Cursor })
	list(s, api, "list-holes", "/holes", "Records that cannot come any more", s.archive.Holes, func(v *Hole) string { return fmt.Sprint(v.ID) })
	list(s, api, "list-alarms", "/alarms", "What an operator should look at", s.archive.Alarms, func(v *Alarm) string { return fmt.Sprint(v.ID) })
	huma.Register(api, op("get-command", http.MethodGet, "/commands/{id}", "One command and its life", http.StatusOK), s.getCommand)
}

// getCommand answers with the command, waiting for its end if asked to.
func (s *Server) getCommand(ctx context.Context, in *commandInput) (*bodyOutput[Command], error) {
	if in.Wait != "" {
		wait, err := time.ParseDuration(in.Wait)
		if err != nil || wait < 0 || wait > maxWait {
			return nil, refuse(http.StatusUnprocessableEntity, "bad_wait", "wait: write a duration up to 30s, as in 10s")
		}
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, wait)
		defer cancel()
	}
	for {
		changed := s.live.Changed()
		c, err := s.archive.Command(context.WithoutCancel(ctx), charge.CommandID(in.ID))
		if err != nil {
			return nil, s.broken("get-command", err)
		}
		if c == nil {
			return nil, refuse(http.StatusNotFound, "unknown_command", "no command "+in.ID)
		}
		if c.Ended() || in.Wait == "" {
			return &bodyOutput[Command]{*c}, nil
		}
		select {
		case <-ctx.Done():
			return &bodyOutput[Command]{*c}, nil
		case <-changed:
		}
	}
}

// orderOutput answers an order: it is in the database.
type orderOutput struct {
	Location string `header:"Location" doc:"where the life of the (first) command can be followed"`
	Body     Answer
}

// answer turns what the desk said into a response.
func (s *Server) answer(id string, a Answer, err error) (*orderOutput, error) {
	if err != nil {
		return nil, s.broken(id, err)
	}
	if !a.Accepted {
		status := http.StatusConflict
		switch a.Reason {
		case "unknown_cp", "unknown_hole", "unknown_session", "unknown_reservation", "unknown_connector":
			status = http.StatusNotFound
		case "idempotency_key_reused":
			status = http.StatusUnprocessableEntity
		case "too_many_keys":
			status = http.StatusTooManyRequests
		}
		text := a.Message
		if text == "" {
			text = "refused: " + a.Reason
		}
		return nil, refuse(status, a.Reason, text)
	}
	out := &orderOutput{Body: a}
	if len(a.Commands) > 0 {
		out.Location = "/api/v1/commands/" + string(a.Commands[0])
	}
	return out, nil
}

type reserveInput struct {
	Body struct {
		CPID      string `json:"cp_id,omitempty" maxLength:"36" pattern:"^[A-Za-z0-9_-]*$" doc:"absent: the one idle longest"`
		Connector int    `json:"connector,omitempty" minimum:"0" maximum:"64" doc:"0: any of it"`
		Username  string `json:"username" minLength:"1" maxLength:"64"`
	}
}

type startInput struct {
	Body struct {
		CPID      string `json:"cp_id" maxLength:"36" pattern:"^[A-Za-z0-9_-]{1,36}$"`
		Connector int    `json:"connector" minimum:"1" maximum:"64"`
		Username  string `json:"username" minLength:"1" maxLength:"64"`
	}
}

type idInput struct {
	ID string `path:"id" maxLength:"36" pattern:"^[A-Za-z0-9_-]{1,36}$"`
}

type availabilityInput struct {
	Body struct {
		CPID      string `json:"cp_id,omitempty" maxLength:"36" pattern:"^[A-Za-z0-9_-]*$" doc:"absent: all of the network"`
		Connector int    `json:"connector,omitempty" minimum:"0" maximum:"64" doc:"0: all of it"`
		Available bool   `json:"available"`
	}
}

type simulateInput struct {
	CP        string `path:"cp" maxLength:"36" pattern:"^[A-Za-z0-9_-]{1,36}$"`
	Connector int    `path:"n" minimum:"1" maximum:"64"`
	Body      struct {
		Action string `json:"action" enum:"plug,unplug,fault,repair"`
		Fault  string `json:"fault,omitempty" maxLength:"32"`
	}
}

func (s *Server) orderRoutes(api huma.API) {
	huma.Register(api, order("reserve", "/reservations", "Reserve a connector for a driver", http.StatusAccepted),
		func(ctx context.Context, in *reserveInput) (*orderOutput, error) {
			if !charge.ValidName(in.Body.Username) {
				return nil, badName()
			}
			a, err := s.desk.Reserve(ctx, charge.CPID(in.Body.CPID), charge.ConnectorID(in.Body.Connector), charge.Username(in.Body.Username))
			return s.answer("reserve", a, err)
		})
	huma.Register(api, order("cancel-reservation", "/reservations/{id}/cancel", "Cancel a reservation", http.StatusAccepted),
		func(ctx context.Context, in *idInput) (*orderOutput, error) {
			a, err := s.desk.Cancel(ctx, charge.ReservationID(in.ID))
			return s.answer("cancel-reservation", a, err)
		})
	huma.Register(api, order("start", "/sessions", "Start a session for a driver", http.StatusAccepted),
		func(ctx context.Context, in *startInput) (*orderOutput, error) {
			if !charge.ValidName(in.Body.Username) {
				return nil, badName()
			}
			a, err := s.desk.Start(ctx, charge.CPID(in.Body.CPID), charge.ConnectorID(in.Body.Connector), charge.Username(in.Body.Username))
			return s.answer("start", a, err)
		})
	huma.Register(api, order("stop", "/sessions/{id}/stop", "Stop a session", http.StatusAccepted),
		func(ctx context.Context, in *idInput) (*orderOutput, error) {
			a, err := s.desk.Stop(ctx, charge.SessionID(in.ID))
			return s.answer("stop", a, err)
		})
	huma.Register(api, order("set-availability", "/availability", "Take connectors out of service, or back", http.StatusAccepted),
		func(ctx context.Context, in *availabilityInput) (*orderOutput, error) {
			a, err := s.desk.SetAvailability(ctx, charge.CPID(in.Body.CPID), charge.ConnectorID(in.Body.Connector), in.Body.Available)
			return s.answer("set-availability", a, err)
		})
	huma.Register(api, order("simulate", "/cps/{cp}/connectors/{n}/simulate", "Move the hands at a simulated charging point", http.StatusAccepted),
		func(ctx context.Context, in *simulateInput) (*orderOutput, error) {
			f := charge.Fault(in.Body.Fault)
			if f != "" && !f.Valid() {
				return nil, refuse(http.StatusUnprocessableEntity, "bad_fault", fmt.Sprintf("fault: %q is unknown; one of %q is expected", in.Body.Fault, charge.Faults()))
			}
			a, err := s.desk.Simulate(ctx, charge.CPID(in.CP), charge.ConnectorID(in.Connector), in.Body.Action, f)
			return s.answer("simulate", a, err)
		})
	huma.Register(api, order("admit", "/cps/{cp}/admit", "Admit a charging point that waits for it", http.StatusAccepted),
		func(ctx context.Context, in *cpInput) (*orderOutput, error) {
			a, err := s.desk.Admit(ctx, charge.CPID(in.CP))
			return s.answer("admit", a, err)
		})
}

type explainInput struct {
	ID   int64 `path:"id" minimum:"1"`
	Body struct {
		Words string `json:"words" minLength:"1" maxLength:"300" doc:"what the operator found"`
	}
}

// decideRoutes are what an operator decides when records do not come by
// themselves.
func (s *Server) decideRoutes(api huma.API) {
	huma.Register(api, order("pass-next", "/cps/{cp}/pass-next",
		"Make a hole of the one record that holds up a charging point", http.StatusOK),
		func(ctx context.Context, in *cpInput) (*orderOutput, error) {
			a, err := s.desk.PassNext(ctx, charge.CPID(in.CP))
			return s.answer("pass-next", a, err)
		})
	huma.Register(api, order("release", "/cps/{cp}/release", "End the quarantine of an identity", http.StatusOK),
		func(ctx context.Context, in *cpInput) (*orderOutput, error) {
			a, err := s.desk.Release(ctx, charge.CPID(in.CP))
			return s.answer("release", a, err)
		})
	huma.Register(api, order("settle", "/sessions/{id}/settle",
		"End an orphaned session with a ticket up to its last known register", http.StatusOK),
		func(ctx context.Context, in *idInput) (*orderOutput, error) {
			a, err := s.desk.Settle(ctx, charge.SessionID(in.ID))
			return s.answer("settle", a, err)
		})
	huma.Register(api, order("explain-hole", "/holes/{id}/explain",
		"Write beside a hole what was found, and take its alarm back", http.StatusOK),
		func(ctx context.Context, in *explainInput) (*orderOutput, error) {
			if !printable(in.Body.Words) {
				return nil, refuse(http.StatusUnprocessableEntity, "bad_words", "words: use text without control characters")
			}
			a, err := s.desk.Explain(ctx, in.ID, in.Body.Words)
			return s.answer("explain-hole", a, err)
		})
	huma.Register(api, order("lift-fence", "/central/lift-fence",
		"Let this Central go on although another took over", http.StatusOK),
		func(ctx context.Context, _ *struct{}) (*orderOutput, error) {
			a, err := s.desk.Lift(ctx)
			return s.answer("lift-fence", a, err)
		})
}

func printable(s string) bool {
	return !strings.ContainsFunc(s, unicode.IsControl)
}

type partInput struct {
	Part string `path:"part" enum:"mqtt,kafka,bridge"`
	Body struct {
		Up bool `json:"up"`
	}
}

func (s *Server) demoRoutes(api huma.API) {
	huma.Register(api, op("cut-or-restore", http.MethodPost, "/demo/parts/{part}", "Cut a part of the demo, or bring it back", http.StatusOK),
		func(_ context.Context, in *partInput) (*bodyOutput[Part], error) {
			do, state := s.breaker.Cut, "down"
			if in.Body.Up {
				do, state = s.breaker.Restore, "up"
			}
			if err := do(in.Part); err != nil {
				return nil, s.broken("cut-or-restore", err)
			}
			return &bodyOutput[Part]{Part{Name: in.Part, State: state, Since: charge.At(time.Now())}}, nil
		})
}

func badName() error {
	return refuse(http.StatusUnprocessableEntity, "bad_username", "username: use 1 to 64 bytes without control characters")
}

// refuse makes a problem with a stable type.
func refuse(status int, word, detail string) error {
	return &huma.ErrorModel{Type: problemType(word), Title: http.StatusText(status), Status: status, Detail: detail}
}

// broken hides an internal error from the page and logs it once.
func (s *Server) broken(operation string, err error) error {
	s.log.Error("a request could not be served", slog.String("operation", operation), slog.Any("err", err))
	return refuse(http.StatusServiceUnavailable, "unavailable", "the database does not answer or does not accept writes at the moment; try again")
}

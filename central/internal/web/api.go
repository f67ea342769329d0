package web

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"
	"unicode"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"github.com/carga-ev/carga/central/access"
	"github.com/carga-ev/carga/central/view"
	"github.com/carga-ev/carga/internal/charge"
	"github.com/carga-ev/carga/internal/reason"
	"github.com/carga-ev/carga/internal/wire"
)

// routes registers every operation of the API. The description under
// /api/v1/openapi.json is generated from the types of their inputs and outputs.
func (s *Server) routes(mux *http.ServeMux) huma.API {
	cfg := huma.DefaultConfig("Carga Central", "1")
	cfg.OpenAPIPath = "/api/v1/openapi"
	cfg.DocsPath, cfg.SchemasPath, cfg.CreateHooks = "", "", nil
	if s.cfg.PublicURL != nil {
		cfg.Servers = []*huma.Server{{URL: strings.TrimRight(s.cfg.PublicURL.String(), "/")}}
	}
	cfg.Formats = strictFormats()
	cfg.Transformers = []huma.Transformer{plainProblem}
	cfg.RejectUnknownQueryParameters = true // a misspelt filter would otherwise be ignored and all rows shown
	api := humago.New(mux, cfg)
	api.UseMiddleware(s.authorise(permissions()))

	s.signInRoutes(api)
	s.accountRoutes(api)
	s.readRoutes(api)
	s.historyRoutes(api)
	s.seriesRoutes(api)
	s.deadLetterRoutes(api)
	s.settingsRoutes(api)
	s.tariffRoutes(api)
	s.cardRoutes(api)
	s.groupRoutes(api)
	s.streamRoute(api)
	s.orderRoutes(api)
	s.decisionRoutes(api)
	s.clearAlarmRoute(api)
	s.supportRoute(api)
	if s.breaker != nil {
		s.demoRoutes(api)
	}
	// Each order may also be answered with 202 instead of its own status, when a
	// command follows, or its result is not known in time.
	for _, at := range api.OpenAPI().Paths {
		if o := at.Post; o != nil {
			s.statuses[o.OperationID] = o.DefaultStatus
			if own := o.Responses[fmt.Sprint(o.DefaultStatus)]; o.DefaultStatus != http.StatusAccepted && len(o.Parameters) > 0 { // of an order
				underWay := *own
				underWay.Description = "The order was accepted: a command follows, which Location names, or its result is not known yet."
				o.Responses["202"] = &underWay
			}
		}
	}
	closeLists(api)
	return api
}

// closeLists adds to the description what texts of closed lists can be. The page's
// type check demands a text for each in each of its languages.
func closeLists(api huma.API) {
	schemas := api.OpenAPI().Components.Schemas.Map()
	types := slices.Sorted(maps.Keys(kinds()))
	for i, word := range types {
		types[i] = problemType(word)
	}
	schemas["ErrorModel"].Properties["type"].Enum = anyOf(types)
	schemas["Reason"].Properties["code"].Enum = anyOf(reason.Codes())
	schemas["Reason"].Properties["cause"].Enum = anyOf(reason.Codes())
	schemas["Alarm"].Properties["kind"].Enum = anyOf(view.AlarmKinds())
	schemas["Connector"].Properties["faults"].Items.Enum = anyOf(charge.Faults())
	schemas["Ticket"].Properties["reason"].Enum = anyOf(charge.StopReasons())
}

// anyOf returns texts as values of a schema.
func anyOf[T ~string](all []T) []any {
	values := make([]any, 0, len(all))
	for _, v := range all {
		values = append(values, string(v))
	}
	return values
}

// location returns the path of a resource of the API as clients reach it, through
// a proxy or not.
func (s *Server) location(path string) string { return s.proxy.base + "/api/v1/" + path }

// op describes an operation. status is that of its success; errors are those of
// its refusals, beside the ones that every operation has.
func op(id, method, path, summary string, status int, errors ...int) huma.Operation {
	return huma.Operation{
		OperationID: id, Method: method, Path: "/api/v1" + path, Summary: summary, DefaultStatus: status, MaxBodyBytes: maxBody,
		Errors: append([]int{http.StatusBadRequest, http.StatusUnauthorized, http.StatusForbidden, http.StatusMisdirectedRequest, http.StatusServiceUnavailable}, errors...),
	}
}

type bodyOutput[T any] struct{ Body T }

// CPInput names a charging point.
type CPInput struct {
	CP string `path:"cp" maxLength:"36" pattern:"^[A-Za-z0-9_-]{1,36}$"`
}

type oneCPInput struct {
	CPInput
	IfNoneMatch string `header:"If-None-Match" maxLength:"1000" doc:"the ETag of an answer that the client has"`
}

type commandInput struct {
	OneInput
	Wait string `query:"wait" maxLength:"8" pattern:"^(([12]?[0-9]|30)s|([0-9]{1,4}|[12][0-9]{4}|30000)ms)$" doc:"how long to wait for its end, as in 10s; at most 30s"`
}

// readRoutes registers the operations that read the present state.
func (s *Server) readRoutes(api huma.API) {
	huma.Register(api, op("get-network", http.MethodGet, "/network", "The whole network now", http.StatusOK),
		func(context.Context, *struct{}) (*bodyOutput[view.Network], error) {
			return &bodyOutput[view.Network]{s.live.Network()}, nil
		})
	one(s, api, "get-cp", "/cps/{cp}", "One charging point now", "unknown_cp", func(ctx context.Context, in *oneCPInput) (*view.CP, error) {
		net := s.live.Network()
		for i := range net.CPs {
			switch cp := &net.CPs[i]; {
			case cp.ID != charge.CPID(in.CP) || ofOther(ctx, in.CP):
			case callerOf(ctx).principal.Role == access.Screen:
				return forScreen(cp), nil
			default:
				return cp, nil
			}
		}
		return nil, nil
	}, func(in *oneCPInput) (id, ifNoneMatch string) { return in.CP, in.IfNoneMatch })
	one(s, api, "get-command", "/commands/{id}", "One command and the times of its states", "unknown_command", s.getCommand,
		func(in *commandInput) (id, ifNoneMatch string) { return in.ID, in.IfNoneMatch })
}

// streamRoute registers the live stream.
func (s *Server) streamRoute(api huma.API) {
	o := op("stream", http.MethodGet, "/stream", "What changes, as it changes: server-sent events", http.StatusOK)
	o.Description = "Begins with an event snapshot: the parts, the books and a row for each connector. An event delta follows each second: at, " +
		"and of the rest only what changed. When a state changes, one follows at once, with the numbers of its row alone. rows are the states of connectors. values has an array for each " +
		"number, by the index i of the row: w watts, e watt-hours of the session, c its cost, t how long before at the values were received, in ms, " +
		"u records that are not here yet, r the register when it changed otherwise than by e; a number that did not change is null. facts are " +
		"events, each once. A frame with at alone follows after 1 s without a change. The event bye announces that Central ends; connect again. " +
		"A client that sends the id of its last event as Last-Event-ID, or as last, gets what it missed, or a snapshot."
	o.Responses = map[string]*huma.Response{"200": {
		Description: "OK",
		Content:     map[string]*huma.MediaType{"text/event-stream": {Schema: &huma.Schema{Type: huma.TypeString}}},
	}}
	huma.Register(api, o, func(ctx context.Context, in *streamInput) (*huma.StreamResponse, error) {
		return &huma.StreamResponse{Body: func(hctx huma.Context) {
			r, w := humago.Unwrap(hctx)
			watched, stop := s.watchLogin(r.Context())
			defer stop()
			s.hub.serve(w, r.WithContext(watched), audienceOf(ctx), cmp.Or(in.Last, in.LastEventID)) //nolint:contextcheck // it is that of the request
		}}, nil
	})
}

// streamInput names the event that the client has. An id that is not known is no
// fault: the client gets a snapshot.
type streamInput struct {
	LastEventID string `header:"Last-Event-ID" doc:"the id of the last event that the client has; browsers send it"`
	Last        string `query:"last" maxLength:"64" doc:"the same, for clients that cannot set the header"`
}

// audienceOf returns the reader of the stream of a request.
func audienceOf(ctx context.Context) Audience {
	p := callerOf(ctx).principal
	return Audience{Staff: p.Role.May(access.NetworkRead), Username: p.Username, CPID: p.CPID}
}

// getCommand returns a command. With in.Wait it waits until the command ends, for
// at most that long, and returns it as it is then.
func (s *Server) getCommand(ctx context.Context, in *commandInput) (*view.Command, error) {
	if in.Wait != "" {
		wait, err := time.ParseDuration(in.Wait)
		if err != nil {
			return nil, err // cannot happen: the pattern allows only durations
		}
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, wait)
		defer cancel()
	}
	for { // Changed is called before the read, so that no change in between is missed
		changed := s.live.Changed()
		c, err := s.archive.Command(context.WithoutCancel(ctx), ownerOf(ctx), charge.CommandID(in.ID))
		if err != nil || c == nil || c.Ended() || in.Wait == "" {
			return c, err
		}
		select {
		case <-ctx.Done():
			return c, nil
		case <-changed:
		}
	}
}

// orderOutput is the answer to an order that is committed, or under way.
type orderOutput struct {
	Status   int
	Location string `header:"Location" doc:"the first command that was written for the order"`
	Body     Answer
}

// answer returns the response to the operation id from what Orders returned.
func (s *Server) answer(id string, a Answer, err error) (*orderOutput, error) {
	if errors.Is(err, ErrUnderWay) {
		return &orderOutput{Status: http.StatusAccepted, Location: s.location("commands"), Body: Answer{
			Reason: "under_way", Message: "the order was accepted and the database is slow: look for its command, or send it again with the same Idempotency-Key",
		}}, nil
	}
	if err != nil {
		return nil, s.internalError(id, err)
	}
	if !a.Accepted {
		// A reason without a kind would be answered as an internal error.
		if _, ok := kinds()[a.Reason]; !ok {
			s.log.Error("a refusal has no kind of problem", slog.String("operation", id), slog.String("reason", a.Reason))
		}
		return nil, problem(a.Reason, a.Message)
	}
	out := &orderOutput{Status: s.statuses[id], Body: a}
	if len(a.Commands) > 0 {
		out.Status = http.StatusAccepted
		out.Location = s.location("commands/" + string(a.Commands[0]))
	}
	return out, nil
}

// reserveInput is the body of a reservation. Without cp_id Central chooses the
// connector.
type reserveInput struct {
	Body struct {
		CPID      string `json:"cp_id,omitempty" maxLength:"36" pattern:"^[A-Za-z0-9_-]{1,36}$" doc:"absent: the free one that has been idle longest"`
		Connector int    `json:"connector,omitempty" minimum:"0" maximum:"64" dependentRequired:"cp_id" doc:"absent: any free connector of it"`
		Username  string `json:"username,omitempty" minLength:"1" maxLength:"64" doc:"a driver may leave it out, and names no other"`
	}
}

// Limits are what a driver wants of a session at most.
type Limits struct {
	Energy int64 `json:"limit_wh,omitempty" minimum:"1" maximum:"1099511627776" doc:"the charging point ends the session at this energy; absent: no limit"`
	Amount int64 `json:"limit_amount,omitempty" minimum:"1" maximum:"1099511627776" doc:"the session ends at this cost, in minor units of the tariff's currency; absent: no limit"`
}

func (l Limits) limit() charge.SessionLimit {
	return charge.SessionLimit{Energy: charge.WattHours(l.Energy), Amount: l.Amount}
}

// chargeInput is the body of a request to charge.
type chargeInput struct {
	Body struct {
		CPID      string `json:"cp_id,omitempty" maxLength:"36" pattern:"^[A-Za-z0-9_-]{1,36}$" doc:"absent: the free one that has been idle longest"`
		Connector int    `json:"connector,omitempty" minimum:"0" maximum:"64" dependentRequired:"cp_id" doc:"absent: any free connector of it"`
		Username  string `json:"username,omitempty" minLength:"1" maxLength:"64" doc:"a driver may leave it out, and names no other"`
		Limits
	}
}

// startInput is the body of a session. The connector must be named: the driver
// stands in front of it.
type startInput struct {
	Body struct {
		CPID      string `json:"cp_id" maxLength:"36" pattern:"^[A-Za-z0-9_-]{1,36}$"`
		Connector int    `json:"connector" minimum:"1" maximum:"64"`
		Username  string `json:"username,omitempty" minLength:"1" maxLength:"64" doc:"a driver may leave it out, and names no other"`
		Limits
	}
}

type idInput struct {
	ID string `path:"id" maxLength:"36" pattern:"^[A-Za-z0-9_-]{1,36}$"`
}

type availabilityInput struct {
	Body availabilityBody
}

// availabilityBody names a charging point, or the whole network explicitly: a
// cp_id that was left out by mistake must not stop every charging point.
type availabilityBody struct {
	CPID      string `json:"cp_id,omitempty" maxLength:"36" pattern:"^[A-Za-z0-9_-]{1,36}$" doc:"a charging point; or give all"`
	Connector int    `json:"connector,omitempty" minimum:"0" maximum:"64" dependentRequired:"cp_id" doc:"absent: all of its connectors"`
	All       bool   `json:"all,omitempty" enum:"true" doc:"the whole network, with charging points that are added later"`
	Available bool   `json:"available"`
}

// TransformSchema implements huma.SchemaTransformer: exactly one of cp_id and all
// is required.
func (availabilityBody) TransformSchema(_ huma.Registry, s *huma.Schema) *huma.Schema {
	for _, name := range []string{"cp_id", "all"} {
		with := &huma.Schema{Type: huma.TypeObject, Properties: map[string]*huma.Schema{name: s.Properties[name]}, Required: []string{name}}
		with.PrecomputeMessages()
		s.OneOf = append(s.OneOf, with)
	}
	return s
}

// Resolve implements huma.Resolver: it puts what the schema requires in plain
// words.
func (in *availabilityInput) Resolve(huma.Context) []error {
	if (in.Body.CPID != "") != in.Body.All {
		return nil
	}
	return []error{&huma.ErrorDetail{Location: "body.cp_id", Message: `name a charging point, or write "all": true for the whole network`}}
}

// simulateInput is what a person does at a simulated charging point.
type simulateInput struct {
	CP        string `path:"cp" maxLength:"36" pattern:"^[A-Za-z0-9_-]{1,36}$"`
	Connector int    `path:"n" minimum:"1" maximum:"64"`
	Body      simulateBody
}

type simulateBody struct {
	Action string `json:"action" enum:"plug,unplug,fault,repair,tap" doc:"tap holds a card to the reader, which must be given"`
	Fault  string `json:"fault,omitempty" doc:"which fault; absent: other"`
	CardRef
}

// Resolve implements huma.Resolver: a tap needs a card, and nothing else has one.
func (in *simulateInput) Resolve(huma.Context) []error {
	if tap := in.Body.Action == string(wire.SimulateTap); in.Body.one() && tap || in.Body.none() && !tap {
		return nil
	}
	return []error{&huma.ErrorDetail{Location: "body.uid", Message: "give either uid or token_hash with tap, and neither with another action"}}
}

// TransformSchema implements huma.SchemaTransformer: it lists the faults there are.
func (simulateBody) TransformSchema(_ huma.Registry, s *huma.Schema) *huma.Schema {
	for _, f := range charge.Faults() {
		s.Properties["fault"].Enum = append(s.Properties["fault"].Enum, string(f))
	}
	s.Properties["fault"].PrecomputeMessages()
	return s
}

// SiteAction is what an operator orders of a charging point itself.
type SiteAction string

// The closed list of such actions.
const (
	ActionReset    SiteAction = "reset"    // end latched faults whose cause is over
	ActionUnlock   SiteAction = "unlock"   // end the session and release the cable
	ActionIdentify SiteAction = "identify" // let the lights blink for 30 s
)

// onSiteInput is such an action at a connector.
type onSiteInput struct {
	CP        string `path:"cp" maxLength:"36" pattern:"^[A-Za-z0-9_-]{1,36}$"`
	Connector int    `path:"n" minimum:"1" maximum:"64"`
	Body      struct {
		Action string `json:"action" enum:"reset,unlock,identify" doc:"reset ends latched faults whose cause is over; unlock ends the session and releases the cable; identify lets the lights blink for 30 s"`
	}
}

// orderRoutes registers the operations that order something of charging points.
func (s *Server) orderRoutes(api huma.API) {
	huma.Register(api, order("reserve", "/reservations", "Reserve a connector for a driver", http.StatusAccepted),
		func(ctx context.Context, in *reserveInput) (*orderOutput, error) {
			driver, err := s.reserving(ctx, "reserve", in.Body.Username)
			if err != nil {
				return nil, err
			}
			a, err := s.orders.Reserve(ctx, charge.CPID(in.Body.CPID), charge.ConnectorID(in.Body.Connector), driver)
			return s.answer("reserve", a, err)
		})
	huma.Register(api, order("cancel-reservation", "/reservations/{id}/cancel", "Cancel a reservation", http.StatusAccepted),
		func(ctx context.Context, in *idInput) (*orderOutput, error) {
			if err := ownOrNone(ctx, s, "cancel-reservation", "unknown_reservation", s.archive.Reservation, charge.ReservationID(in.ID)); err != nil {
				return nil, err
			}
			a, err := s.orders.Cancel(ctx, charge.ReservationID(in.ID))
			return s.answer("cancel-reservation", a, err)
		})
	huma.Register(api, order("start", "/sessions", "Start a session for a driver", http.StatusAccepted),
		func(ctx context.Context, in *startInput) (*orderOutput, error) {
			driver, err := forDriver(ctx, in.Body.Username)
			if err != nil {
				return nil, err
			}
			a, err := s.orders.Start(ctx, charge.CPID(in.Body.CPID), charge.ConnectorID(in.Body.Connector), driver, in.Body.limit())
			return s.answer("start", a, err)
		})
	huma.Register(api, order("charge", "/charges",
		"Reserve a connector for a driver, and start a session there when the driver plugs in", http.StatusAccepted),
		func(ctx context.Context, in *chargeInput) (*orderOutput, error) {
			driver, err := s.reserving(ctx, "charge", in.Body.Username)
			if err != nil {
				return nil, err
			}
			a, err := s.orders.Charge(ctx, charge.CPID(in.Body.CPID), charge.ConnectorID(in.Body.Connector), driver, in.Body.limit())
			return s.answer("charge", a, err)
		})
	huma.Register(api, order("stop", "/sessions/{id}/stop", "Stop a session", http.StatusAccepted),
		func(ctx context.Context, in *idInput) (*orderOutput, error) {
			if err := ownOrNone(ctx, s, "stop", "unknown_session", s.archive.Session, charge.SessionID(in.ID)); err != nil {
				return nil, err
			}
			a, err := s.orders.Stop(ctx, charge.SessionID(in.ID))
			return s.answer("stop", a, err)
		})
	huma.Register(api, order("set-availability", "/availability", "Take connectors out of service, or back", http.StatusAccepted),
		func(ctx context.Context, in *availabilityInput) (*orderOutput, error) {
			a, err := s.orders.SetAvailability(ctx, charge.CPID(in.Body.CPID), charge.ConnectorID(in.Body.Connector), in.Body.Available)
			return s.answer("set-availability", a, err)
		})
	huma.Register(api, order("simulate", "/cps/{cp}/connectors/{n}/simulate", "Plug, unplug, break or repair a simulated charging point, or hold a card to it", http.StatusAccepted),
		func(ctx context.Context, in *simulateInput) (*orderOutput, error) {
			if ofOther(ctx, in.CP) {
				return nil, problem("unknown_cp", "")
			}
			o := wire.Simulate{Action: wire.SimulateAction(in.Body.Action), Fault: charge.Fault(in.Body.Fault), Card: in.Body.hash()}
			a, err := s.orders.Simulate(ctx, charge.CPID(in.CP), charge.ConnectorID(in.Connector), o)
			return s.answer("simulate", a, err)
		})
	huma.Register(api, order("act-on-site", "/cps/{cp}/connectors/{n}/actions", "Reset faults, release the cable, or let the lights blink", http.StatusAccepted),
		func(ctx context.Context, in *onSiteInput) (*orderOutput, error) {
			a, err := s.orders.OnSite(ctx, charge.CPID(in.CP), charge.ConnectorID(in.Connector), SiteAction(in.Body.Action))
			return s.answer("act-on-site", a, err)
		})
	huma.Register(api, order("admit", "/cps/{cp}/admit", "Admit a charging point that waits for it", http.StatusOK),
		func(ctx context.Context, in *CPInput) (*orderOutput, error) {
			a, err := s.orders.Admit(ctx, charge.CPID(in.CP))
			return s.answer("admit", a, err)
		})
}

// reserving returns the driver of an operation that reserves. Reservations that a
// driver orders are counted.
func (s *Server) reserving(ctx context.Context, operation, username string) (charge.Username, error) {
	driver, err := forDriver(ctx, username)
	if err != nil || ownerOf(ctx) == "" {
		return driver, err
	}
	if err := s.accounts.MayReserve(driver, time.Now()); err != nil {
		return "", s.refusal(operation, err)
	}
	return driver, nil
}

// ownOrNone returns the problem unknown if a driver orders something about what does
// not belong to it. Its driver never changes, so it may be read before the
// order.
func ownOrNone[K ~string, T any](ctx context.Context, s *Server, operation, unknown string, find func(context.Context, charge.Username, K) (*T, error), id K) error {
	owner := ownerOf(ctx)
	if owner == "" {
		return nil
	}
	v, err := find(ctx, owner, id)
	if err != nil {
		return s.internalError(operation, err)
	}
	if v == nil {
		return problem(unknown, "no such item: "+string(id))
	}
	return nil
}

// explainInput is an operator's note about a gap. It is appended to the gap's
// detail and cannot be removed.
type explainInput struct {
	ID   int64 `path:"id" minimum:"1"`
	Body struct {
		Note string `json:"note" minLength:"1" maxLength:"300" doc:"what the operator found out"`
	}
}

// decisionRoutes registers the operations by which an operator decides what the
// protocol cannot: about records that will not come, quarantines, sessions without
// their charging point, and a second Central.
func (s *Server) decisionRoutes(api huma.API) {
	huma.Register(api, order("pass-next", "/cps/{cp}/pass-next",
		"Declare the one record that blocks a charging point a gap", http.StatusOK),
		func(ctx context.Context, in *CPInput) (*orderOutput, error) {
			a, err := s.orders.PassNext(ctx, charge.CPID(in.CP))
			return s.answer("pass-next", a, err)
		})
	huma.Register(api, order("release", "/cps/{cp}/release", "End the quarantine of an identity", http.StatusOK),
		func(ctx context.Context, in *CPInput) (*orderOutput, error) {
			a, err := s.orders.Release(ctx, charge.CPID(in.CP))
			return s.answer("release", a, err)
		})
	huma.Register(api, order("settle", "/sessions/{id}/settle",
		"End a session whose charging point came back without it or is offline, with a ticket up to its last known register", http.StatusOK),
		func(ctx context.Context, in *idInput) (*orderOutput, error) {
			a, err := s.orders.Settle(ctx, charge.SessionID(in.ID))
			return s.answer("settle", a, err)
		})
	huma.Register(api, order("explain-gap", "/gaps/{id}/explain",
		"Add a note to a gap, and clear its alarm", http.StatusOK),
		func(ctx context.Context, in *explainInput) (*orderOutput, error) {
			if err := checkNote(in.Body.Note); err != nil {
				return nil, err
			}
			a, err := s.orders.Explain(ctx, in.ID, in.Body.Note)
			return s.answer("explain-gap", a, err)
		})
	huma.Register(api, order("lift-fence", "/central/lift-fence",
		"Let this Central order again although another took over", http.StatusOK),
		func(ctx context.Context, _ *struct{}) (*orderOutput, error) {
			a, err := s.orders.Lift(ctx)
			return s.answer("lift-fence", a, err)
		})
}

// checkNote returns the problem of an operator's note that cannot be kept.
func checkNote(note string) error {
	if !printable(note) {
		return problem("bad_note", "note: use text without control characters")
	}
	return nil
}

// printable reports whether a text has no control characters: it is shown in logs
// and terminals.
func printable(s string) bool {
	return !strings.ContainsFunc(s, unicode.IsControl)
}

type partInput struct {
	Part string `path:"part" enum:"mqtt,kafka,bridge"`
	Body struct {
		Up bool `json:"up"`
	}
}

// demoRoutes registers what only the demo has.
func (s *Server) demoRoutes(api huma.API) {
	huma.Register(api, op("cut-or-restore", http.MethodPost, "/demo/parts/{part}", "Cut a part of the demo, or restore it", http.StatusOK,
		http.StatusForbidden, http.StatusRequestTimeout, http.StatusRequestEntityTooLarge, http.StatusUnsupportedMediaType),
		func(ctx context.Context, in *partInput) (*bodyOutput[view.Part], error) {
			do, state := s.breaker.Cut, view.PartDown
			if in.Body.Up {
				do, state = s.breaker.Restore, view.PartUp
			}
			if err := do(in.Part); err != nil { // the part may be up or down now
				s.log.Error("a part of the demo could not be cut or restored", slog.String("part", in.Part), slog.Any("err", err))
				return nil, problem("internal", "")
			}
			if s.accounts != nil { // the database may be what cannot be reached: then the part is cut all the same
				actor := ActorOf(ctx)
				_ = s.accounts.Record(ctx, actor.Entry(charge.At(time.Now()), fmt.Sprintf("%s up=%t", in.Part, in.Body.Up), access.Done))
			}
			return &bodyOutput[view.Part]{view.Part{Name: in.Part, State: state, Since: charge.At(time.Now())}}, nil
		})
}

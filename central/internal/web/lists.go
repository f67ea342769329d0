package web

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/carga-ev/carga/central/view"
	"github.com/carga-ev/carga/internal/charge"
)

// Paging holds the query parameters that every list has. The parameter after is in
// the type of each list instead, because its pattern describes that list's
// cursors.
type Paging struct {
	From  string `query:"from" format:"date-time" maxLength:"40" doc:"not before this time (RFC 3339)" example:"2026-11-29T00:00:00Z"`
	To    string `query:"to" format:"date-time" maxLength:"40" doc:"before this time" example:"2026-11-30T00:00:00Z"`
	Limit int    `query:"limit" minimum:"1" maximum:"500" default:"50"`
}

// query returns the query of a page; after is a cursor: the name of the list, a
// colon, and the key of the last row.
func (in *Paging) query(after string) view.Query {
	_, key, _ := strings.Cut(after, ":")
	return view.Query{From: parseBound(in.From), To: parseBound(in.To), After: key, Limit: in.Limit}
}

// parseBound parses the time of a filter; its form was checked before. An absent
// one is 0, which does not restrict; a time before 1970 becomes 1, so that it
// restricts.
func parseBound(s string) charge.Time {
	t, err := time.Parse(time.RFC3339Nano, s)
	if err != nil {
		return 0
	}
	return min(max(charge.At(t), 1), charge.MaxTime)
}

// OfCP and OfDriver are filters that several lists share.
type (
	// OfCP selects what is about one charging point.
	OfCP struct {
		CPID string `query:"cp_id" maxLength:"36" pattern:"^[A-Za-z0-9_-]{1,36}$" doc:"only of this charging point"`
	}
	// OfDriver selects what is about one driver.
	OfDriver struct {
		Username string `query:"username" minLength:"1" maxLength:"64" doc:"only of this driver"`
	}
)

type sessionsInput struct {
	Paging
	OfCP
	OfDriver
	Format
	State string `query:"state" enum:"open,orphaned,closed" doc:"only in this state"`
	After string `query:"after" maxLength:"160" pattern:"^sessions:[A-Za-z0-9_.-]+$" doc:"next of the page before"`
}

type ticketsInput struct {
	Paging
	OfCP
	OfDriver
	Format
	SessionID string `query:"session_id" maxLength:"36" pattern:"^[A-Za-z0-9_-]{1,36}$" doc:"only of this session: its ticket, and a correction if there is one"`
	After     string `query:"after" maxLength:"160" pattern:"^tickets:[A-Za-z0-9_.-]+$" doc:"next of the page before"`
}

type reservationsInput struct {
	Paging
	OfCP
	OfDriver
	State string `query:"state" enum:"pending,active,used,ended" doc:"only in this state now"`
	After string `query:"after" maxLength:"160" pattern:"^reservations:[A-Za-z0-9_.-]+$" doc:"next of the page before"`
}

type commandsInput struct {
	Paging
	OfCP
	State string `query:"state" enum:"written,sent,accepted,rejected,superseded,expired,done,failed" doc:"only in this state"`
	After string `query:"after" maxLength:"160" pattern:"^commands:[A-Za-z0-9_.-]+$" doc:"next of the page before"`
}

type recordsInput struct {
	Paging
	OfCP
	After string `query:"after" maxLength:"160" pattern:"^records:[A-Za-z0-9_-]+/[A-Za-z0-9_-]+/[0-9]{1,18}$" doc:"next of the page before"`
}

type gapsInput struct {
	Paging
	OfCP
	State string `query:"state" enum:"open,filled" doc:"only in this state"`
	After string `query:"after" maxLength:"160" pattern:"^gaps:[0-9]{1,18}$" doc:"next of the page before"`
}

type alarmsInput struct {
	Paging
	OfCP
	State string `query:"state" enum:"open,cleared,all" default:"open" doc:"only in this state"`
	After string `query:"after" maxLength:"160" pattern:"^alarms:[0-9]{1,18}$" doc:"next of the page before"`
}

// listOutput is a page of a list, newest first.
type listOutput[T any] struct{ Body *listBody[T] }

// listBody is a page of a list.
type listBody[T any] struct {
	Items []T    `json:"items" nullable:"false"`
	Next  string `json:"next,omitempty" doc:"give it as after for the next page; absent on the last"`
}

// list registers GET /name: a page of what read returns. key returns the key of an
// item, for the cursor of the next page.
func list[I, T any](s *Server, api huma.API, name, summary string, query func(*I) view.Query, read func(context.Context, view.Query) ([]T, error), key func(*T) string) {
	id := "list-" + name
	o := op(id, http.MethodGet, "/"+name, summary, http.StatusOK, http.StatusGone, http.StatusConflict, http.StatusUnprocessableEntity)
	huma.Register(api, o, func(ctx context.Context, in *I) (*listOutput[T], error) {
		page, err := readList(ctx, s, id, name, query(in), read, key)
		if err != nil {
			return nil, err
		}
		return &listOutput[T]{page}, nil
	})
}

// readList reads a page.
func readList[T any](ctx context.Context, s *Server, id, name string, q view.Query, read func(context.Context, view.Query) ([]T, error), key func(*T) string) (*listBody[T], error) {
	q.Owner = ownerOf(ctx)
	limit := q.Limit
	q.Limit++ // one more item shows that there is a next page
	items, err := read(ctx, q)
	if errors.Is(err, view.ErrGone) {
		return nil, problem("cursor_gone", "after: the row where the page before ended does not exist any more; begin again without after")
	}
	if p, ok := errors.AsType[*huma.ErrorModel](err); ok {
		return nil, p
	}
	if err != nil {
		return nil, s.internalError(id, err)
	}
	out := &listBody[T]{Items: []T{}}
	if len(items) > limit {
		items = items[:limit]
		out.Next = name + ":" + key(&items[limit-1])
	}
	out.Items = append(out.Items, items...)
	return out, nil
}

// OneInput names one item.
type OneInput struct {
	ID          string `path:"id" maxLength:"80" pattern:"^[A-Za-z0-9_-][A-Za-z0-9_.-]*$"`
	IfNoneMatch string `header:"If-None-Match" maxLength:"1000" doc:"the ETag of an answer that the client has"`
}

// numberInput names one item that has a number.
type numberInput struct {
	ID          int64  `path:"id" minimum:"1"`
	IfNoneMatch string `header:"If-None-Match" maxLength:"1000" doc:"the ETag of an answer that the client has"`
}

// oneOutput is the answer with one item; with status 304 it has no body.
type oneOutput[T any] struct {
	Status int
	ETag   string `header:"ETag" doc:"changes with the body"`
	Body   T
}

// withETag returns the answer with an item, or 304 if the client has it already.
func withETag[T any](v T, ifNoneMatch string) *oneOutput[T] {
	// Half of the hash is enough: an ETag is compared with those of the same item.
	sum := sha256.Sum256(mustJSON(v))
	out := &oneOutput[T]{Status: http.StatusOK, ETag: `"` + hex.EncodeToString(sum[:12]) + `"`, Body: v}
	for tag := range strings.SplitSeq(ifNoneMatch, ",") {
		if tag = strings.TrimSpace(tag); tag == "*" || strings.TrimPrefix(tag, "W/") == out.ETag {
			out.Status = http.StatusNotModified
		}
	}
	return out
}

// one registers GET path, which has one parameter. find returns nil when there is
// no such item, which is the problem unknown. tag returns the id and the ETags of a
// request.
func one[I, T any](s *Server, api huma.API, id, path, summary, unknown string, find func(context.Context, *I) (*T, error), tag func(*I) (id, ifNoneMatch string)) {
	huma.Register(api, readOne(op(id, http.MethodGet, path, summary, http.StatusOK, http.StatusNotFound, http.StatusUnprocessableEntity)),
		func(ctx context.Context, in *I) (*oneOutput[T], error) {
			v, err := find(ctx, in)
			name, match := tag(in)
			p, isProblem := errors.AsType[*huma.ErrorModel](err)
			switch {
			case isProblem:
				return nil, p
			case err != nil:
				return nil, s.internalError(id, err)
			case v == nil:
				return nil, problem(unknown, "no such item: "+name)
			}
			return withETag(*v, match), nil
		})
}

// readOne adds the status 304 to an operation.
func readOne(o huma.Operation) huma.Operation {
	if o.Responses == nil {
		o.Responses = map[string]*huma.Response{}
	}
	o.Responses["304"] = &huma.Response{Description: "The item has not changed: If-None-Match names its ETag."}
	return o
}

// byID and byNumber adapt a method of Archive for one. What has an owner is not there
// for another driver.
func byID[K ~string, T any](find func(context.Context, charge.Username, K) (*T, error)) func(context.Context, *OneInput) (*T, error) {
	return func(ctx context.Context, in *OneInput) (*T, error) { return find(ctx, ownerOf(ctx), K(in.ID)) }
}

func byNumber[T any](find func(context.Context, int64) (*T, error)) func(context.Context, *numberInput) (*T, error) {
	return func(ctx context.Context, in *numberInput) (*T, error) { return find(ctx, in.ID) }
}

func idTag(in *OneInput) (id, ifNoneMatch string)        { return in.ID, in.IfNoneMatch }
func numberTag(in *numberInput) (id, ifNoneMatch string) { return fmt.Sprint(in.ID), in.IfNoneMatch }

// historyRoutes registers the lists, and their single items.
func (s *Server) historyRoutes(api huma.API) {
	exported(s, api, "sessions", "Sessions", func(in *sessionsInput) (view.Query, Format) {
		return filter(in.query(in.After), in.OfCP, in.OfDriver, in.State), in.Format
	}, s.archive.Sessions, func(v *view.Session) string { return string(v.ID) }, sessionColumns())
	one(s, api, "get-session", "/sessions/{id}", "One session", "unknown_session", byID(s.archive.Session), idTag)

	exported(s, api, "tickets", "Tickets", func(in *ticketsInput) (view.Query, Format) {
		q := filter(in.query(in.After), in.OfCP, in.OfDriver, "")
		q.SessionID = charge.SessionID(in.SessionID)
		return q, in.Format
	}, s.archive.Tickets, func(v *view.Ticket) string { return v.ID }, ticketColumns())
	s.summaryRoutes(api)
	one(s, api, "get-ticket", "/tickets/{id}", "One ticket", "unknown_ticket", byID(s.archive.Ticket), idTag)

	list(s, api, "reservations", "Reservations", func(in *reservationsInput) view.Query {
		return filter(in.query(in.After), in.OfCP, in.OfDriver, in.State)
	}, s.archive.Reservations, func(v *view.Reservation) string { return string(v.ID) })
	one(s, api, "get-reservation", "/reservations/{id}", "One reservation", "unknown_reservation", byID(s.archive.Reservation), idTag)

	list(s, api, "commands", "Commands and the times of their states", func(in *commandsInput) view.Query {
		return filter(in.query(in.After), in.OfCP, OfDriver{}, in.State)
	}, s.archive.Commands, func(v *view.Command) string { return string(v.ID) })

	list(s, api, "records", "Journal records as received", func(in *recordsInput) view.Query {
		return filter(in.query(in.After), in.OfCP, OfDriver{}, "")
	}, s.archive.Records, (*view.Record).Key)

	list(s, api, "gaps", "Ranges of records that are missing for good", func(in *gapsInput) view.Query {
		return filter(in.query(in.After), in.OfCP, OfDriver{}, in.State)
	}, s.archive.Gaps, func(v *view.Gap) string { return fmt.Sprint(v.ID) })
	one(s, api, "get-gap", "/gaps/{id}", "One gap", "unknown_gap", byNumber(s.archive.Gap), numberTag)

	list(s, api, "alarms", "Conditions that an operator should look at", func(in *alarmsInput) view.Query {
		return filter(in.query(in.After), in.OfCP, OfDriver{}, strings.TrimPrefix(in.State, "all"))
	}, s.archive.Alarms, func(v *view.Alarm) string { return fmt.Sprint(v.ID) })
	one(s, api, "get-alarm", "/alarms/{id}", "One alarm", "unknown_alarm", byNumber(s.archive.Alarm), numberTag)
}

// filter returns the query with the filters of a list.
func filter(q view.Query, cp OfCP, driver OfDriver, state string) view.Query {
	q.CPID, q.Username, q.State = charge.CPID(cp.CPID), charge.Username(driver.Username), state
	return q
}

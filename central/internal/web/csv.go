package web

import (
	"context"
	"encoding/csv"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"reflect"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"
	"golang.org/x/text/encoding/charmap"

	"github.com/carga-ev/carga/central/ledger"
	"github.com/carga-ev/carga/central/view"
	"github.com/carga-ev/carga/internal/charge"
)

// csvPage is how many rows of a CSV are read from the database at once.
const csvPage = 500

// The forms of a list.
const (
	formatCSV   = "csv"   // RFC 4180: UTF-8, comma, decimal point
	formatExcel = "excel" // as a spreadsheet with a decimal comma opens it: Windows-1252, semicolon
)

// Format selects the form of a list.
type Format struct {
	Format string `query:"format" enum:"json,csv,excel" doc:"csv is text/csv by RFC 4180, excel the same with semicolons, decimal commas and Windows-1252; both have all rows, whatever limit is"`
}

// csvCell is one value: a text, a number or a time.
type csvCell struct {
	text   string
	number bool
	at     charge.Time
}

func csvText[S ~string](s S) csvCell { return csvCell{text: string(s)} }
func csvNumber[N ~int | ~int64](n N) csvCell {
	return csvCell{text: strconv.FormatInt(int64(n), 10), number: true}
}
func csvDecimal(s string) csvCell   { return csvCell{text: s, number: true} }
func csvTime(t charge.Time) csvCell { return csvCell{at: t} }
func csvBool(b bool) csvCell        { return csvCell{text: strconv.FormatBool(b)} }

// csvColumn is a column of a list.
type csvColumn[T any] struct {
	name string
	cell func(*T) csvCell
}

func sessionColumns() []csvColumn[view.Session] {
	return []csvColumn[view.Session]{
		{"session_id", func(v *view.Session) csvCell { return csvText(v.ID) }},
		{"cp_id", func(v *view.Session) csvCell { return csvText(v.CPID) }},
		{"connector", func(v *view.Session) csvCell { return csvNumber(v.Connector) }},
		{"username", func(v *view.Session) csvCell { return csvText(v.Username) }},
		{"reservation_id", func(v *view.Session) csvCell { return csvText(v.ReservationID) }},
		{"state", func(v *view.Session) csvCell { return csvText(v.State) }},
		{"reason", func(v *view.Session) csvCell { return csvText(v.Reason) }},
		{"register_start_wh", func(v *view.Session) csvCell { return csvNumber(v.Start) }},
		{"register_wh", func(v *view.Session) csvCell { return csvNumber(v.Last) }},
		{"authorized_at", func(v *view.Session) csvCell { return csvTime(v.AuthorizedAt) }},
		{"started_at", func(v *view.Session) csvCell { return csvTime(v.StartedAt) }},
		{"stopped_at", func(v *view.Session) csvCell { return csvTime(v.StoppedAt) }},
		{"settled", func(v *view.Session) csvCell { return csvBool(v.Settled) }},
		{"clock", func(v *view.Session) csvCell { return csvText(v.Clock) }},
		{"limit_wh", limitCell},
		{"limit_cost", func(v *view.Session) csvCell { return csvDecimal(v.LimitCost) }},
		{"currency", func(v *view.Session) csvCell { return csvText(v.Currency) }},
	}
}

func ticketColumns() []csvColumn[view.Ticket] {
	return []csvColumn[view.Ticket]{
		{"ticket_id", func(v *view.Ticket) csvCell { return csvText(v.ID) }},
		{"session_id", func(v *view.Ticket) csvCell { return csvText(v.SessionID) }},
		{"cp_id", func(v *view.Ticket) csvCell { return csvText(v.CPID) }},
		{"connector", func(v *view.Ticket) csvCell { return csvNumber(v.Connector) }},
		{"username", func(v *view.Ticket) csvCell { return csvText(v.Username) }},
		{"energy_wh", func(v *view.Ticket) csvCell { return csvNumber(v.Energy) }},
		{"cost", func(v *view.Ticket) csvCell { return csvDecimal(v.Cost) }},
		{"currency", func(v *view.Ticket) csvCell { return csvText(v.Currency) }},
		{"duration_sec", func(v *view.Ticket) csvCell { return csvNumber(v.DurationSec) }},
		{"reason", func(v *view.Ticket) csvCell { return csvText(v.Reason) }},
		{"tariff", func(v *view.Ticket) csvCell { return csvText(v.Tariff) }},
		{"stopped_at", func(v *view.Ticket) csvCell { return csvTime(v.StoppedAt) }},
		{"settled", func(v *view.Ticket) csvCell { return csvBool(v.Settled) }},
		{"adopted", func(v *view.Ticket) csvCell { return csvBool(v.Adopted) }},
		{"corrects", func(v *view.Ticket) csvCell { return csvText(v.Corrects) }},
		{"start_amount", lineCell(ledger.LineStart)},
		{"energy_amount", lineCell(ledger.LineEnergy)},
		{"time_amount", lineCell(ledger.LineTime)},
		{"idle_amount", lineCell(ledger.LineIdle)},
		{"tax", func(v *view.Ticket) csvCell { return csvDecimal(v.Tax) }},
		{"tax_percent", func(v *view.Ticket) csvCell { return csvDecimal(v.TaxPercent) }},
		{"clock", func(v *view.Ticket) csvCell { return csvText(v.Clock) }},
	}
}

// limitCell returns the limit of a session's energy; empty without one.
func limitCell(v *view.Session) csvCell {
	if v.Limit == 0 {
		return csvDecimal("")
	}
	return csvNumber(v.Limit)
}

// lineCell returns the amount of a ticket's line, with the tax in it; empty without
// that line.
func lineCell(kind ledger.LineKind) func(*view.Ticket) csvCell {
	return func(v *view.Ticket) csvCell {
		for i := range v.Lines {
			if v.Lines[i].Kind == kind {
				return csvDecimal(v.Lines[i].Amount)
			}
		}
		return csvDecimal("")
	}
}

// csvWriter writes a list as CSV.
type csvWriter[T any] struct {
	w       *csv.Writer
	excel   bool
	columns []csvColumn[T]
	row     []string
}

func newCSVWriter[T any](to io.Writer, excel bool, columns []csvColumn[T]) *csvWriter[T] {
	out := &csvWriter[T]{excel: excel, columns: columns, row: make([]string, len(columns))}
	if excel {
		to = &windows1252{to: to}
	}
	out.w = csv.NewWriter(to)
	out.w.UseCRLF = true
	if excel {
		out.w.Comma = ';'
	}
	return out
}

func (w *csvWriter[T]) head() error {
	for i := range w.columns {
		w.row[i] = w.columns[i].name
	}
	return w.w.Write(w.row)
}

func (w *csvWriter[T]) items(items []T) error {
	for i := range items {
		for k := range w.columns {
			w.row[k] = w.cell(w.columns[k].cell(&items[i]))
		}
		if err := w.w.Write(w.row); err != nil {
			return err
		}
	}
	w.w.Flush()
	return w.w.Error()
}

// cell writes a value. A text that a spreadsheet would take for a formula begins
// with an apostrophe.
func (w *csvWriter[T]) cell(c csvCell) string {
	switch {
	case c.at != 0 && w.excel:
		return c.at.Std().Format(time.DateTime)
	case c.at != 0:
		return c.at.String()
	case c.number && w.excel:
		return strings.ReplaceAll(c.text, ".", ",")
	case !c.number && c.text != "" && strings.ContainsRune("=+-@\t\r", rune(c.text[0])):
		return "'" + c.text
	}
	return c.text
}

// windows1252 encodes what is written to it. What the encoding does not have
// becomes a question mark. A write may end inside of a character; the rest of it is
// kept for the next.
type windows1252 struct {
	to   io.Writer
	rest []byte
}

// Write implements io.Writer.
func (w *windows1252) Write(p []byte) (int, error) {
	in, out := append(w.rest, p...), make([]byte, 0, len(p))
	for len(in) > 0 && utf8.FullRune(in) {
		r, n := utf8.DecodeRune(in)
		b, ok := charmap.Windows1252.EncodeRune(r)
		if !ok {
			b = '?'
		}
		in, out = in[n:], append(out, b)
	}
	w.rest = in
	if _, err := w.to.Write(out); err != nil {
		return 0, err
	}
	return len(p), nil
}

// listed is a list, in one of its forms.
type listed struct {
	Body func(huma.Context)
}

// exported registers GET /name as list does, which may also be read as CSV.
func exported[I, T any](s *Server, api huma.API, name, summary string, query func(*I) (view.Query, Format),
	read func(context.Context, view.Query) ([]T, error), key func(*T) string, columns []csvColumn[T],
) {
	id := "list-" + name
	o := op(id, http.MethodGet, "/"+name, summary, http.StatusOK, http.StatusGone, http.StatusUnprocessableEntity)
	schema := api.OpenAPI().Components.Schemas.Schema(reflect.TypeFor[listBody[T]](), true, "List"+strings.ToUpper(name[:1])+name[1:]+"OutputBody")
	o.Responses = map[string]*huma.Response{"200": {Description: "OK", Content: map[string]*huma.MediaType{
		"application/json": {Schema: schema}, "text/csv": {Schema: &huma.Schema{Type: huma.TypeString}},
	}}}
	huma.Register(api, o, func(ctx context.Context, in *I) (*listed, error) {
		q, format := query(in)
		page, err := readList(ctx, s, id, name, q, read, key) // the first page, so that a refusal is a problem
		if err != nil {
			return nil, err
		}
		return &listed{func(hctx huma.Context) {
			kind := format.Format
			if kind == "" && strings.Contains(hctx.Header("Accept"), "text/csv") {
				kind = formatCSV
			}
			if kind != formatCSV && kind != formatExcel {
				hctx.SetHeader("Content-Type", "application/json")
				_ = json.NewEncoder(hctx.BodyWriter()).Encode(page) // the client has left
				return
			}
			charset := "utf-8"
			if kind == formatExcel {
				charset = "windows-1252"
			}
			hctx.SetHeader("Content-Type", "text/csv; charset="+charset+"; header=present")
			hctx.SetHeader("Content-Disposition", `attachment; filename="`+name+`.csv"`)
			next := func(after string) (*listBody[T], error) {
				q.Limit = csvPage
				_, q.After, _ = strings.Cut(after, ":")
				return readList(ctx, s, id, name, q, read, key)
			}
			if err := writeCSV(hctx, newCSVWriter(hctx.BodyWriter(), kind == formatExcel, columns), page, next); err != nil {
				s.log.Debug("a CSV was not completed", slog.String("operation", id), slog.Any("err", err))
				panic(http.ErrAbortHandler) // the client sees that it is not complete
			}
		}}, nil
	})
}

// writeCSV writes all pages of a list.
func writeCSV[T any](hctx huma.Context, out *csvWriter[T], page *listBody[T], next func(string) (*listBody[T], error)) error {
	_, w := humago.Unwrap(hctx)
	rc := http.NewResponseController(w)
	if err := out.head(); err != nil {
		return err
	}
	for {
		if err := rc.SetWriteDeadline(time.Now().Add(writeTimeout)); err != nil && !errors.Is(err, http.ErrNotSupported) {
			return err
		}
		if err := out.items(page.Items); err != nil {
			return err
		}
		if page.Next == "" {
			return nil
		}
		var err error
		if page, err = next(page.Next); err != nil {
			return err
		}
	}
}

package web

import (
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/carga-ev/carga/central/ledger"
	"github.com/carga-ev/carga/central/view"
	"github.com/carga-ev/carga/internal/charge"
	"github.com/carga-ev/carga/internal/reason"
)

// Audience is the reader of a stream. Staff see everything. A driver sees the
// state of every connector without what it reveals about other people, the numbers
// of their own session, and their own facts. A screen sees its own charging point
// alone, without its driver. The zero Audience is a driver without a name, that is,
// without a session.
type Audience struct {
	Staff    bool
	Username charge.Username
	CPID     charge.CPID // of a screen
}

// owns reports whether something belongs to the driver.
func (a Audience) owns(username charge.Username) bool {
	return a.Username != "" && a.Username == username
}

// frame is one event, encoded.
type frame struct {
	raw    []byte
	packed []byte // compressed; nil: not yet
}

// row is one connector of the page's table, with the numbers of the frames in
// which its parts changed last.
type row struct {
	cp     *view.CP
	conn   *view.Connector
	state  []byte // encoded for staff, without the numbers that change each second
	public []byte // encoded for other drivers

	stateAt, publicAt, driverAt uint64 // driverAt: the driver changed
	cells                       [columnCount]cell
}

// cell is one number of a row.
type cell struct {
	value int64
	text  string // of the cost
	at    uint64
}

// The columns in which the numbers of rows are sent.
const (
	columnPower = iota
	columnEnergy
	columnCost
	columnRegister // sent when it changed otherwise than by the session's energy
	columnTime
	columnUnacked
	columnCount
)

// columnNames are the names of the columns in a frame.
func columnNames() [columnCount]string { return [columnCount]string{"w", "e", "c", "r", "t", "u"} }

// The time of a row's values alone is news only after this long: sent each second
// for each row, it would be a third of the frames.
const (
	timeStepBusy = time.Second / 2 // with a session
	timeStepIdle = 5 * time.Second // without one
)

// makeRows returns a row for each connector, in the order of the snapshot.
func makeRows(net *view.Network) []row {
	rows := make([]row, 0, len(net.CPs))
	for i := range net.CPs {
		cp := &net.CPs[i]
		for j := range cp.Connectors {
			rows = append(rows, newRow(cp, &cp.Connectors[j]))
		}
	}
	return rows
}

// stateRow is a connector and its charging point in one flat object.
type stateRow struct {
	Index     int             `json:"i"`
	CPID      charge.CPID     `json:"cp_id"`
	Name      string          `json:"name,omitempty"`
	Place     string          `json:"place,omitempty"`
	Site      string          `json:"site,omitempty"`
	Admitted  bool            `json:"admitted"`
	Simulated bool            `json:"simulated"`
	Link      ledger.Liveness `json:"link"`
	LinkSince charge.Time     `json:"link_since,omitzero"`
	Alarm     string          `json:"alarm,omitempty"`
	AlarmWhy  reason.Reason   `json:"alarm_why,omitzero"`
	Reader    string          `json:"reader_trouble,omitempty"`
	ReaderAt  charge.Time     `json:"reader_since,omitzero"`
	Agent     string          `json:"agent,omitempty"`
	view.Connector

	// These hide the fields of Connector: they are sent in columns.
	Power    int `json:"power_w,omitzero"`
	Register int `json:"register_wh,omitzero"`
	Energy   int `json:"energy_wh,omitzero"`
	Cost     int `json:"cost,omitzero"`
	ValuesAt int `json:"values_at,omitzero"`
}

func newRow(cp *view.CP, k *view.Connector) row {
	r := row{cp: cp, conn: k}
	for n, v := range [columnCount]int64{
		columnPower: int64(k.Power), columnEnergy: int64(k.Energy), columnRegister: int64(k.Register), columnTime: int64(k.ValuesAt), columnUnacked: cp.Unacked,
	} {
		r.cells[n].value = v
	}
	r.cells[columnCost].text = k.Cost
	return r
}

// stateRow returns the state of the row i.
func (r *row) stateRow(i int) *stateRow {
	cp := r.cp
	return &stateRow{
		Index: i, CPID: cp.ID, Name: cp.Name, Place: cp.Place, Site: cp.Site, Admitted: cp.Admitted, Simulated: cp.Simulated,
		Link: cp.Link, LinkSince: cp.LinkSince, Alarm: cp.Alarm, AlarmWhy: cp.AlarmWhy, Reader: cp.ReaderTrouble, ReaderAt: cp.ReaderSince,
		Agent: cp.Agent, Connector: *r.conn,
	}
}

// forStaffAlone removes what is for staff alone.
func (s *stateRow) forStaffAlone() {
	s.Alarm, s.AlarmWhy, s.Reader, s.ReaderAt, s.Agent = "", reason.Reason{}, "", 0, ""
}

// forDriver is what a driver sees of a connector with their own session or
// reservation. With a session, a reservation would be another driver's.
func (s *stateRow) forDriver() *stateRow {
	own := *s
	own.forStaffAlone()
	if own.SessionID != "" {
		own.ReservationID, own.ReservedUntil = "", 0
	}
	return &own
}

// forOthers is what a driver sees of any other connector.
func (s *stateRow) forOthers() *stateRow {
	other := *s
	other.forStaffAlone()
	other.SessionID, other.SessionSince, other.Username, other.ReservationID, other.WaitsFor, other.WaitsSince, other.Currency = "", 0, "", "", "", 0, ""
	other.Limit, other.LimitCost = 0, ""
	return &other
}

// forScreen is what the screen at a charging point sees: all may read it.
func (s *stateRow) forScreen() *stateRow {
	own := *s
	own.forStaffAlone()
	own.Connector = anonymous(own.Connector)
	return &own
}

// forScreen is the same of a charging point.
func forScreen(cp *view.CP) *view.CP {
	own := *cp
	own.Alarm, own.AlarmWhy, own.ReaderTrouble, own.ReaderSince, own.Agent = "", reason.Reason{}, "", 0, ""
	own.Connectors = make([]view.Connector, 0, len(cp.Connectors))
	for i := range cp.Connectors {
		own.Connectors = append(own.Connectors, anonymous(cp.Connectors[i]))
	}
	return &own
}

// anonymous returns a connector without its driver.
func anonymous(k view.Connector) view.Connector {
	k.Username, k.ReservationID = "", ""
	return k
}

// note gives the row i the number of the frame where it differs from the row
// before, and the older numbers elsewhere; nil is none before. It reports whether
// it differs at all. Without numbers, those of a row in the same state are as
// before: a page must not show the energy of one session in another.
func (r *row) note(i int, before *row, seq uint64, withNumbers bool) (changed bool) {
	at := func(older uint64, differs bool) uint64 {
		if differs {
			changed = true
			return seq
		}
		return older
	}
	if before != nil && r.cp.SameState(before.cp) && r.conn.SameState(before.conn) {
		r.state, r.stateAt, r.public, r.publicAt, r.driverAt = before.state, before.stateAt, before.public, before.publicAt, before.driverAt
	} else {
		s := r.stateRow(i)
		r.state, r.public = mustJSON(s), mustJSON(s.forOthers())
		r.stateAt, r.publicAt, r.driverAt, changed = seq, seq, seq, true
	}
	if before == nil {
		for n := range r.cells {
			r.cells[n].at = seq
		}
		return true
	}
	if !withNumbers && r.stateAt != seq {
		r.cells = before.cells
		return false
	}
	if r.publicAt == seq {
		r.publicAt = at(before.publicAt, string(before.public) != string(r.public))
		r.driverAt = at(before.driverAt, before.conn.Username != r.conn.Username)
	}
	numbers := false
	for n := range r.cells {
		now, was := &r.cells[n], &before.cells[n]
		differs := now.value != was.value || now.text != was.text
		switch n {
		case columnRegister:
			differs = now.value-r.cells[columnEnergy].value != was.value-before.cells[columnEnergy].value
		case columnTime:
			step := timeStepIdle
			if r.conn.SessionID != "" {
				step = timeStepBusy
			}
			if differs = differs && (numbers || r.conn.ValuesAt.Sub(charge.Time(was.value)) >= step); !differs {
				now.value = was.value // of the time that was sent
			}
		}
		now.at = at(was.at, differs)
		numbers = numbers || differs
	}
	return changed
}

// mustJSON encodes a value of a type of this package.
func mustJSON(v any) []byte {
	b, err := json.Marshal(v)
	if err != nil { // cannot happen with these types; if it does, the page shows it
		return fmt.Appendf(nil, `{"error":%q}`, err.Error())
	}
	return b
}

// frame encodes the event for all that changed after a frame, or a snapshot if that
// is 0. It returns nil if nothing changed that the reader may see.
func (h *hub) frame(after uint64, to Audience) *frame {
	name := "delta"
	b := append([]byte(`{"at":`), mustJSON(h.net.At)...)
	empty := len(b)
	if after == 0 {
		name = "snapshot"
		if to.Staff {
			b = field(b, "central", mustJSON(h.net.Central))
			b = field(b, "demo", strconv.AppendBool(nil, h.net.Demo))
		}
	}
	if to.Staff && (h.partsAt > after || after == 0) {
		b = field(b, "parts", mustJSON(h.net.Parts))
		b = field(b, "bridges", mustJSON(h.net.Bridges))
	}
	if to.Staff && (h.booksAt > after || after == 0) {
		b = field(b, "books", mustJSON(h.net.Books))
	}
	rows, numbers := []byte{'['}, make([]int, 0, len(h.rows))
	for i := range h.rows {
		r := &h.rows[i]
		if to.CPID != "" && to.CPID != r.cp.ID {
			continue
		}
		if state := r.stateFor(i, after, to); state != nil {
			rows = item(rows, state)
		}
		if r.numbersFor(after, to) {
			numbers = append(numbers, i)
		}
	}
	if len(rows) > 1 || after == 0 {
		b = field(b, "rows", append(rows, ']'))
	}
	if len(numbers) > 0 || after == 0 {
		b = field(b, "values", h.columns(numbers, after, to))
	}
	if facts := h.factsFor(after, to); len(facts) > 0 || after == 0 {
		b = field(b, "facts", mustJSON(facts))
	}
	if len(b) == empty {
		return nil
	}
	return h.event(h.seq, name, append(b, '}'))
}

// field appends a field to an object that is not empty.
func field(b []byte, name string, value []byte) []byte {
	b = append(b, `,"`...)
	b = append(b, name...)
	b = append(b, `":`...)
	return append(b, value...)
}

// item appends a value to a list.
func item(b, value []byte) []byte {
	if b[len(b)-1] != '[' {
		b = append(b, ',')
	}
	return append(b, value...)
}

// stateFor returns the state of the row i if it changed after a frame; nil if not.
func (r *row) stateFor(i int, after uint64, to Audience) []byte {
	switch {
	case to.Staff && r.stateAt > after:
		return r.state
	case to.Staff:
		return nil
	case to.CPID != "" && r.stateAt > after:
		return mustJSON(r.stateRow(i).forScreen())
	case to.CPID != "":
		return nil
	case to.owns(r.conn.Username) && r.stateAt > after:
		return mustJSON(r.stateRow(i).forDriver())
	case !to.owns(r.conn.Username) && (r.publicAt > after || r.driverAt > after): // it may have been theirs
		return r.public
	}
	return nil
}

// numbersFor reports whether a number of the row changed after a frame.
func (r *row) numbersFor(after uint64, to Audience) bool {
	if !to.Staff && to.CPID == "" && !to.owns(r.conn.Username) {
		return false
	}
	for n := range r.cells {
		if r.cellFor(n, after, to) {
			return true
		}
	}
	return false
}

// cellFor reports whether one number changed after a frame. To a driver whose row
// it has become all of them are new. A screen gets those of its charging point.
func (r *row) cellFor(n int, after uint64, to Audience) bool {
	if to.Staff || to.CPID != "" && n != columnUnacked {
		return r.cells[n].at > after
	}
	return n != columnUnacked && (r.cells[n].at > after || r.driverAt > after)
}

// columns encodes the numbers of some rows as one array for each column, which is
// shorter than an object for each row. A number that has not changed is null, and a
// column without a change is left out.
func (h *hub) columns(rows []int, after uint64, to Audience) []byte {
	b := []byte(`{"i":[`)
	for _, i := range rows {
		b = item(b, strconv.AppendInt(nil, int64(i), 10))
	}
	b = append(b, ']')
	for n, name := range columnNames() {
		column, some := []byte{'['}, after == 0 && (to.Staff || n != columnUnacked)
		for _, i := range rows {
			r := &h.rows[i]
			if !r.cellFor(n, after, to) {
				column = item(column, []byte("null"))
				continue
			}
			column, some = h.appendCell(column, n, &r.cells[n]), true
		}
		if some {
			b = field(b, name, append(column, ']'))
		}
	}
	return append(b, '}')
}

// timeUnit is the precision of the times of values.
const timeUnit = 100

// appendCell appends a number to a column. A time is how long before the frame it
// was, in milliseconds, which is shorter than the time itself.
func (h *hub) appendCell(b []byte, n int, c *cell) []byte {
	if b[len(b)-1] != '[' {
		b = append(b, ',')
	}
	switch {
	case n == columnCost:
		return strconv.AppendQuote(b, c.text)
	case n == columnTime && c.value == 0:
		return append(b, "null"...) // no values yet
	case n == columnTime:
		return strconv.AppendInt(b, max(0, int64(h.net.At)-c.value)/timeUnit*timeUnit, 10)
	}
	return strconv.AppendInt(b, c.value, 10)
}

// factsFor returns the facts after a frame; for a snapshot, the last few.
func (h *hub) factsFor(after uint64, to Audience) []view.Fact {
	all := []view.Fact{}
	for _, f := range slices.Backward(h.facts) {
		if f.at <= after || after == 0 && len(all) == factsAtStart {
			break
		}
		if to.Staff || to.owns(f.Username) {
			all = append(all, f.Fact)
		}
	}
	slices.Reverse(all)
	return all
}

// event encodes a server-sent event. JSON has no line breaks, so one data line is
// enough.
func (h *hub) event(seq uint64, name string, data []byte) *frame {
	return &frame{raw: fmt.Appendf(nil, "id: %s.%d\nevent: %s\ndata: %s\n\n", h.boot, seq, name, data)}
}

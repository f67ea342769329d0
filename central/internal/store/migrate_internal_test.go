package store

import (
	"database/sql"
	"errors"
	"path/filepath"
	"testing"

	"github.com/carga-ev/carga/central/orders"
	"github.com/carga-ev/carga/internal/charge"
)

// openOlder makes a database as a program of an older version left it.
func openOlder(t *testing.T, version int64, statements ...string) (path string) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "c.db")
	db, err := sql.Open("sqlite3", dsn(Options{Path: path}, false))
	if err != nil {
		t.Fatal(err)
	}
	p, err := provider(db)
	if err != nil {
		t.Fatal(err)
	}
	_, err = p.UpTo(t.Context(), version)
	for _, q := range statements {
		if err == nil {
			_, err = db.ExecContext(t.Context(), q)
		}
	}
	if err := errors.Join(err, db.Close()); err != nil {
		t.Fatal(err)
	}
	return path
}

// Requests that a version before 8 wrote, when a message_id was one driver's
// alone, stay answered; and another driver may use the id of one of them.
func TestRequestsOfAnOlderVersion(t *testing.T) {
	path := openOlder(t, 7, `INSERT INTO requests VALUES
		('1','AUTHORIZATION_REQUEST','ana','web','CP_1',5,6,'[{"CPID":"CP_1","Connector":1}]',5,'r-1','{"event_id":"a.1","event_type":"AUTHORIZATION_RESPONSE","username":"ana","timestamp":5}',0),
		('2','STOP_REQUEST','ana','web','',5,6,'[]',0,'','',1), ('3','AUTHORIZATION_REQUEST','','web','',5,6,'[]',0,'','',0)`)
	s, err := Open(t.Context(), Options{Path: path})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}()
	get := func(user charge.Username, id string) orders.Request {
		q, _, err := s.Request(t.Context(), orders.RequestKey{Username: user, MessageID: id})
		if err != nil {
			t.Fatal(err)
		}
		return q
	}
	if q := get("ana", "1"); q.Answer == nil || q.Answer.EventID != "a.1" || len(q.Tried) != 1 || q.ReservationID != "r-1" {
		t.Errorf("answered: got %+v", q)
	}
	if q := get("ana", "2"); !q.Ignored {
		t.Errorf("recorded: got %+v", q)
	}
	if q := get("", "3"); q.ReadAt != 5 || q.Finished() {
		t.Errorf("running: got %+v", q)
	}
	err = s.Write(t.Context(), func(tx *Tx) error {
		return tx.Orders([]orders.Effect{orders.SaveRequest{Request: orders.Request{MessageID: "1", Username: "ben", Ignored: true}}})
	})
	if err != nil || get("ben", "1").Answer != nil || get("ana", "1").Answer == nil {
		t.Errorf("the same id of another driver: %v; %+v and %+v", err, get("ben", "1"), get("ana", "1"))
	}
}

// A database from before settlements of silent charging points: its tickets are
// the same, and those of sessions that an operator ended are marked.
func TestTicketsBeforeSettlementsAreKept(t *testing.T) {
	t.Parallel()
	path := openOlder(t, 3,
		`INSERT INTO cps VALUES ('CP',1,'','','',0,1,'','','',0,0,0,'',0,'',0,'',0,'','[]',0,'')`,
		`INSERT INTO sessions VALUES ('s1','CP',1,'ended','ana','','','order',0,1,500,1,1,1,9,7,'remote',0,'[]'),
		  ('s2','CP',1,'ended','ben','','','order',500,1,700,1,1,1,0,8,'power_loss',1,'[]')`,
		`INSERT INTO tickets VALUES ('t.s1','s1','CP',1,'ana','','std',0,500,500,22,'EUR',60,1,1,9,'remote'),
		  ('t.s2','s2','CP',1,'ben','','std',500,700,200,9,'EUR',60,1,1,0,'power_loss')`,
	)
	s, err := Open(t.Context(), Options{Path: path})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}()
	for id, want := range map[string]struct {
		energy  charge.WattHours
		settled charge.Time
	}{"t.s1": {500, 0}, "t.s2": {200, 8}} {
		got, ok, err := s.Ticket(t.Context(), id)
		if err != nil || !ok || got.Energy != want.energy || got.SettledAt != want.settled || got.Corrects != "" {
			t.Errorf("ticket %s: got %+v %v %v, want %d Wh, settled at %d", id, got, ok, err, want.energy, want.settled)
		}
	}
	lines, err1 := s.ForeignKeys(t.Context())
	found, err2 := s.Integrity(t.Context())
	if err := errors.Join(err1, err2); err != nil || len(lines)+len(found) > 0 {
		t.Errorf("the file is damaged: %v %v %v", lines, found, err)
	}
	if err := s.Write(t.Context(), func(tx *Tx) error { return tx.exec("UPDATE tickets SET energy_wh=1") }); err == nil {
		t.Error("a ticket can be changed")
	}
}

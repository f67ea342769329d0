package store

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/carga-ev/carga/central/ledger"
	"github.com/carga-ev/carga/central/orders"
	"github.com/carga-ev/carga/central/view"
	"github.com/carga-ev/carga/internal/charge"
	"github.com/carga-ev/carga/internal/reason"
)

// olderDatabase makes a database as a program of an older version left it.
func olderDatabase(t *testing.T, version int64, rows ...string) (path string) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "c.db")
	if err := Older(t.Context(), path, version, rows...); err != nil {
		t.Fatal(err)
	}
	return path
}

// rowsOf reads statements from a file of testdata: they have names of tables and
// columns that only older versions used.
func rowsOf(t *testing.T, name string) string {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return string(raw)
}

// TestRequestsOfAnOlderVersion opens a database of before version 8, in which a
// message_id belonged to one driver. Its answered requests stay answered, and
// another driver may use one of their ids.
func TestRequestsOfAnOlderVersion(t *testing.T) {
	path := olderDatabase(t, 7, `INSERT INTO requests VALUES
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

// TestTicketsBeforeSettlementsAreKept opens a database of before corrections: its
// tickets are the same, and those of settled sessions are marked as settled.
func TestTicketsBeforeSettlementsAreKept(t *testing.T) {
	t.Parallel()
	path := olderDatabase(t, 3,
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

// TestRowsUnderTheNamesOfVersion12 reads, from tables and columns that version 13
// renamed, what an earlier program wrote there, and migrates it back.
func TestRowsUnderTheNamesOfVersion12(t *testing.T) {
	t.Parallel()
	path := olderDatabase(t, 12, rowsOf(t, "version12.sql"))
	check := func() {
		t.Helper()
		s, err := Open(t.Context(), Options{Path: path})
		if err != nil {
			t.Fatal(err)
		}
		defer func() {
			if err := s.Close(); err != nil {
				t.Error(err)
			}
		}()
		cps, err := s.CPs(t.Context())
		if err != nil || len(cps) != 1 {
			t.Fatalf("charging points: %v %v", cps, err)
		}
		cp := cps["CP"]
		if cp.FirstSeenAt != 11 || cp.Sessions["s1"] == nil || cp.Sessions["s1"].FirstSeenAt != 12 {
			t.Errorf("first seen at %d, its session: %+v", cp.FirstSeenAt, cp.Sessions["s1"])
		}
		if g := cp.Gaps["CP.j.3"]; len(cp.Gaps) != 1 || g == nil || g.DetectedAt != 13 || len(g.Missing) != 1 || len(g.Unmeasured) != 1 || g.Unmeasured[0].Before != 2 {
			t.Errorf("open gaps: %+v", cp.Gaps)
		}
		if gaps, err := s.GapsOf(t.Context(), "CP"); err != nil || len(gaps) != 2 {
			t.Errorf("gaps: %+v %v", gaps, err)
		}
		if a, ok, err := s.OpenAlarm(t.Context(), string(ledger.AlarmGap)+".CP.j.3"); err != nil || !ok || a.Kind != ledger.AlarmGap {
			t.Errorf("alarm of the gap: %+v %t %v", a, ok, err)
		}
		held, _, err1 := s.Reservation(t.Context(), "r1")
		released, _, err2 := s.Reservation(t.Context(), "r2")
		if err := errors.Join(err1, err2); err != nil || !held.Announced || held.Released || released.Announced || !released.Released {
			t.Errorf("reservations: %+v %+v %v", held, released, err)
		}
		if d, err := s.AvailabilityWanted(t.Context()); err != nil || len(d) != 1 || d[0].RequestedAt != 15 {
			t.Errorf("desired states: %+v %v", d, err)
		}
		q, _, err1 := s.Request(t.Context(), orders.RequestKey{Username: "ana", MessageID: "m"})
		n, _, err2 := s.Request(t.Context(), orders.RequestKey{Username: "ana", MessageID: "n"})
		if err := errors.Join(err1, err2); err != nil || len(q.Tried) != 1 || q.TriedAt != 19 || q.Ignored || !n.Ignored {
			t.Errorf("requests: %+v %+v %v", q, n, err)
		}
		lines, err1 := s.ForeignKeys(t.Context())
		found, err2 := s.Integrity(t.Context())
		if err := errors.Join(err1, err2); err != nil || len(lines)+len(found) > 0 {
			t.Errorf("the file is damaged: %v %v %v", lines, found, err)
		}
	}
	check()
	if err := DownTo(t.Context(), path, 12); err != nil {
		t.Fatal(err)
	}
	check()
}

// TestTheNewestBootOfVersion13 migrates a running session: the accounts continue with
// the boot that was present, its registers and its session.
func TestTheNewestBootOfVersion13(t *testing.T) {
	t.Parallel()
	path := olderDatabase(t, 13,
		`INSERT INTO cps (cp_id,admitted,name,place,agent,simulated,first_seen_at,present,waiting_journal,named,conn,online,presence_at,
			first_journal,first_seq,next_journal,next_seq,last_journal,last_seq,position,faults,forked_at,fork)
			VALUES ('CP',1,'','','',0,11,'j2','j1','j2',0,0,0,'',0,'',0,'',0,'','[]',0,'')`,
		`INSERT INTO connectors VALUES ('CP','j1',1,9,0,1,'available','[]','','',0,'','',0,'',77,0),
			('CP','j2',1,11000,1,1,'charging','[]','s1','charging',0,'','',0,'',5000,0)`,
		`INSERT INTO meters (cp_id,connector,known,first_wh,last_wh,carried_wh,billed_wh,running_wh) VALUES ('CP',1,1,1000,5000,0,0,4000)`)
	s, err := Open(t.Context(), Options{Path: path})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}()
	cps, err := s.CPs(t.Context())
	if err != nil || cps["CP"] == nil || cps["CP"].NewestJournal != "j2" {
		t.Fatalf("charging points: %+v %v", cps["CP"], err)
	}
	if m := cps["CP"].Meters[1]; m.Rated != 11_000 || m.Register != 5000 || m.Boot != "j2" || m.Session != "s1" || m.Running != 4000 {
		t.Errorf("its meter: %+v", *m)
	}
}

// TestReasonsOfVersion30 opens a database of before codes of dead letters and forks: what
// it has stays, in its words.
func TestReasonsOfVersion30(t *testing.T) {
	t.Parallel()
	const point = `INSERT INTO cps (cp_id,admitted,name,place,agent,simulated,first_seen_at,present,waiting_journal,named,conn,online,presence_at,
			first_journal,first_seq,next_journal,next_seq,last_journal,last_seq,position,faults,forked_at,fork)
			VALUES ('%s',1,'','','',0,11,'j','','j',0,0,0,'',0,'',0,'',0,'','[]',%d,'%s')`
	s, err := Open(t.Context(), Options{Path: olderDatabase(t, 30, fmt.Sprintf(point, "A", 5, `both "grow"`), fmt.Sprintf(point, "B", 0, ""),
		`INSERT INTO dead_letters (topic,partition,offset,crc,key,reason,at) VALUES ('cp-events',0,7,1,'A','record: is not a JSON object',9)`)})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}()
	cps, err := s.CPs(t.Context())
	if err != nil || cps["A"].Fork != reason.Words(`both "grow"`) || !cps["B"].Fork.IsZero() {
		t.Errorf("charging points: got %+v %v", cps, err)
	}
	if d, _, ok, err := s.DeadLetter(t.Context(), 1); err != nil || !ok || d.Why != reason.Words("record: is not a JSON object") {
		t.Errorf("dead letter: got %+v %v %v", d, ok, err)
	}
}

// TestTimesOfVersion28 opens a database of before periods selected by corrected times:
// the first transactions compute the times of its sessions.
func TestTimesOfVersion28(t *testing.T) {
	t.Parallel()
	rows := []string{`INSERT INTO cps (cp_id,admitted,name,place,agent,simulated,first_seen_at,present,waiting_journal,named,conn,online,presence_at,
			first_journal,first_seq,next_journal,next_seq,last_journal,last_seq,position,faults,forked_at,fork)
			VALUES ('CP',1,'','','',0,11,'j','','j',0,0,0,'',0,'',0,'',0,'','[]',0,'');
		INSERT INTO journals (cp_id,journal,registered,followed,last,hash,after_journal,after_seq,root,reported,conn,opened_at,wrote_at,clock,grown_at,boot_at,boot_clock,boot_seq)
			VALUES ('CP','j',1,0,9,'','',0,1,'[]',0,1,1,'unset',1,5000000,'synced',9)`}
	for i := range 2*knownAtOnce + 1 {
		rows = append(rows, fmt.Sprintf(`INSERT INTO sessions (session_id,cp_id,connector,state,username,reservation_id,tariff,by,start_wh,start_known,register_wh,started,
			authorized_at,started_at,ended_at,first_seen_at,reason,settled,spans) VALUES ('s%d','CP',1,'ended','','','','order',0,1,0,1,10,0,20,7,'local',0,
			'[{"Journal":"j","FirstMS":10,"LastMS":20,"GrantMS":10,"StopMS":20,"Clock":"unset"},{"Journal":"k","FirstMS":0,"LastMS":1}]')`, i))
	}
	s, err := Open(t.Context(), Options{Path: olderDatabase(t, 24, rows...)})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}()
	for _, want := range []int{0, knownAtOnce, 2 * knownAtOnce, 2*knownAtOnce + 1} {
		found, err := s.Sessions(t.Context(), view.Query{From: 5_000_000, To: 5_000_011, Limit: 1000})
		if err != nil || len(found) != want {
			t.Errorf("%d sessions in the period %v, want %d", len(found), err, want)
		}
		if err := s.Write(t.Context(), func(tx *Tx) error { return tx.Ledger(nil) }); err != nil {
			t.Fatal(err)
		}
	}
	if found, err := s.Sessions(t.Context(), view.Query{To: 1000}); err != nil || len(found) != 0 {
		t.Errorf("%d sessions in 1970 %v, want none", len(found), err)
	}
}

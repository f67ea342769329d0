package store

import (
	"database/sql"
	"errors"
	"path/filepath"
	"testing"

	"github.com/carga-ev/carga/central/ledger"
	"github.com/carga-ev/carga/internal/money"
)

// Tariffs and tickets of a database from before prices could be finer than a
// minor unit mean what they meant: the ticket that is made of its session again
// is the same.
func TestOldPricesMeanTheSame(t *testing.T) {
	path := filepath.Join(t.TempDir(), "c.db")
	db, err := sql.Open("sqlite3", "file:"+path)
	if err != nil {
		t.Fatal(err)
	}
	p, err := provider(db)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := p.UpTo(t.Context(), 3); err != nil {
		t.Fatal(err)
	}
	_, err = db.ExecContext(t.Context(), `
INSERT INTO cps (cp_id,admitted,name,place,agent,simulated,first_heard,present,waiting_journal,named,conn,online,presence_at,first_journal,
  first_seq,next_journal,next_seq,last_journal,last_seq,position,faults,forked_at,fork)
  VALUES ('CP_1',1,'','','',0,1,'','','',0,0,0,'',0,'',0,'',0,'','[]',0,'');
INSERT INTO tariffs (version,start_fee_cents,per_kwh_cents,currency,made_at) VALUES ('hrk-1',750,350,'HRK',1), ('absurd',0,9223372036854775807,'EUR',2);
INSERT INTO sessions (session_id,cp_id,connector,state,username,reservation_id,tariff,by,start_wh,start_known,register_wh,started,authorized_at,
  started_at,ended_at,heard_at,reason,settled,spans) VALUES ('s1','CP_1',1,'ended','ana','','hrk-1','order',1000,1,2234,1,5,6,7,8,'local',0,'[]');
INSERT INTO tickets (ticket_id,session_id,cp_id,connector,username,reservation_id,tariff,start_wh,stop_wh,energy_wh,cost_cents,currency,
  duration_sec,started,authorized_at,ended_at,reason) VALUES ('t.s1','s1','CP_1',1,'ana','','hrk-1',1000,2234,1234,1182,'HRK',0,1,5,7,'local')`)
	if err := errors.Join(err, db.Close()); err != nil {
		t.Fatal(err)
	}
	s, err := Open(t.Context(), Options{Path: path})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}()
	tariffs, err1 := s.Tariffs(t.Context())
	sessions, err2 := s.Sessions(t.Context(), Query{})
	tickets, err3 := s.Tickets(t.Context(), Query{})
	if err := errors.Join(err1, err2, err3); err != nil || len(tariffs) != 2 || len(sessions) != 1 || len(tickets) != 1 {
		t.Fatalf("%d tariffs, %d sessions, %d tickets: %v", len(tariffs), len(sessions), len(tickets), err)
	}
	want := ledger.Tariff{Version: "hrk-1", StartFee: 750 * money.MinorUnit, PerKWh: 350 * money.MinorUnit, Currency: "HRK"}
	if tariffs[0] != want {
		t.Errorf("tariff: got %+v, want %+v", tariffs[0], want)
	}
	if tariffs[1].PerKWh <= 0 {
		t.Errorf("an absurd price became %d", tariffs[1].PerKWh)
	}
	if again := ledger.MakeTicket(&sessions[0], tariffs[0]); again != tickets[0] || again.Cost.String() != "11.82 HRK" {
		t.Errorf("the ticket is %+v (%s), and made again %+v", tickets[0], tickets[0].Cost, again)
	}
}

package store

import "strings"

// bulkRows is how many rows one statement writes when there are enough: a call
// into SQLite costs as much as writing several rows.
const bulkRows = 16

// table holds the statements that write rows of one table.
type table struct {
	one   string // writes one row
	many  string // writes bulkRows rows
	width int    // columns, which is arguments of each row
}

// upsertTable makes a table whose rows replace those of the same key. key and
// cols are lists of columns separated by commas, without spaces.
func upsertTable(name, key, cols string) table {
	var set []string
	keys := "," + key + ","
	for c := range strings.SplitSeq(cols, ",") {
		if !strings.Contains(keys, ","+c+",") {
			set = append(set, c+"=excluded."+c)
		}
	}
	return newTable(name, cols, " ON CONFLICT ("+key+") DO UPDATE SET "+strings.Join(set, ","))
}

// insertTable makes a table whose rows must be new.
func insertTable(name, cols string) table { return newTable(name, cols, "") }

func newTable(name, cols, conflict string) table {
	width := strings.Count(cols, ",") + 1
	tuple := "(?" + strings.Repeat(",?", width-1) + ")"
	head := "INSERT INTO " + name + " (" + cols + ") VALUES "
	return table{
		one:   head + tuple + conflict,
		many:  head + tuple + strings.Repeat(","+tuple, bulkRows-1) + conflict,
		width: width,
	}
}

// rows writes rows whose values follow each other in args: the columns of the
// first row, then those of the second. Their number must be a multiple of
// t.width.
func (tx *Tx) rows(t table, args []any) error {
	for len(args) >= bulkRows*t.width {
		if err := tx.exec(t.many, args[:bulkRows*t.width]...); err != nil {
			return err
		}
		args = args[bulkRows*t.width:]
	}
	for len(args) > 0 {
		if err := tx.exec(t.one, args[:t.width]...); err != nil {
			return err
		}
		args = args[t.width:]
	}
	return nil
}

// tables are the statements of the writer, by table.
type tables struct {
	points, journals, connectors, meters, sessions, published, tickets, gaps, alarms table
	reservations, desired, commands, requests, replies                               table
	cards, lists, groups, members                                                    table
	records, outbox, offsets, counters, settings, accounts, entries                  table
	unsure                                                                           table
}

// The columns of each table, in the order in which rows are written (by Ledger and
// Orders) and scanned (by scanPoint and the others).
const (
	pointCols = "cp_id,admitted,name,place,agent,simulated,first_seen_at,present,waiting_journal,named,conn,online," +
		"presence_at,first_journal,first_seq,next_journal,next_seq,last_journal,last_seq,position,epoch_lead,faults,forked_at,fork,held_up_since,mismatch_at,silent_at," +
		"newest_journal"
	journalCols = "cp_id,journal,registered,followed,last,hash,after_journal,after_seq,root,reported,conn,opened_at,wrote_at,clock,grown_at," +
		"boot_at,boot_clock,boot_seq"
	connCols = "cp_id,journal,connector,rated_w,most_ma,safe_ma,plugged,available,reported,faults,session_id,phase,finishing," +
		"held_id,held_by,held_until,held_tariff,register_wh,idle_since"
	meterCols = "cp_id,connector,known,first_wh,last_wh,carried_wh,billed_wh,running_wh," +
		"first_at,last_at,last_journal,last_uptime_ms,before_known,before_counted_wh,before_last_wh,before_at," +
		"before_journal,before_uptime_ms,rated_w,register_wh,boot,session_id"
	sessionCols = "session_id,cp_id,connector,state,username,reservation_id,tariff,by,start_wh,start_known,register_wh," +
		"started,authorized_at,started_at,ended_at,first_seen_at,reason,settled,spans,limit_wh,limit_amount,card"
	ticketCols = "ticket_id,session_id,cp_id,connector,username,reservation_id,tariff,start_wh,stop_wh,energy_wh," +
		"cost_minor,currency,duration_sec,idle_sec,started,authorized_at,ended_at,reason,settled_at,corrects,settled_journal,settled_seq,adopted"
	// The last two columns of a gap follow from the others; they are for queries.
	gapReadCols     = "gap_id,cp_id,journal,first,last,cause,detail,detected_at,missing,energy_wh,unmeasured,why"
	gapCols         = gapReadCols + ",open,lost"
	alarmCols       = "alarm_id,kind,cp_id,connector,at,detail,cleared,why"
	reservationCols = "reservation_id,cp_id,connector,username,tariff,made_at,until,confirmed_at,ended_at,reason," +
		"session_id,adopted,released,announced,message_id"
	desiredCols = "kind,cp_id,connector,session_id,username,reservation_id,tariff,available,requested_at,until,ended_at,outcome,limit_wh,limit_amount"
	// Three more columns of a command are kept by the database itself, see
	// commandTable.
	commandCols = "command_id,n,central,journal,cp_id,connector,type,data,reservation_id,session_id,issued_at," +
		"expires_at,state,reason,changed_at,sendings,next_at,message_id"
	requestCols = "message_id,event_type,username,client_id,cp_id,read_at,answer_by,tried,tried_at,reservation_id," +
		"answer,ignored"
	recordCols = "cp_id,journal,seq,hash,received_at,raw,n"
	forkedCols = "cp_id,journal,seq,hash,received_at,raw"
)

func newTables() tables {
	return tables{
		points:       upsertTable("cps", "cp_id", pointCols),
		journals:     journalTable(),
		connectors:   upsertTable("connectors", "cp_id,journal,connector", connCols),
		meters:       upsertTable("meters", "cp_id,connector", meterCols),
		sessions:     upsertTable("sessions", "session_id", sessionCols),
		published:    upsertTable("published_tickets", "ticket_id", ticketCols),
		tickets:      insertTable("tickets", ticketCols),
		unsure:       upsertTable("unsure_times", "session_id,journal", "session_id,cp_id,journal,authorized_at,ended_at,stale"),
		gaps:         upsertTable("gaps", "gap_id", gapCols),
		alarms:       upsertTable("alarms", "alarm_id", alarmCols),
		reservations: upsertTable("reservations", "reservation_id", reservationCols),
		desired:      upsertTable("desired_states", "kind,cp_id,connector,session_id", desiredCols),
		commands:     commandTable(),
		requests:     upsertTable("requests", "username,message_id", requestCols),
		cards:        upsertTable("cards", "card_id", cardCols),
		lists:        upsertTable("local_lists", "cp_id", listCols),
		groups:       upsertTable("supply_groups", "group_id", groupCols),
		members:      upsertTable("supply_members", "cp_id,connector", memberCols),
		replies:      insertTable("replies", "key,request,reply,at"),
		records:      insertTable("records", recordCols),
		outbox:       insertTable("outbox", "topic,key,headers,value,at"),
		offsets:      upsertTable("offsets", "topic,partition", "topic,partition,next,last_crc"),
		counters: newTable("counters", "name,value",
			" ON CONFLICT (name) DO UPDATE SET value=value+excluded.value"),
		settings: upsertTable("settings", "name", "name,value"),
		accounts: upsertTable("accounts", "name", accountCols),
		entries:  insertTable("audit_log", entryCols),
	}
}

// journalTable adds to the row of a journal when the oldest record that is still
// stored was received, for pruning.
func journalTable() table {
	t := upsertTable("journals", "cp_id,journal", journalCols+",oldest_at")
	keepFirstValue(&t, "oldest_at")
	return t
}

// keepFirstValue makes a column keep the first value above 0 that was written to
// it, whatever is written later.
func keepFirstValue(t *table, column string) {
	for _, q := range []*string{&t.one, &t.many} {
		*q = strings.Replace(*q, column+"=excluded."+column, column+"=iif("+column+">0,"+column+",excluded."+column+")", 1)
	}
}

// commandTable adds to the row of a command when it was first sent, when it was
// accepted and when it ended. package orders needs only the time of the last
// change; the API shows all of them.
func commandTable() table {
	t := upsertTable("commands", "command_id", commandCols+",sent_at,accepted_at,ended_at")
	for _, c := range []string{"sent_at", "accepted_at", "ended_at"} {
		keepFirstValue(&t, c)
	}
	return t
}

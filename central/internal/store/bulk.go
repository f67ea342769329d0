package store

import "strings"

// bulkRows is how many rows one statement takes when there are enough: a call
// into SQLite costs as much as several rows.
const bulkRows = 16

// table says how rows of one table are written.
type table struct {
	one, many string
	width     int
}

// upsertTable makes a table whose rows replace those of the same key.
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

// rows writes rows given one after the other in args.
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

// tables are the statements of the writer.
type tables struct {
	points, journals, connectors, meters, sessions, tickets, gaps, alarms table
	reservations, desired, commands, requests, replies                    table
	records, outbox, offsets, counters, settings                          table
}

const (
	pointCols = "cp_id,admitted,name,place,agent,simulated,first_heard,present,waiting_journal,named,conn,online," +
		"presence_at,first_journal,first_seq,next_journal,next_seq,last_journal,last_seq,position,epoch_lead,faults,forked_at,fork,held_up_since,mismatch_at,silent_at"
	journalCols = "cp_id,journal,registered,followed,last,hash,after_journal,after_seq,root,reported,conn,opened_at,wrote_at,clock,grown_at"
	connCols    = "cp_id,journal,connector,rated_w,plugged,available,reported,faults,session_id,phase,finishing," +
		"held_id,held_by,held_until,held_tariff,register_wh,idle_since"
	meterCols = "cp_id,connector,known,first_wh,last_wh,carried_wh,billed_wh,running_wh," +
		"first_at,last_at,last_journal,last_uptime_ms,before_known,before_counted_wh,before_last_wh,before_at," +
		"before_journal,before_uptime_ms"
	sessionCols = "session_id,cp_id,connector,state,username,reservation_id,tariff,by,start_wh,start_known,register_wh," +
		"started,authorized_at,started_at,ended_at,heard_at,reason,settled,spans"
	ticketCols = "ticket_id,session_id,cp_id,connector,username,reservation_id,tariff,start_wh,stop_wh,energy_wh," +
		"cost_minor,currency,duration_sec,started,authorized_at,ended_at,reason,settled_at,corrects"
	gapCols         = "hole_id,cp_id,journal,first,last,cause,detail,found_at,missing,energy_wh,waiting,open,lost"
	alarmCols       = "alarm_id,kind,cp_id,connector,at,detail,cleared"
	reservationCols = "reservation_id,cp_id,connector,username,tariff,made_at,until,confirmed_at,ended_at,reason," +
		"session_id,adopted,gone,told,message_id"
	desiredCols = "kind,cp_id,connector,session_id,username,reservation_id,tariff,available,asked_at,until,ended_at,outcome"
	// The last three columns of a command are kept by the database itself.
	commandCols = "command_id,n,central,journal,cp_id,connector,type,data,reservation_id,session_id,issued_at," +
		"expires_at,state,reason,changed_at,sendings,next_at,message_id"
	requestCols = "message_id,event_type,username,client_id,cp_id,read_at,answer_by,asked,asked_at,reservation_id," +
		"answer,silent"
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
		tickets:      insertTable("tickets", ticketCols),
		gaps:         upsertTable("holes", "hole_id", gapCols),
		alarms:       upsertTable("alarms", "alarm_id", alarmCols),
		reservations: upsertTable("reservations", "reservation_id", reservationCols),
		desired:      upsertTable("wishes", "kind,cp_id,connector,session_id", desiredCols),
		commands:     commandTable(),
		requests:     upsertTable("requests", "username,message_id", requestCols),
		replies:      insertTable("replies", "key,request,reply,at"),
		records:      insertTable("records", recordCols),
		outbox:       insertTable("outbox", "topic,key,headers,value,at"),
		offsets:      upsertTable("offsets", "topic,partition", "topic,partition,next,last_crc"),
		counters: newTable("counters", "name,value",
			" ON CONFLICT (name) DO UPDATE SET value=value+excluded.value"),
		settings: upsertTable("settings", "name", "name,value"),
	}
}

// journalTable notes, beside the row, since when records of it are held.
func journalTable() table {
	t := upsertTable("journals", "cp_id,journal", journalCols+",oldest_at")
	keepFirstValue(&t, "oldest_at")
	return t
}

// keepFirstValue makes a column keep the first value above 0 that it was given.
func keepFirstValue(t *table, column string) {
	for _, q := range []*string{&t.one, &t.many} {
		*q = strings.Replace(*q, column+"=excluded."+column, column+"=iif("+column+">0,"+column+",excluded."+column+")", 1)
	}
}

// commandTable notes, beside the row, when the command was first sent, when it
// was accepted and when it ended.
func commandTable() table {
	t := upsertTable("commands", "command_id", commandCols+",sent_at,accepted_at,ended_at")
	for _, c := range []string{"sent_at", "accepted_at", "ended_at"} {
		keepFirstValue(&t, c)
	}
	return t
}

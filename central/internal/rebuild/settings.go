package rebuild

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"math"

	"github.com/carga-ev/carga/central/ledger"
	"github.com/carga-ev/carga/internal/charge"
	"github.com/carga-ev/carga/internal/money"
	"github.com/carga-ev/carga/internal/wire"
)

// settingsVersion is the version of the file that Encode writes. DecodeSettings
// reads earlier versions too:
//
//   - version 1 has prices in whole minor units;
//   - versions 1 and 2 have another name for gaps;
//   - versions 1 to 3 have no accounts and tokens;
//   - versions 1 to 4 have no cards;
//   - versions 1 to 5 have no groups.
const settingsVersion = 6

// oldGaps is the name of Settings.Gaps in a file of version 1 or 2.
const oldGaps = "holes"

// Settings is the state of a Central that cannot be made again from records: what
// was configured, and what operators and presences decided.
type Settings struct {
	V          int         `json:"v"`
	ExportedAt charge.Time `json:"exported_at"`
	// Tariffs are all versions of the prices.
	Tariffs []Tariff `json:"tariffs"`
	// Points are the charging points and whether they are admitted.
	Points []Point `json:"charging_points"`
	// Availability is which connectors operators put in or out of service.
	Availability []Availability `json:"availability"`
	// Gaps are the ranges of records that were passed as missing for good.
	Gaps []Gap `json:"gaps"`
	// Settled are the sessions that an operator settled, or whose ticket an earlier run
	// of Central published.
	Settled []Settled `json:"settled"`
	// Accounts and Tokens use the page and the API.
	Accounts []Account `json:"accounts"`
	Tokens   []Token   `json:"tokens"`
	// Cards are the cards of drivers, deleted ones too.
	Cards []Card `json:"cards"`
	// Groups are the groups of charging points behind one fuse.
	Groups []Group `json:"groups"`
}

// Tariff is one version of the prices.
type Tariff struct {
	Version  charge.TariffVersion `json:"version"`
	StartFee money.Price          `json:"start_fee_e4"` // ten-thousandths of the minor unit
	PerKWh   money.Price          `json:"per_kwh_e4"`
	Currency money.Currency       `json:"currency"`
	MadeAt   charge.Time          `json:"made_at"`
	// Files that an earlier program wrote have none of these: valid from MadeAt.
	PerMinute     money.Price    `json:"per_minute_e4,omitzero"`
	PerIdleMinute money.Price    `json:"per_idle_minute_e4,omitzero"`
	Tax           ledger.TaxRate `json:"tax_e4,omitzero"`     // in the prices, in ten-thousandths
	ValidFrom     charge.Time    `json:"valid_from,omitzero"` // for grants from then on

	// Version 1 of the file has whole minor units instead of the first two.
	StartFeeCents *int64 `json:"start_fee_cents,omitempty"`
	PerKWhCents   *int64 `json:"per_kwh_cents,omitempty"`
}

// prices converts the prices from the form of the file's version, and refuses
// fields of another version.
func (t *Tariff) prices(v int) error {
	whole := t.StartFeeCents != nil || t.PerKWhCents != nil
	switch {
	case v == 1 && (t.StartFee != 0 || t.PerKWh != 0):
		return errors.New("start_fee_e4 and per_kwh_e4 belong to version 2; use start_fee_cents and per_kwh_cents")
	case v != 1 && whole:
		return errors.New("start_fee_cents and per_kwh_cents belong to version 1; use start_fee_e4 and per_kwh_e4")
	case v != 1:
		return nil
	}
	for _, p := range []struct {
		whole *int64
		price *money.Price
	}{{t.StartFeeCents, &t.StartFee}, {t.PerKWhCents, &t.PerKWh}} {
		if p.whole != nil && *p.whole > math.MaxInt64/int64(money.MinorUnit) {
			return errors.New("a price is too large")
		} else if p.whole != nil {
			*p.price = money.Price(*p.whole) * money.MinorUnit
		}
	}
	t.StartFeeCents, t.PerKWhCents = nil, nil
	return nil
}

func (t *Tariff) ledger() ledger.Tariff {
	return ledger.Tariff{
		Version: t.Version, StartFee: t.StartFee, PerKWh: t.PerKWh, PerMinute: t.PerMinute, PerIdleMinute: t.PerIdleMinute,
		Tax: t.Tax, Currency: t.Currency, ValidFrom: cmp.Or(t.ValidFrom, t.MadeAt),
	}
}

// NewTariff returns a version of the prices that was made at a moment.
func NewTariff(t ledger.Tariff, madeAt charge.Time) Tariff {
	return Tariff{
		Version: t.Version, StartFee: t.StartFee, PerKWh: t.PerKWh, PerMinute: t.PerMinute, PerIdleMinute: t.PerIdleMinute,
		Tax: t.Tax, Currency: t.Currency, ValidFrom: t.ValidFrom, MadeAt: madeAt,
	}
}

// valid reports whether the values of a tariff are possible.
func (t *Tariff) valid() bool {
	return min(t.StartFee, t.PerKWh, t.PerMinute, t.PerIdleMinute) >= 0 && t.Tax >= 0 && t.Tax <= ledger.MaxTax && t.ValidFrom >= 0 &&
		charge.ValidID(string(t.Version)) && len(t.Currency) == 3
}

// Point is one charging point.
type Point struct {
	CPID     charge.CPID `json:"cp_id"`
	Admitted bool        `json:"admitted"`
	// What operators set in place of what the charging point reports.
	Name      string      `json:"name,omitempty"`
	Place     string      `json:"place,omitempty"`
	Site      string      `json:"site,omitempty"`
	Version   int64       `json:"settings_version,omitempty"`
	ChangedAt charge.Time `json:"settings_changed_at,omitzero"`
}

// Availability is an operator's desired state of a connector. CPID is empty for the
// whole network, Connector 0 for a whole charging point.
type Availability struct {
	CPID      charge.CPID        `json:"cp_id"`
	Connector charge.ConnectorID `json:"connector"`
	Available bool               `json:"available"`
	AskedAt   charge.Time        `json:"asked_at"`
}

// Gap is a range of records of a journal; Last 0 means its end, which is not known.
type Gap struct {
	CPID    charge.CPID      `json:"cp_id"`
	Journal charge.JournalID `json:"journal"`
	First   charge.Seq       `json:"first"`
	Last    charge.Seq       `json:"last"`
	Cause   ledger.GapCause  `json:"cause"`
}

// Settled is a session that an operator settled, or whose ticket Central adopted from
// an earlier run. Its ticket is exported because it depends on which records a Central
// had received at that moment, which no record contains. Settings of an older version have only the tariff; then the session is
// settled with all its records.
type Settled struct {
	CPID      charge.CPID          `json:"cp_id"`
	SessionID charge.SessionID     `json:"session_id"`
	Tariff    charge.TariffVersion `json:"tariff"`
	Ticket    *SettledTicket       `json:"ticket,omitempty"`
}

// SettledTicket is the ticket of a settled session.
type SettledTicket struct {
	Connector     charge.ConnectorID   `json:"connector"`
	Username      charge.Username      `json:"username"`
	ReservationID charge.ReservationID `json:"reservation_id"`
	Start         charge.WattHours     `json:"register_start_wh"`
	Stop          charge.WattHours     `json:"register_wh"`
	Cost          money.Minor          `json:"cost_minor"` // in minor units of the currency
	Currency      money.Currency       `json:"currency"`
	DurationSec   int64                `json:"duration_sec"`
	Started       bool                 `json:"started"`
	AuthorizedAt  charge.Time          `json:"authorized_at"`
	EndedAt       charge.Time          `json:"ended_at"`
	Reason        charge.StopReason    `json:"reason"`
	SettledAt     charge.Time          `json:"settled_at"`              // zero: not settled
	SettledAfter  *wire.Position       `json:"settled_after,omitempty"` // nil: not known
	Adopted       bool                 `json:"adopted,omitempty"`       // an earlier run of Central published it
}

// NewSettled returns the settlement that made a ticket.
func NewSettled(t *ledger.Ticket) Settled {
	var after *wire.Position
	if t.SettledAfter.Seq > 0 {
		after = &t.SettledAfter
	}
	return Settled{CPID: t.CPID, SessionID: t.SessionID, Tariff: t.Tariff, Ticket: &SettledTicket{
		Connector: t.Connector, Username: t.Username, ReservationID: t.ReservationID, Start: t.Start, Stop: t.Stop, Cost: t.Cost.Minor,
		Currency: t.Cost.Currency, DurationSec: t.DurationSec, Started: t.Started, AuthorizedAt: t.AuthorizedAt, EndedAt: t.EndedAt,
		Reason: t.Reason, SettledAt: t.SettledAt, SettledAfter: after, Adopted: t.Adopted,
	}}
}

// ledger returns the ticket of the settlement.
func (s *Settled) ledger() ledger.Ticket {
	t := s.Ticket
	var after wire.Position
	if t.SettledAfter != nil {
		after = *t.SettledAfter
	}
	return ledger.Ticket{
		ID: ledger.TicketID(s.SessionID), SessionID: s.SessionID, CPID: s.CPID, Connector: t.Connector, Username: t.Username,
		ReservationID: t.ReservationID, Tariff: s.Tariff, Start: t.Start, Stop: t.Stop, Energy: t.Stop - t.Start,
		Cost: money.Amount{Minor: t.Cost, Currency: t.Currency}, DurationSec: t.DurationSec, Started: t.Started, AuthorizedAt: t.AuthorizedAt, EndedAt: t.EndedAt,
		Reason: t.Reason, SettledAt: t.SettledAt, SettledAfter: after, Adopted: t.Adopted,
	}
}

// valid reports whether the values of a ticket are possible.
func (t *SettledTicket) valid() bool {
	return t.Connector >= 0 && t.Connector <= charge.MaxConnectors && t.Start >= 0 && t.Stop >= t.Start && t.Cost >= 0 &&
		len(t.Currency) == 3 && t.DurationSec >= 0 && (t.SettledAt > 0 || t.Adopted && t.SettledAt == 0) &&
		(t.SettledAfter == nil || charge.ValidID(string(t.SettledAfter.Journal)) && t.SettledAfter.Seq > 0)
}

// Encode returns the settings as a file of the latest version. Operators read and
// edit it: it is indented, and empty lists are present.
func (s *Settings) Encode() ([]byte, error) {
	s.V = settingsVersion
	s.Tariffs, s.Points, s.Availability = notNil(s.Tariffs), notNil(s.Points), notNil(s.Availability)
	s.Gaps, s.Settled = notNil(s.Gaps), notNil(s.Settled)
	s.Accounts, s.Tokens, s.Cards, s.Groups = notNil(s.Accounts), notNil(s.Tokens), notNil(s.Cards), notNil(s.Groups)
	raw, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("write settings: %w", err)
	}
	return append(raw, '\n'), nil
}

// notNil returns an empty list for nil, so that the file has [] and not null.
func notNil[T any](v []T) []T {
	if v == nil {
		return []T{}
	}
	return v
}

// DecodeSettings reads a file of any version up to the latest. It is strict: a
// field whose name is misspelt would otherwise be ignored, and a part of the state
// would be missing after the rebuild.
func DecodeSettings(raw []byte) (Settings, error) {
	var file struct {
		Settings
		OldGaps []Gap `json:"holes"` // in place of Gaps until version 2
	}
	s := &file.Settings
	if err := wire.Check(raw); err != nil {
		return *s, fmt.Errorf("settings: %w", err)
	}
	d := json.NewDecoder(bytes.NewReader(raw))
	d.DisallowUnknownFields()
	if err := d.Decode(&file); err != nil {
		return *s, fmt.Errorf("settings: %w", err)
	}
	if s.V < 1 || s.V > settingsVersion {
		return *s, fmt.Errorf("settings: v is %d, want 1 to %d: another program wrote them", s.V, settingsVersion)
	}
	switch {
	case s.V >= 3 && file.OldGaps != nil:
		return *s, fmt.Errorf("settings: %q belongs to version 2; use \"gaps\"", oldGaps)
	case s.V < 3 && s.Gaps != nil:
		return *s, fmt.Errorf("settings: \"gaps\" belongs to version 3; use %q", oldGaps)
	case s.V < 3:
		s.Gaps = file.OldGaps
	}
	if s.V < 4 && (s.Accounts != nil || s.Tokens != nil) {
		return *s, errors.New("settings: \"accounts\" and \"tokens\" belong to version 4")
	}
	if s.V < 5 && s.Cards != nil {
		return *s, errors.New("settings: \"cards\" belong to version 5")
	}
	if s.V < 6 && s.Groups != nil {
		return *s, errors.New("settings: \"groups\" belong to version 6")
	}
	// Values that are not possible would be refused by the database later, with an
	// error that does not name their place in the file.
	for i := range s.Tariffs {
		if err := s.Tariffs[i].prices(s.V); err != nil {
			return *s, fmt.Errorf("settings: tariffs[%d]: %w", i, err)
		}
		if !s.Tariffs[i].valid() {
			return *s, fmt.Errorf("settings: tariffs[%d] is none: want an id as version, prices and a tax from 0 and a currency of three letters", i)
		}
	}
	return *s, s.validate()
}

// validate refuses what names nothing there can be: it would be left out.
func (s *Settings) validate() error {
	for i := range s.Points {
		if !s.Points[i].CPID.Valid() {
			return fmt.Errorf("settings: charging_points[%d].cp_id is none", i)
		}
	}
	for i := range s.Availability {
		if a := &s.Availability[i]; a.CPID != "" && !a.CPID.Valid() || a.Connector < 0 || a.Connector > charge.MaxConnectors {
			return fmt.Errorf("settings: availability[%d] is of no connector: want a cp_id or none, and a connector from 0 to %d", i, charge.MaxConnectors)
		}
	}
	for i := range s.Gaps {
		if g := &s.Gaps[i]; !g.CPID.Valid() || !charge.ValidID(string(g.Journal)) || g.Last != 0 && g.Last < g.First {
			return fmt.Errorf("settings: gaps[%d] is none: want a cp_id, a journal and a last record that is 0 or not before the first", i)
		}
	}
	for i := range s.Settled {
		if d := &s.Settled[i]; !d.CPID.Valid() || !charge.ValidID(string(d.SessionID)) || d.Tariff != "" && !charge.ValidID(string(d.Tariff)) {
			return fmt.Errorf("settings: settled[%d] is no session: want a cp_id, a session_id and an id as tariff", i)
		} else if d.Ticket != nil && !d.Ticket.valid() {
			return fmt.Errorf("settings: settled[%d].ticket is none: want a connector, registers that do not fall, a cost and a duration from 0, "+
				"a currency of three letters, settled_at, and as settled_after none or a journal and a seq from 1", i)
		}
	}
	for i := range s.Cards {
		if !s.Cards[i].valid() {
			return fmt.Errorf("settings: cards[%d] is none: want a card_id, a token_hash, a version from 1, and limits from 0", i)
		}
	}
	return errors.Join(s.validateGroups(), s.validateAccess())
}

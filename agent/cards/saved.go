package cards

import (
	"cmp"
	"slices"
	"time"

	"github.com/carga-ev/carga/internal/charge"
	"github.com/carga-ev/carga/internal/wire"
)

// maxCached bounds the cache, and maxAsked the requests whose answer is awaited.
const (
	maxCached = 256
	maxAsked  = 16
)

// Saved is what a new boot needs of the cards. A checkpoint of the journal holds it
// as JSON, so fields are only ever added and their JSON names never change. It is a
// value: its slices are replaced and never changed.
type Saved struct {
	List  List     `json:"list,omitzero"`
	Cache []Cached `json:"cache,omitempty"` // the oldest first
	Asked []Asked  `json:"asked,omitempty"` // the oldest first
}

// List is the local list of one version. Entries are sorted by their hash.
type List struct {
	Version int64                 `json:"version"`
	Entries []wire.LocalListEntry `json:"entries,omitempty"`
}

// Cached is an answer of Central that admitted a card.
type Cached struct {
	Card     charge.TokenHash `json:"token_hash"`
	Username charge.Username  `json:"username"`
	At       charge.Time      `json:"at"` // by the wall clock; zero: it was not set
	// Limits of each session; 0: none.
	Limit       charge.WattHours `json:"limit_wh,omitempty"`
	LimitAmount int64            `json:"limit_amount,omitempty"`
}

// Asked is a request that Central was sent.
type Asked struct {
	Request string           `json:"request_id"`
	Card    charge.TokenHash `json:"token_hash"`
}

// State names the state of the list, as Central is informed of it.
func (l List) State() wire.ListState {
	s := wire.ListState{Version: l.Version}
	if l.Version > 0 {
		s.Digest = wire.ListDigest(l.Entries)
	}
	return s
}

// find finds a card of the list.
func (l List) find(card charge.TokenHash) (wire.LocalListEntry, bool) {
	i, ok := slices.BinarySearchFunc(l.Entries, card, compareEntry)
	if !ok {
		return wire.LocalListEntry{}, false
	}
	return l.Entries[i], true
}

func compareEntry(e wire.LocalListEntry, h charge.TokenHash) int { return cmp.Compare(e.TokenHash, h) }

// apply returns the list after an order, or why it cannot be applied. The order of
// entries and removals that name the same card does not matter: it is removed.
func (l List) apply(o *wire.SetLocalList) (_ List, refused string) {
	next := List{Version: o.Version}
	if o.Base != 0 {
		if o.Base != l.Version || o.Version < o.Base {
			return l, "other_version"
		}
		next.Entries = slices.Clone(l.Entries)
	}
	for _, e := range o.Entries {
		i, known := slices.BinarySearchFunc(next.Entries, e.TokenHash, compareEntry)
		if known {
			next.Entries[i] = e
		} else {
			next.Entries = slices.Insert(next.Entries, i, e)
		}
	}
	next.Entries = slices.DeleteFunc(next.Entries, func(e wire.LocalListEntry) bool { return slices.Contains(o.Removed, e.TokenHash) })
	switch {
	case len(next.Entries) > wire.MaxLocalList:
		return l, "too_long"
	case o.Digest != "" && o.Digest != wire.ListDigest(next.Entries):
		return l, "other_content"
	}
	return next, ""
}

// applyList applies an order to the list. What left the list leaves the cache too.
func (v Saved) applyList(o *wire.SetLocalList) (_ Saved, refused string) {
	next, refused := v.List.apply(o)
	if refused != "" {
		return v, refused
	}
	v.List = next
	if o.Base == 0 { // what was removed meanwhile is not known
		v.Cache = nil
	}
	for _, h := range o.Removed {
		v.Cache = withoutCard(v.Cache, h)
	}
	return v, ""
}

// ask remembers a request that Central is sent.
func (v Saved) ask(request string, card charge.TokenHash) Saved {
	v.Asked = append(slices.Clone(v.Asked), Asked{request, card})
	v.Asked = v.Asked[max(len(v.Asked)-maxAsked, 0):]
	return v
}

// answer applies Central's answer to the cache.
func (v Saved) answer(o *wire.Authorize, at charge.Time) Saved {
	i := slices.IndexFunc(v.Asked, func(a Asked) bool { return a.Request == o.RequestID })
	if i < 0 {
		return v
	}
	card := v.Asked[i].Card
	v.Asked = slices.Delete(slices.Clone(v.Asked), i, i+1)
	v.Cache = withoutCard(v.Cache, card)
	if o.Allowed {
		v.Cache = append(v.Cache, Cached{card, o.Username, at, o.Limit, o.LimitAmount})
		v.Cache = v.Cache[max(len(v.Cache)-maxCached, 0):]
	}
	return v
}

// withoutCard returns a copy of the cache without a card.
func withoutCard(all []Cached, card charge.TokenHash) []Cached {
	return slices.DeleteFunc(slices.Clone(all), func(c Cached) bool { return c.Card == card })
}

// cached finds a card in the cache that is not older than the time to live. Without
// a clock its age is not known, and it is not found.
func (v Saved) cached(card charge.TokenHash, now Now, life time.Duration) (Cached, bool) {
	i := slices.IndexFunc(v.Cache, func(c Cached) bool { return c.Card == card })
	if i < 0 || !now.hasClock() || v.Cache[i].At == 0 {
		return Cached{}, false
	}
	age := now.Wall.Sub(v.Cache[i].At)
	return v.Cache[i], age >= 0 && age < life
}

// Replay folds one record into v. Folding the last record a second time changes
// nothing, so a checkpoint may contain it already.
func Replay(v Saved, rec *wire.Record, p wire.Payload) Saved {
	switch p := p.(type) {
	case *wire.AuthRequested:
		known := slices.ContainsFunc(v.Asked, func(a Asked) bool { return a.Request == p.RequestID })
		if p.Decided == "" && !known {
			return v.ask(p.RequestID, p.Hash())
		}
	case *wire.CommandAccepted:
		cmd, err := wire.DecodeCommand(p.Command)
		if err != nil {
			return v
		}
		order, err := cmd.Order()
		if err != nil {
			return v
		}
		switch o := order.(type) {
		case *wire.SetLocalList:
			v, _ = v.applyList(o) // a refused one is not accepted
		case *wire.Authorize:
			at := rec.At
			if rec.Clock == charge.ClockUnset {
				at = 0
			}
			return v.answer(o, at)
		}
	}
	return v
}

package rebuild

import (
	"encoding/json"
	"reflect"
	"testing"

	"github.com/carga-ev/carga/central/cards"
	"github.com/carga-ev/carga/internal/charge"
)

// TestCardsAreExported: a card is imported as it was exported, with all of its fields.
func TestCardsAreExported(t *testing.T) {
	c := cards.Card{
		ID: "c", Hash: charge.IDToken("04A1B2C3").Hash(), Username: "anna", Label: "no. 1", LastFour: "B2C3", Offline: true,
		Limit:    charge.SessionLimit{Energy: 5000, Amount: 300},
		IssuedAt: 1, ExpiresAt: 2, BlockedAt: 3, DeletedAt: 4, ChangedAt: 5, Version: 6,
	}
	for i, v := 0, reflect.ValueOf(c); i < v.NumField(); i++ {
		if v.Field(i).IsZero() {
			t.Errorf("%s is not tested", v.Type().Field(i).Name)
		}
	}
	raw, err := json.Marshal(NewCard(c))
	if err != nil {
		t.Fatal(err)
	}
	var back Card
	if err := json.Unmarshal(raw, &back); err != nil || back.card() != c || !back.valid() {
		t.Errorf("%s is read as %+v %v, want %+v", raw, back.card(), err, c)
	}
	back.LimitAmount = -1
	if back.valid() {
		t.Error("a limit below 0 is accepted")
	}
}

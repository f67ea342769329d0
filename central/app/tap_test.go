package app_test

import (
	"bytes"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/carga-ev/carga/central/internal/journaltest"
	"github.com/carga-ev/carga/internal/charge"
	"github.com/carga-ev/carga/internal/wire"
)

// TestATappedCardIsKeptByItsHashAlone: its UID is in no file of the database, accepted,
// repeated or refused.
func TestATappedCardIsKeptByItsHashAlone(t *testing.T) {
	path := db(t)
	const uid = "04A1B2C3D4E5F6"
	synctest.Test(t, func(t *testing.T) {
		w, c, o := network(t, settings(path))
		p := journaltest.New(t, "CP_1")
		o.publish(wire.TopicEvents, p.All...)
		time.Sleep(3 * time.Second)
		for _, body := range []string{`{"action":"tap","uid":"` + uid + `"}`, `{"action":"tap","uid":"` + strings.ToLower(uid) + `"}`} {
			for range 2 {
				if a := c.ask(w, http.MethodPost, simulatePath, body, "key "+body[len(body)-5:len(body)-2]); a.status != http.StatusAccepted {
					t.Errorf("tap: got %+v", a)
				}
			}
		}
		if a := c.ask(w, http.MethodPost, simulatePath, `{"action":"plug","uid":"`+uid+`"}`, "refused"); a.status != http.StatusUnprocessableEntity || strings.Contains(a.body, uid) {
			t.Errorf("plug with a card: got %+v", a)
		}
		if all := c.get(w, "/api/v1/commands?limit=500"); strings.Count(all, `"SIMULATE"`) != 2 {
			t.Errorf("got %s, want a command for each key", all)
		}
		o.stop()
		c.stop()
	})
	hashes := 0
	files, err := filepath.Glob(path + "*")
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	for _, file := range files {
		raw, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if bytes.Contains(bytes.ToUpper(raw), []byte(uid)) {
			t.Errorf("%s has the UID of the card", filepath.Base(file))
		}
		hashes += bytes.Count(raw, []byte(charge.IDToken(uid).Hash()))
	}
	if hashes == 0 {
		t.Error("not even its hash is kept: nothing was looked at")
	}
}

package web_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/carga-ev/carga/central/access"
	"github.com/carga-ev/carga/internal/charge"
)

// TestCards: the UID of a card goes no further than the API, and what cannot be used
// is refused.
func TestCards(t *testing.T) {
	hash := string(charge.IDToken("04A1B2C3").Hash())
	for _, c := range []struct {
		path, body  string
		status      int
		order, want string
	}{
		{"/cards", `{"uid":"04a1b2c3","username":"ana"}`, 201, "card " + hash + " B2C3 of ana offline true until 0", ""},
		{"/cards", `{"token_hash":"` + hash + `","username":"ana","offline":false,"expires_at":"2030-01-01T00:00:00Z"}`, 201, "card " + hash + "  of ana offline false until 1893456000000", ""},
		{"/cards", `{"username":"ana"}`, 422, "", "#bad_card"},
		{"/cards", `{"uid":"04A1B2C3","token_hash":"` + hash + `","username":"ana"}`, 422, "", "#bad_card"},
		{"/cards", `{"uid":"04 A1","username":"ana"}`, 422, "", "body.uid"},
		{"/cards", `{"uid":"04A1B2C3","username":" ana"}`, 422, "", "#bad_username"},
		{"/cards", `{"uid":"04A1B2C3","username":"ana","label":"a\u0007"}`, 422, "", "#bad_card"},
		{"/cards/c1", `{"blocked":true}`, 200, "card c1 blocked true", ""},
		{"/cards/c1", `{"expires":false}`, 200, "card c1 until 0", ""},
		{"/cards/c1", `{"expires_at":"2030-01-01T00:00:00Z"}`, 200, "card c1 until 1893456000000", ""},
		{"/cards/c1", `{"expires_at":"2030-01-01T00:00:00Z","expires":false}`, 422, "", "#bad_card"},
		{"/cards", `{"uid":"04A1B2C3","username":"ana","limit_wh":5000,"limit_amount":300}`, 201, "card " + hash + " B2C3 of ana offline true until 0 limit 5000 Wh 300", ""},
		{"/cards", `{"uid":"04A1B2C3","username":"ana","limit_wh":0}`, 422, "", "body.limit_wh"},
		{"/cards", `{"uid":"04A1B2C3","username":"ana","limit_amount":1.5}`, 422, "", "body.limit_amount"},
		{"/cards/c1", `{"limit_wh":5000}`, 200, "card c1 limit 5000 Wh", ""},
		{"/cards/c1", `{"limit_wh":0,"limit_amount":0}`, 200, "card c1 limit 0 Wh limit amount 0", ""},
		{"/cards/c1", `{"limit_amount":-1}`, 422, "", "body.limit_amount"},
		{"/cards/c1/delete", ``, 200, "card c1 deleted", ""},
	} {
		g := newGuarded(t)
		w := g.do(t, http.MethodPost, "/api/v1"+c.path, c.body, as(access.Operator))
		if w.Code != c.status || g.orders.all() != c.order || !strings.Contains(w.Body.String(), c.want) {
			t.Errorf("%s %s: got %d %s, orders %q", c.path, c.body, w.Code, w.Body, g.orders.all())
		}
		if strings.Contains(strings.ToUpper(w.Body.String()), "04A1B2C3") && c.status < 400 {
			t.Errorf("%s: the answer has the UID: %s", c.body, w.Body)
		}
	}
}

package web

import (
	"fmt"
	"log/slog"
	"net/http"
	"strings"

	"github.com/danielgtaylor/huma/v2"
)

// problemPage is the page that explains every kind of problem. With the word of a
// kind appended it is the type of that problem. Clients compare types, so it never
// changes and does not depend on where Central is served.
const problemPage = "https://github.com/carga-ev/carga/blob/main/docs/PROBLEMS.md#"

// problemType returns the type of a kind of problem, an absolute URI.
func problemType(word string) string { return problemPage + word }

// kind is a kind of problem.
type kind struct {
	status int
	text   string // the detail, if there is no more specific one
}

// kinds returns every kind of problem, by its word. The words of the first part
// come from Orders as Answer.Reason, the others from this package.
// docs/PROBLEMS.md explains each; a test compares them.
func kinds() map[string]kind {
	return map[string]kind{
		"unknown_cp":             {http.StatusNotFound, "there is no such charging point, or it is not admitted"},
		"unknown_connector":      {http.StatusNotFound, "the charging point has no such connector"},
		"unknown_session":        {http.StatusNotFound, "there is no such session"},
		"unknown_reservation":    {http.StatusNotFound, "there is no such reservation"},
		"unknown_driver":         {http.StatusNotFound, "this driver is not on the list of drivers"},
		"unknown_dead_letter":    {http.StatusNotFound, "there is no such dead letter"},
		"unknown_gap":            {http.StatusNotFound, "there is no such gap"},
		"unknown_alarm":          {http.StatusNotFound, "there is no such alarm"},
		"alarm_cleared":          {http.StatusConflict, "the alarm is cleared already"},
		"alarm_lasts":            {http.StatusConflict, "what the alarm reports is still so"},
		"limit_too_small":        {http.StatusConflict, "the amount does not buy 1 Wh by the present prices"},
		"limit_differs":          {http.StatusConflict, "this session is asked for already with another limit: cancel its reservation first"},
		"unknown_group":          {http.StatusNotFound, "there is no such group"},
		"group_changed":          {http.StatusPreconditionFailed, "the group was changed since it was read"},
		"in_other_group":         {http.StatusConflict, "a charging point is in another group"},
		"no_safe_current":        {http.StatusConflict, "the safe current of a charging point is not known"},
		"safe_above_limit":       {http.StatusConflict, "the safe currents are above the limit of the group"},
		"group_too_large":        {http.StatusConflict, "the group has too many connectors"},
		"unknown_card":           {http.StatusNotFound, "there is no such card"},
		"card_exists":            {http.StatusConflict, "the card is issued already: change it, or delete it first"},
		"too_many_cards":         {http.StatusConflict, "the local lists hold 1000 cards: issue this one with \"offline\": false, or set that of another"},
		"session_ended":          {http.StatusConflict, "the session has ended"},
		"session_orphaned":       {http.StatusConflict, "its charging point came back without it: settle it instead"},
		"reservation_ended":      {http.StatusConflict, "the reservation has ended"},
		"not_possible":           {http.StatusConflict, "it is not in a state in which this can be done"},
		"not_simulated":          {http.StatusConflict, "its hardware is real"},
		"cp_offline":             {http.StatusConflict, "the charging point is offline"},
		"cp_online":              {http.StatusConflict, "the session is running and its charging point is online: stop it instead"},
		"cp_unknown":             {http.StatusConflict, "whether the charging point is online is not known: the connection to all of them is down"},
		"cp_unreachable":         {http.StatusConflict, "the charging point does not answer"},
		"no_free_cp":             {http.StatusConflict, "no charging point is free"},
		"cp_busy":                {http.StatusConflict, "it is reserved or in use"},
		"cp_unavailable":         {http.StatusConflict, "it is out of service or faulted"},
		"too_many":               {http.StatusConflict, "this driver has all the reservations allowed"},
		"tariff_exists":          {http.StatusConflict, "there is a version of this name, and a version never changes"},
		"tariff_in_past":         {http.StatusUnprocessableEntity, "valid_from is before now"},
		"settings_changed":       {http.StatusPreconditionFailed, "the settings were changed since they were read"},
		"fenced":                 {http.StatusConflict, "another Central took over; this one does not order"},
		"idempotency_key_reused": {http.StatusUnprocessableEntity, "Idempotency-Key: this key came with another request within 24 h; give a new order a new key, and repeat one byte for byte"},
		"too_many_keys":          {http.StatusTooManyRequests, "Idempotency-Key: no more answers of 24 h can be kept; send the order without the header, or later"},

		"sign_in_required":       {http.StatusUnauthorized, "sign in first, or send a token as Authorization: Bearer"},
		"wrong_credentials":      {http.StatusUnauthorized, "the name or the secret is wrong, or the account is disabled"},
		"not_permitted":          {http.StatusForbidden, "the role of this account does not permit it"},
		"too_many_requests":      {http.StatusTooManyRequests, "too many attempts; Retry-After is when the next one is possible"},
		"access_open":            {http.StatusConflict, "there are no accounts: access is open, for this machine alone"},
		"already_set_up":         {http.StatusConflict, "there are accounts already: sign in"},
		"account_exists":         {http.StatusConflict, "there is an account of this name already"},
		"last_admin":             {http.StatusConflict, "no other admin could sign in"},
		"unknown_account":        {http.StatusNotFound, "there is no such account"},
		"unknown_login":          {http.StatusNotFound, "there is no such log-in"},
		"unknown_token":          {http.StatusNotFound, "there is no such token, or it is revoked already"},
		"bad_account_name":       {http.StatusUnprocessableEntity, "the name cannot be an account's"},
		"bad_role":               {http.StatusUnprocessableEntity, "the role does not exist, or does not fit the username"},
		"bad_password":           {http.StatusUnprocessableEntity, "the password cannot be used"},
		"bad_token":              {http.StatusUnprocessableEntity, "the token cannot be made like this"},
		"unknown_command":        {http.StatusNotFound, "there is no such command"},
		"unknown_ticket":         {http.StatusNotFound, "there is no such ticket"},
		"not_found":              {http.StatusNotFound, "there is nothing at this address"},
		"cursor_gone":            {http.StatusGone, "the row where the page before ended does not exist any more"},
		"method_not_allowed":     {http.StatusMethodNotAllowed, "Allow lists what may be done here"},
		"cross_origin":           {http.StatusForbidden, "a page of another origin may not order anything"},
		"wrong_host":             {http.StatusMisdirectedRequest, "this Central is not served under that name"},
		"bad_query":              {http.StatusBadRequest, "the query cannot be read"},
		"bad_idempotency_key":    {http.StatusBadRequest, "the Idempotency-Key cannot be used"},
		"bad_request":            {http.StatusBadRequest, "the request cannot be read"},
		"invalid_request":        {http.StatusUnprocessableEntity, "a value is not what is expected; errors names each"},
		"bad_username":           {http.StatusUnprocessableEntity, "the name cannot be a driver's"},
		"bad_tariff":             {http.StatusUnprocessableEntity, "a price, the tax or the currency cannot be used"},
		"bad_setting":            {http.StatusUnprocessableEntity, "a setting has control characters"},
		"bad_group":              {http.StatusUnprocessableEntity, "a value of the group cannot be used"},
		"bad_card":               {http.StatusUnprocessableEntity, "a value of the card cannot be used"},
		"bad_note":               {http.StatusUnprocessableEntity, "the note has control characters"},
		"body_too_large":         {http.StatusRequestEntityTooLarge, "the body is larger than 64 KiB"},
		"unsupported_media_type": {http.StatusUnsupportedMediaType, "send the body as application/json"},
		"slow_request":           {http.StatusRequestTimeout, "the body did not arrive in time"},
		"not_acceptable":         {http.StatusNotAcceptable, "answers are application/json"},
		"unavailable":            {http.StatusServiceUnavailable, "nothing has happened; try again"},
		"internal":               {http.StatusInternalServerError, "a fault of this program; see its log"},
	}
}

// kindOfStatus returns the kind of a problem that the API's library made: it has a
// status alone.
func kindOfStatus(status int) string {
	switch status {
	case http.StatusNotFound:
		return "not_found"
	case http.StatusMethodNotAllowed:
		return "method_not_allowed"
	case http.StatusNotAcceptable:
		return "not_acceptable"
	case http.StatusRequestTimeout:
		return "slow_request"
	case http.StatusRequestEntityTooLarge:
		return "body_too_large"
	case http.StatusUnsupportedMediaType:
		return "unsupported_media_type"
	case http.StatusUnprocessableEntity:
		return "invalid_request"
	}
	if status >= http.StatusInternalServerError {
		return "internal"
	}
	return "bad_request"
}

// problem returns a problem of a kind. Without a detail it has the text of the
// kind.
func problem(word, detail string) *huma.ErrorModel {
	k, ok := kinds()[word]
	if !ok { // cannot happen: a test compares the table with every word in use
		word, k = "internal", kinds()["internal"]
	}
	if detail == "" {
		detail = k.text
	}
	return &huma.ErrorModel{Type: problemType(word), Title: http.StatusText(k.status), Status: k.status, Detail: detail}
}

// writeProblem answers a request with a problem, outside of the API's library.
func writeProblem(w http.ResponseWriter, word, detail string) {
	p := problem(word, detail)
	w.Header().Set("Content-Type", "application/problem+json")
	if p.Status == http.StatusUnauthorized {
		w.Header().Set("WWW-Authenticate", "Bearer")
	}
	w.WriteHeader(p.Status)
	_, _ = w.Write(mustJSON(p))
}

// internalError logs an error and returns a problem without it: the error may name
// files or addresses that clients must not see.
func (s *Server) internalError(operation string, err error) error {
	s.log.Error("a request could not be served", slog.String("operation", operation), slog.Any("err", err))
	return problem("unavailable", "the database does not answer or does not accept writes at the moment; nothing has happened; try again")
}

// maxLocation limits how many bytes of a name that a client chose are repeated in
// an answer.
const maxLocation = 100

// plainProblem is a transformer of the API's library. It gives problems that the
// library made a stable type and removes the values that the client sent, so that
// an answer never repeats them.
func plainProblem(_ huma.Context, _ string, v any) (any, error) {
	p, ok := v.(*huma.ErrorModel)
	if !ok {
		return v, nil
	}
	// A problem of this package has its type already.
	if p.Type == "" {
		word := kindOfStatus(p.Status)
		p.Type = problemType(word)
		switch word {
		case "unsupported_media_type", "body_too_large", "slow_request", "not_acceptable", "internal":
			p.Detail = kinds()[word].text
		}
	}
	for _, e := range p.Errors {
		e.Value = nil
		if len(e.Location) > maxLocation {
			e.Location = strings.ToValidUTF8(e.Location[:maxLocation], "") + "…"
		}
	}
	return p, nil
}

// methodNotAllowed answers 405 and lists the methods that are allowed.
func methodNotAllowed(w http.ResponseWriter, method string, allowed []string) {
	w.Header().Set("Allow", strings.Join(allowed, ", "))
	writeProblem(w, "method_not_allowed", fmt.Sprintf("%s is not possible here; use %s", method, strings.Join(allowed, " or ")))
}

package reason_test

import (
	"encoding/json"
	"os"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/carga-ev/carga/internal/reason"
)

// Each constant has a text, and each text is of one constant.
func TestEachCodeHasAText(t *testing.T) {
	var source []byte
	for _, name := range []string{"codes.go", "message.go"} {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		source = append(source, text...)
	}
	var constants []reason.Code
	for _, m := range regexp.MustCompile(`(?m)^(?:const |\t)\w+ +Code = "(\w+)"$`).FindAllSubmatch(source, -1) {
		constants = append(constants, reason.Code(m[1]))
	}
	slices.Sort(constants)
	if codes := reason.Codes(); !slices.Equal(constants, codes) {
		t.Errorf("constants %q\ntexts of   %q", constants, codes)
	}
}

// A text names only values that a Reason has, and shows them.
func TestTextsShowTheirValues(t *testing.T) {
	r := reason.Reason{First: 7, Last: 9, Count: 3, Wanted: 6, Energy: 11, From: 12, To: 13}
	v := reflect.ValueOf(&r).Elem()
	for i := range v.NumField() {
		if f := v.Field(i); f.Kind() == reflect.String {
			f.SetString("<" + v.Type().Field(i).Name + ">")
		}
	}
	for _, code := range reason.Codes() {
		r.Code, r.Cause = code, reason.NoLeader
		if got := r.String(); strings.ContainsAny(got, "{}") || !strings.HasPrefix(got, "<Part>: bridge <Bridge>: ") ||
			!strings.Contains(got, "the partition has no leader: a broker is away: <Detail>") || !strings.HasSuffix(got, "; <Note>") {
			t.Errorf("%s: %q", code, got)
		}
	}
}

func TestTextOfAReason(t *testing.T) {
	gone := reason.Reason{Code: reason.KafkaUnreachable, Detail: "connection refused"}
	for _, c := range []struct {
		want string
		r    reason.Reason
	}{
		{"", reason.Reason{}},
		{"", reason.Words("")},
		{"no space left", reason.Words("no space left")},
		{"cannot write cp-events: Kafka cannot be reached: connection refused", reason.Reason{Code: reason.CannotWrite, Topic: "cp-events"}.Because(gone)},
		{"cannot read cp-events: of another version", reason.Reason{Code: reason.CannotRead, Topic: "cp-events"}.Because(reason.Words("of another version"))},
		{"cannot read cp-events", reason.Reason{Code: reason.CannotRead, Topic: "cp-events"}.Because(reason.Reason{})},
		{"bridge b: cannot read cp-commands (and 2 more)", reason.Reason{Code: reason.CannotRead, Topic: "cp-commands"}.Of("b").With(2)},
		{"records 3 to the end of journal j are missing: passed by an operator; ann: it burnt", func() reason.Reason {
			r := reason.Reason{Code: reason.GapOf, First: 3, Journal: "j", Note: "ann: it burnt"}
			return r.Because(reason.Reason{Code: reason.GapPassed})
		}()},
	} {
		if got := c.r.String(); got != c.want {
			t.Errorf("got %q, want %q", got, c.want)
		}
	}
	if got := reason.Join([]reason.Reason{gone, {Code: reason.Starting}}); got != "Kafka cannot be reached: connection refused; starting" {
		t.Errorf("got %q", got)
	}
}

// A reason of a later version is not known: its code or its cause.
func TestWhatIsNotKnown(t *testing.T) {
	for _, c := range []struct {
		r    reason.Reason
		want bool
	}{
		{reason.Reason{}, false},
		{reason.Reason{Code: "of_2031"}, false},
		{reason.Reason{Code: reason.CannotRead, Cause: "of_2031"}, false},
		{reason.Reason{Code: reason.CannotRead, Cause: reason.NoLeader}, true},
		{reason.Words("x"), true},
	} {
		if got := c.r.Known(); got != c.want {
			t.Errorf("%+v: known %v", c.r, got)
		}
	}
}

// Only what is set is written.
func TestJSON(t *testing.T) {
	raw, err := json.Marshal(reason.Reason{Code: reason.TopicDiffers, Topic: "cp-events", Count: 6, Wanted: 3})
	if want := `{"code":"topic_differs","topic":"cp-events","count":6,"wanted":3}`; err != nil || string(raw) != want {
		t.Errorf("got %s %v, want %s", raw, err, want)
	}
}

package command

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

func TestHealth(t *testing.T) {
	status := http.StatusOK
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(status)
		_, _ = w.Write([]byte("waiting for Kafka"))
	}))
	defer s.Close()
	if err := health(t.Context(), s.URL); err != nil {
		t.Errorf("healthy: %v", err)
	}
	status = http.StatusServiceUnavailable
	if err := health(t.Context(), s.URL); err == nil || !strings.Contains(err.Error(), "waiting for Kafka") {
		t.Errorf("got %v, want what was answered", err)
	}
	s.Close()
	if err := health(t.Context(), s.URL); err == nil {
		t.Error("got no error of a program that does not run")
	}
}

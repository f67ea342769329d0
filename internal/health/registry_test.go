package health_test

import (
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/carga-ev/carga/internal/health"
)

func TestHealthKeepsSinceWhileTheStateIsTheSame(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		r := health.NewRegistry("mqtt", "kafka")
		check := func(name string, want health.Status) {
			t.Helper()
			if got, known := r.Get(name); !known || got != want {
				t.Errorf("got %+v %v, want %+v", got, known, want)
			}
		}
		check("mqtt", health.Status{Name: "mqtt", Since: start, Reason: "starting"})
		time.Sleep(time.Second)
		r.Down("mqtt", "connection refused")
		check("mqtt", health.Status{Name: "mqtt", Since: start, Reason: "connection refused"})
		time.Sleep(time.Second)
		r.Up("mqtt")
		time.Sleep(time.Second)
		r.Up("mqtt")
		check("mqtt", health.Status{Name: "mqtt", Up: true, Since: start.Add(2 * time.Second)})
		if r.Ready() {
			t.Error("got ready while kafka is down, want not ready")
		}
		r.Up("kafka")
		if !r.Ready() {
			t.Error("got not ready with all up, want ready")
		}
		if all := r.All(); len(all) != 2 || all[0].Name != "kafka" || all[1].Name != "mqtt" {
			t.Errorf("got %v, want kafka and mqtt in this order", all)
		}
		if _, known := r.Get("other"); known {
			t.Error("got a health for an unknown name, want none")
		}
	})
}

func TestHealthIsSafeForConcurrentUse(t *testing.T) {
	r := health.NewRegistry()
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			name := fmt.Sprint(i % 3)
			for range 100 {
				r.Up(name)
				r.Down(name, "x")
				r.All()
				r.Ready()
			}
		})
	}
	wg.Wait()
	if n := len(r.All()); n != 3 {
		t.Errorf("got %d names, want 3", n)
	}
}

package web

import (
	"archive/zip"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/carga-ev/carga/central/access"
	"github.com/carga-ev/carga/central/view"
	"github.com/carga-ev/carga/internal/charge"
)

// supportRows bounds the lists in a support bundle.
const supportRows = 500

// supportOutput is an archive.
type supportOutput struct {
	Type        string `header:"Content-Type"`
	Disposition string `header:"Content-Disposition"`
	Body        []byte
}

// supportRoute registers the support bundle: what a developer needs to see of a
// Central that does not work as expected, in one archive.
func (s *Server) supportRoute(api huma.API) {
	const id = "get-support"
	o := op(id, http.MethodGet, "/support", "The support bundle: an archive with versions, configuration, health, metrics, counts, alarms and the end of the log", http.StatusOK)
	o.Description = "It has no secret, and no name of a driver but those in the texts of alarms and log lines, and in the configuration."
	o.Responses = map[string]*huma.Response{"200": {
		Description: "OK",
		Content:     map[string]*huma.MediaType{"application/zip": {Schema: &huma.Schema{Type: huma.TypeString, Format: "binary"}}},
	}}
	huma.Register(api, o, func(ctx context.Context, _ *struct{}) (*supportOutput, error) {
		now := time.Now()
		raw, err := archived(s.supportFiles(ctx), now)
		if err != nil {
			return nil, s.internalError(id, err)
		}
		if s.accounts != nil { // what cannot be recorded is sent all the same: the database may be what does not work
			actor := ActorOf(ctx)
			_ = s.accounts.Record(ctx, actor.Entry(charge.At(now), "", access.Done))
		}
		return &supportOutput{
			Type: "application/zip", Disposition: `attachment; filename="carga-support-` + now.UTC().Format("20060102-150405") + `.zip"`, Body: raw,
		}, nil
	})
}

// supportFiles returns the files of the bundle. One that cannot be made has the
// reason in its place: the bundle is for what does not work.
func (s *Server) supportFiles(ctx context.Context) map[string][]byte {
	files := map[string][]byte{}
	if s.cfg.Support != nil {
		maps.Copy(files, s.cfg.Support())
	}
	if s.cfg.Observe != nil {
		for name, path := range map[string]string{"health.json": "/readyz", "metrics.txt": "/metrics"} {
			files[name] = observedBody(ctx, s.cfg.Observe, path)
		}
	}
	net := s.live.Network()
	files["network.json"] = indented(map[string]any{
		"at": net.At, "central": net.Central, "parts": net.Parts, "bridges": net.Bridges, "books": net.Books, "charging_points": counted(&net),
	}, nil)
	alarms, err := s.archive.Alarms(ctx, view.Query{State: view.AlarmOpen, Limit: supportRows})
	files["alarms.json"] = indented(append([]view.Alarm{}, alarms...), err)
	letters, err := s.archive.DeadLetters(ctx, view.Query{Limit: supportRows})
	for i := range letters {
		letters[i].Body = "" // it may be anything
	}
	files["dead-letters.json"] = indented(append([]view.DeadLetter{}, letters...), err)
	return files
}

// counted returns how many charging points and connectors are in which state.
func counted(net *view.Network) map[string]map[string]int {
	all := map[string]map[string]int{"link": {}, "status": {}, "agent": {}}
	for i := range net.CPs {
		cp := &net.CPs[i]
		all["link"][string(cp.Link)]++
		all["agent"][cp.Agent]++
		for k := range cp.Connectors {
			all["status"][string(cp.Connectors[k].Status)]++
		}
	}
	return all
}

// observedBody returns what a path of health and metrics answers.
func observedBody(ctx context.Context, h http.Handler, path string) []byte {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, path, http.NoBody)
	if err != nil {
		return []byte(err.Error())
	}
	w := &inMemory{header: http.Header{}}
	h.ServeHTTP(w, req)
	return w.body.Bytes()
}

// inMemory is a response that is kept.
type inMemory struct {
	header http.Header
	body   bytes.Buffer
}

// Header implements http.ResponseWriter.
func (w *inMemory) Header() http.Header { return w.header }

// Write implements http.ResponseWriter.
func (w *inMemory) Write(b []byte) (int, error) { return w.body.Write(b) }

// WriteHeader implements http.ResponseWriter.
func (*inMemory) WriteHeader(int) {}

// indented encodes a value for people, or the error in its place.
func indented(v any, err error) []byte {
	raw, encoding := json.MarshalIndent(v, "", "  ")
	if err = errors.Join(err, encoding); err != nil {
		return fmt.Appendf(nil, "could not be read: %v\n", err)
	}
	return append(raw, '\n')
}

// archived returns files as one archive, in the order of their names.
func archived(files map[string][]byte, at time.Time) ([]byte, error) {
	var out bytes.Buffer
	z := zip.NewWriter(&out)
	for _, name := range slices.Sorted(maps.Keys(files)) {
		w, err := z.CreateHeader(&zip.FileHeader{Name: name, Method: zip.Deflate, Modified: at})
		if err == nil {
			_, err = w.Write(files[name])
		}
		if err != nil {
			return nil, err
		}
	}
	err := z.Close()
	return out.Bytes(), err
}

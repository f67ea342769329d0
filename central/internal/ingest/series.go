package ingest

import (
	"slices"
	"time"

	"github.com/carga-ev/carga/central/view"
	"github.com/carga-ev/carga/internal/charge"
	"github.com/carga-ev/carga/internal/wire"
)

// Of each connector the values of the last seriesLength are kept in memory, one
// point per seriesStep: 360 points, 9 kB.
const (
	seriesStep   = 10 * time.Second
	seriesLength = time.Hour
	seriesPoints = int(seriesLength / seriesStep)
)

// series are the latest points of a connector, oldest first from next on once it
// is full.
type series struct {
	points []view.Point
	next   int // where the next point goes when points is full
}

// last returns the latest point; nil if there is none.
func (s *series) last() *view.Point {
	if len(s.points) == 0 {
		return nil
	}
	return &s.points[(s.next+len(s.points)-1)%len(s.points)]
}

// add adds a point, or replaces the latest one if it is of the same step. After
// the clock was set back the points begin again.
func (s *series) add(p view.Point) {
	last := s.last()
	step := charge.Time(seriesStep.Milliseconds())
	switch {
	case last != nil && p.At < last.At:
		s.points, s.next = append(s.points[:0], p), 0
	case last != nil && p.At/step == last.At/step:
		*last = p
	case len(s.points) < seriesPoints:
		s.points = append(s.points, p)
	default:
		s.points[s.next] = p
		s.next = (s.next + 1) % seriesPoints
	}
}

// between returns the points of from <= time < to, oldest first.
func (s *series) between(from, to charge.Time) []view.Point {
	all := slices.Concat(s.points[s.next:], s.points[:s.next])
	return slices.DeleteFunc(all, func(p view.Point) bool { return p.At < from || p.At >= to })
}

// addSeries adds the values of telemetry to the series of its connectors.
func (p *livePoint) addSeries(t *wire.Telemetry, now charge.Time) {
	for i := range t.Connectors {
		k := &t.Connectors[i]
		if p.series == nil {
			p.series = map[charge.ConnectorID]*series{}
		}
		s := p.series[k.Connector]
		if s == nil {
			s = &series{}
			p.series[k.Connector] = s
		}
		s.add(view.Point{At: now, Power: k.Power, Register: k.Register})
	}
}

// Series returns the points of a connector that are in memory, oldest first.
func (l *Live) Series(cp charge.CPID, connector charge.ConnectorID, from, to charge.Time) []view.Point {
	l.mu.Lock()
	defer l.mu.Unlock()
	p := l.points[cp]
	if p == nil || p.series[connector] == nil {
		return nil
	}
	return p.series[connector].between(from, to)
}
